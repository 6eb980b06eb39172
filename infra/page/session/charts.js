// @ts-check
/** The charts of a session: one for each chosen channel, one window and one cursor for all. */

import { fill, h, icon, iconButton, setText } from '../dom.js';
import { clock, distance, elapsed, number, span } from '../format.js';
import { POSITION_CHANNELS, shown, streamWords } from '../words.js';
import { Chart } from './chart.js';
import { speedTop } from './view.js';

/**
 * @typedef {import('./view.js').View} View
 * @typedef {import('./view.js').ChannelId} ChannelId
 * @typedef {import('../types.js').Dataset} Dataset
 * @typedef {{id: ChannelId, unit: string}} Offered
 */

const STEPS = 1000;
const FROM_POSITIONS = 'from positions';

/** @param {ChannelId} id */
const key = (id) => `${id.stream}/${id.channel}`;

/** Speed and altitude at once; of the other positions' channels those with values, once every fix is read. */
const EARLY = ['speed_mps', 'altitude_m'];
/** @param {View} view @param {ChannelId} id */
const holds = ({ held }, { stream, channel }) =>
  stream !== 'gnss_pvt' || EARLY.includes(channel) || (held.filled?.includes(channel) ?? false);

/**
 * The channels that a session's files may hold.
 * @param {Dataset[]} datasets of one recording
 * @returns {Offered[]}
 */
export function offeredChannels(datasets) {
  /** @type {Offered[]} */
  const offered = [];
  for (const { stream, quality } of datasets) {
    if (stream === 'gnss_pvt') {
      const known = POSITION_CHANNELS.filter((channel) => channel !== 'altitude_m' || quality.hasAltitude !== false);
      offered.push(...known.map((channel) => ({ id: { stream, channel }, unit: '' })));
    } else if (quality.channels) {
      for (const [channel, { unit, values }] of Object.entries(quality.channels)) {
        if (values > 0) offered.push({ id: { stream, channel }, unit });
      }
    }
  }
  return offered;
}

/** @param {View} view @param {Offered[]} offered @param {AbortSignal} signal */
export function charts(view, offered, signal) {
  const place = h('div', { class: 'charts' });
  const range = h('p', { class: 'range muted' });
  const slider = h('input', {
    type: 'range',
    min: 0,
    max: STEPS,
    step: 1,
    value: 0,
    class: 'cursor-slider',
    'aria-label': 'Position in the recording',
    oninput: () => {
      const { from, to } = view.window[view.axis];
      view.moveTo(view.axis, from + (Number(slider.value) / STEPS) * (to - from));
    },
  });
  const now = h('p', { class: 'now' });
  /** @type {Map<string, ReturnType<typeof channelChart>>} */
  const drawn = new Map();

  const redraw = () => {
    for (const [name, one] of drawn) {
      if (!view.channels.some((id) => key(id) === name)) {
        one.end();
        drawn.delete(name);
      }
    }
    for (const id of view.channels) {
      if (drawn.has(key(id))) continue;
      const unit = offered.find((other) => key(other.id) === key(id))?.unit ?? '';
      drawn.set(key(id), channelChart(view, id, unit, signal));
    }
    const ordered = view.channels.map((id) => /** @type {ReturnType<typeof channelChart>} */ (drawn.get(key(id))));
    fill(place, ...ordered.map(({ element }) => element));
    ordered.forEach((one) => one.update());
  };
  const windowed = () => {
    drawn.forEach((one) => one.update());
    const { time, distance: way } = view.window;
    setText(
      range,
      view.axis === 'time'
        ? `${clock(time.from)} – ${clock(time.to)}, ${span(time.to - time.from)}`
        : `${distance(way.from)} – ${distance(way.to)}`,
    );
  };
  const moved = () => {
    const { cursor } = view;
    drawn.forEach((one, name) => one.moved(view.channels.findIndex((id) => key(id) === name)));
    if (!cursor) return;
    const { from, to } = view.window[view.axis];
    const at = view.axis === 'time' ? cursor.time : cursor.distance;
    slider.value = String(Math.round(((at - from) / (to - from || 1)) * STEPS));
    const words = [
      clock(cursor.time),
      `${elapsed(cursor.time - view.held.from)} after the start`,
      distance(cursor.distance),
    ];
    setText(now, words.join(' · '));
    const readings = view.channels.map((id, k) => drawn.get(key(id))?.words(cursor.readings[k] ?? null) ?? '');
    slider.setAttribute('aria-valuetext', [words[1], ...readings.filter(Boolean)].join(', '));
  };
  view.on(['channels'], redraw, signal);
  view.on(['window', 'axis', 'held'], windowed, signal);
  view.on(['cursor'], moved, signal);

  const element = h(
    'div',
    {},
    toolbar(view, offered, signal),
    place,
    h('div', { class: 'cursor-line' }, slider),
    h('div', { class: 'under-charts' }, now, range),
  );
  // uPlot measures its place, which must be in the page by then.
  requestAnimationFrame(() => {
    redraw();
    windowed();
    view.moveTo('time', view.cursor?.time ?? view.held.from);
  });
  return element;
}

/** @param {View} view @param {Offered[]} offered @param {AbortSignal} signal */
function toolbar(view, offered, signal) {
  /** @param {import('./view.js').Axis} axis @param {string} words */
  const radio = (axis, words) => {
    const input = h('input', {
      type: 'radio',
      name: 'axis',
      id: `axis-${axis}`,
      class: 'visually-hidden',
      checked: view.axis === axis,
      onchange: () => view.choose(axis),
    });
    return [input, h('label', { for: `axis-${axis}` }, words)];
  };
  const more = h('select', { 'aria-label': 'Add a channel', class: 'add-channel' });
  const options = () => {
    const left = offered.filter(({ id }) => !view.channels.some((other) => key(other) === key(id)) && holds(view, id));
    const streams = [...new Set(left.map(({ id }) => id.stream))];
    fill(
      more,
      h('option', { value: '' }, 'Add a channel'),
      ...streams.map((stream) =>
        h(
          'optgroup',
          { label: streamWords(stream) },
          ...left
            .filter(({ id }) => id.stream === stream)
            .map(({ id, unit }) => {
              const { label, unit: shownUnit } = shown(stream, id.channel, unit);
              return h('option', { value: key(id) }, shownUnit ? `${label} (${shownUnit})` : label);
            }),
        ),
      ),
    );
    more.hidden = left.length === 0;
  };
  more.addEventListener('change', () => {
    const found = offered.find(({ id }) => key(id) === more.value);
    if (found) view.draw([...view.channels, found.id]);
  });
  view.on(['channels', 'held'], options, signal);
  options();
  return h(
    'div',
    { class: 'chart-tools' },
    h(
      'fieldset',
      { class: 'segmented' },
      h('legend', { class: 'visually-hidden' }, 'Over'),
      ...radio('time', 'Time'),
      ...radio('distance', 'Distance'),
    ),
    h(
      'div',
      { class: 'button-group', role: 'group', 'aria-label': 'Zoom the charts' },
      iconButton('minus', 'Zoom out', () => view.zoom(2)),
      iconButton('plus', 'Zoom in', () => view.zoom(0.5)),
      iconButton('left', 'Earlier', () => view.pan(-0.5)),
      iconButton('right', 'Later', () => view.pan(0.5)),
      iconButton('fit', 'Whole recording', () => view.lookAtAll()),
    ),
    more,
  );
}

/**
 * One channel: its name, its value at the cursor, its line.
 * @param {View} view
 * @param {ChannelId} id
 * @param {string} unit
 * @param {AbortSignal} signal
 */
function channelChart(view, id, unit, signal) {
  const { label, unit: shownUnit, factor, digits } = shown(id.stream, id.channel, unit);
  const derived = id.stream === 'gnss_pvt' && id.channel === 'speed_mps' && !view.held.speedGiven;
  const value = h('span', { class: 'reading' });
  const summary = h('span', { class: 'muted stats' });
  const source = h('span', { class: 'muted' }, FROM_POSITIONS);
  const plot = h('div', { class: 'plot', 'aria-hidden': 'true' });
  const remove = h(
    'button',
    {
      type: 'button',
      class: 'icon-button small',
      'aria-label': `Remove ${label}`,
      title: 'Remove',
      onclick: () => view.draw(view.channels.filter((other) => key(other) !== key(id))),
    },
    icon('close'),
  );
  const element = h(
    'figure',
    { class: 'chart', 'aria-label': label },
    h('figcaption', {}, h('span', { class: 'chart-name' }, label), value, summary, derived && source, remove),
    plot,
  );
  const ending = new AbortController();
  signal.addEventListener('abort', () => ending.abort());
  /** @type {Chart | null} */
  let chart = null;
  let turn = 0;

  const withUnit = (/** @type {string} */ text) => (shownUnit ? `${text} ${shownUnit}` : text);
  const words = (/** @type {number | null} */ reading) =>
    reading === null ? '' : `${label} ${withUnit(number(reading * factor, digits, true))}`;

  async function update() {
    chart ??= new Chart(plot, id.channel === 'speed_mps' ? 190 : 140, {
      axis: () => view.axis,
      lines: [{ colour: '--line' }],
      moved: (at) => view.moveTo(view.axis, at),
      selected: (from, to) => view.look(view.axis, from, to),
      all: () => view.lookAtAll(),
      signal: ending.signal,
    });
    const { from, to } = view.window[view.axis];
    chart.frame(from, to);
    turn += 1;
    const own = turn;
    try {
      const thinned = await view.recording.window(id, view.axis, from, to, chart.columns);
      if (own !== turn || ending.signal.aborted) return;
      if (!thinned) {
        setText(summary, 'Loading');
        return;
      }
      if (thinned.count === 0) {
        setText(summary, 'No values here');
        chart.show([], [[]], 0, 1);
        return;
      }
      const [min, max, mean] = [thinned.min, thinned.max, thinned.mean].map((one) => one * factor);
      const y = factor === 1 ? thinned.y : thinned.y.map((one) => (one === null ? null : one * factor));
      const top = derived ? Math.min(thinned.max, speedTop(view.held, thinned.min)) : thinned.max;
      chart.show(thinned.x, [y], min, top * factor);
      setText(
        source,
        top < thinned.max ? `${FROM_POSITIONS}, cut at ${withUnit(number(top * factor))}` : FROM_POSITIONS,
      );
      setText(summary, `${withUnit(`${number(min, digits)} to ${number(max, digits)}`)}, mean ${number(mean, digits)}`);
      cursorAt();
    } catch (error) {
      if (own === turn) setText(summary, 'The values could not be read. Try again later.');
    }
  }

  function cursorAt() {
    const { cursor } = view;
    chart?.cursorAt(cursor ? (view.axis === 'time' ? cursor.time : cursor.distance) : null);
  }

  /** @param {number} index */
  function moved(index) {
    cursorAt();
    const reading = view.cursor?.readings[index] ?? null;
    setText(value, reading === null ? '–' : withUnit(number(reading * factor, digits, true)));
  }

  return { element, update, moved, words, end: () => ending.abort() };
}
