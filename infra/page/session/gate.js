// @ts-check
/** Setting the start/finish line: drawn on the map, or across the track at the cursor. */

import { fill, h, setText } from '../dom.js';
import { prose } from '../words.js';

const HALF_WIDTH_M = 15;

/**
 * @typedef {import('./map.js').TrackMap} TrackMap
 * @typedef {import('./map.js').Point} Point
 * @typedef {import('../types.js').SessionDetail} SessionDetail
 */

/**
 * The button and what it opens, and why no laps could be found at the line given last.
 * @param {import('./view.js').View} view @param {TrackMap} map @param {SessionDetail} session
 * @param {(gate: import('../types.js').Gate) => Promise<void>} save
 */
export function gateControl(view, map, session, save) {
  const panel = h('div', { class: 'gate-panel', hidden: true, role: 'group', 'aria-label': 'Start and finish line' });
  const open = h('button', { type: 'button', 'aria-expanded': 'false', onclick: begin }, 'Set start/finish line');
  const said = h('p', { role: 'status' });
  const keep = h('button', { type: 'button', class: 'primary', disabled: true, onclick: store }, 'Find laps here');
  const failed = h('div', {});
  const sectors = () => session.gate?.sectors ?? [];
  const keepSectors = h('input', { type: 'checkbox', id: 'keep-sectors' });
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
    keepSectors.checked = true;
    setText(said, 'Draw a line across the track on the map, or put the cursor where laps begin and take that place.');
    fill(
      panel,
      said,
      sectors().length > 0 &&
        h(
          'div',
          { class: 'choice' },
          keepSectors,
          h(
            'label',
            { for: 'keep-sectors' },
            sectors().length === 1 ? 'Keep the sector line' : `Keep the ${sectors().length} sector lines`,
          ),
        ),
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
        sectors: keepSectors.checked ? sectors() : [],
      });
      tell(null);
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

  /** @param {SessionDetail | null} now null while laps are being found */
  function tell(now) {
    const { gate, gateFailure } = now ?? {};
    fill(failed, gate && gateFailure ? failure(gateFailure, () => save(gate).then(answered)) : null);
  }

  function answered() {
    tell(null);
    open.focus();
  }

  tell(session);
  return { element: h('div', { class: 'gate' }, failed, open, panel), tell };
}

/** @param {import('../types.js').Failure} failure @param {() => Promise<void>} again */
function failure({ code, message }, again) {
  const said = h('p', { class: 'error', role: 'alert' });
  const retry = h('button', { type: 'button', onclick: giveAgain }, 'Give the line again');
  async function giveAgain() {
    retry.disabled = true;
    try {
      await again();
    } catch (error) {
      retry.disabled = false;
      setText(said, error instanceof Error ? error.message : String(error));
    }
  }
  return h(
    'div',
    { class: 'notice bad' },
    h(
      'div',
      { role: 'alert' },
      h('p', {}, `Laps could not be found at your line; those shown are from before. ${prose(message)}`),
      h('p', { class: 'muted' }, `Code ${code}`),
    ),
    retry,
    said,
  );
}
