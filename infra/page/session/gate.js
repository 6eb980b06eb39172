// @ts-check
/** Setting the start/finish line: drawn on the map, or across the track at the cursor. */

import { fill, h, setText } from '../dom.js';

const HALF_WIDTH_M = 15;

/**
 * @typedef {import('./map.js').TrackMap} TrackMap
 * @typedef {import('./map.js').Point} Point
 */

/**
 * The button and what it opens.
 * @param {import('./view.js').View} view @param {TrackMap} map
 * @param {(gate: import('../types.js').Gate) => Promise<void>} save
 */
export function gateControl(view, map, save) {
  const panel = h('div', { class: 'gate-panel', hidden: true, role: 'group', 'aria-label': 'Start and finish line' });
  const open = h('button', { type: 'button', 'aria-expanded': 'false', onclick: begin }, 'Set start/finish line');
  const said = h('p', { role: 'status' });
  const keep = h('button', { type: 'button', class: 'primary', disabled: true, onclick: store }, 'Find laps here');
  /** @type {[Point, Point] | null} */
  let line = null;

  /** @param {[Point, Point]} ends */
  function take(ends) {
    line = ends;
    map.showDraft(ends);
    keep.disabled = false;
    setText(said, 'A line is set. “Find laps here” looks for laps at it.');
  }

  function begin() {
    panel.hidden = false;
    open.setAttribute('aria-expanded', 'true');
    setText(said, 'Draw a line across the track on the map, or put the cursor where laps begin and take that place.');
    fill(
      panel,
      said,
      h(
        'div',
        { class: 'button-row' },
        h('button', { type: 'button', onclick: atCursor }, 'At the cursor'),
        keep,
        h('button', { type: 'button', onclick: end }, 'Cancel'),
      ),
    );
    map.drawing = take;
    map.stage.classList.add('drawing');
  }

  /** Across the direction of travel. */
  function atCursor() {
    const { cursor } = view;
    if (!cursor) return;
    const [right, up] = [-Math.sin(cursor.course) * HALF_WIDTH_M, Math.cos(cursor.course) * HALF_WIDTH_M];
    take([
      { x: cursor.x - right, y: cursor.y - up },
      { x: cursor.x + right, y: cursor.y + up },
    ]);
  }

  async function store() {
    if (!line) return;
    const [first, second] = line.map((point) => map.position(point));
    keep.disabled = true;
    try {
      await save({
        latitude1Deg: first.latitude,
        longitude1Deg: first.longitude,
        latitude2Deg: second.latitude,
        longitude2Deg: second.longitude,
      });
      end();
    } catch (error) {
      keep.disabled = false;
      setText(said, error instanceof Error ? error.message : String(error));
    }
  }

  function end() {
    line = null;
    panel.hidden = true;
    open.setAttribute('aria-expanded', 'false');
    keep.disabled = true;
    map.drawing = null;
    map.stage.classList.remove('drawing');
    map.showDraft(null);
    open.focus();
  }

  return h('div', { class: 'gate' }, open, panel);
}
