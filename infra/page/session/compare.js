// @ts-check
/** Two laps over their distance: both speeds, and how the second gains and loses on the first. */

import { lowerBound } from '../data/series.js';
import { h, setText } from '../dom.js';
import { delta, distance, lapTime, number, speedUnit, speedValue } from '../format.js';
import { Chart } from './chart.js';
import { lapRange, speedTop } from './view.js';

/** @typedef {import('./view.js').View} View */

/** @param {number} milliseconds */
const seconds = (milliseconds) => `${number(Math.abs(milliseconds) / 1000, 3, true)} s`;

/** @param {View} view @param {AbortSignal} signal */
export function compareCard(view, signal) {
  const title = h('h2', { id: 'compare-title' });
  const result = h('p', { class: 'muted' });
  const now = h('p', { class: 'now' });
  const unit = h('span', { class: 'muted' });
  const speeds = h('div', { class: 'plot', 'aria-hidden': 'true' });
  const deltas = h('div', { class: 'plot', 'aria-hidden': 'true' });
  const slider = h('input', {
    type: 'range',
    min: 0,
    max: 1000,
    value: 0,
    class: 'cursor-slider',
    'aria-label': 'Position in the lap',
    oninput: () => moved((Number(slider.value) / 1000) * length),
  });
  const key = h('p', { class: 'lap-key' });
  const element = h(
    'section',
    { class: 'card', 'aria-labelledby': 'compare-title', tabindex: -1, hidden: true },
    h('div', { class: 'card-head' }, title, key),
    result,
    h(
      'figure',
      { class: 'chart', 'aria-label': 'Speed of both laps' },
      h('figcaption', {}, h('span', { class: 'chart-name' }, 'Speed'), unit),
      speeds,
    ),
    h(
      'figure',
      { class: 'chart', 'aria-label': 'Time difference' },
      h(
        'figcaption',
        {},
        h('span', { class: 'chart-name' }, 'Difference'),
        h('span', { class: 'muted' }, 'seconds, above zero the second lap is behind'),
      ),
      deltas,
    ),
    h('div', { class: 'cursor-line' }, slider),
    now,
  );
  /** @type {Chart[]} */
  let plots = [];
  /** @type {import('../data/recording.js').Comparison | null} */
  let compared = null;
  let length = 0;
  let turn = 0;

  /** @param {number} along metres */
  async function moved(along) {
    if (!compared) return;
    const last = compared.distance.length - 1;
    const k = Math.min(last, Math.max(0, Math.round((along / length) * last)));
    plots.forEach((plot) => plot.cursorAt(compared?.distance[k] ?? null));
    slider.value = String(Math.round((k / last) * 1000));
    const both = compared.courses.map((course) => `${number(speedValue(course.speed[k]), 1, true)} ${speedUnit()}`);
    const words = `${distance(compared.distance[k])}: ${both.join(' and ')}, ${delta(compared.delta[k])} s`;
    setText(now, words);
    slider.setAttribute('aria-valuetext', words);
    const own = turn;
    const places = await Promise.all(compared.courses.map((course) => view.recording.at('time', course.time[k], [])));
    if (own === turn) view.showPair(places);
  }

  async function changed() {
    turn += 1;
    const own = turn;
    element.hidden = view.laps.length < 2;
    if (element.hidden) {
      compared = null;
      return;
    }
    const [first, second] = view.laps;
    setText(title, `Lap ${second.lapNumber} against lap ${first.lapNumber}`);
    key.replaceChildren(
      ...view.laps.map((lap, k) =>
        h('span', { class: k === 0 ? 'lap-a' : 'lap-b' }, `Lap ${lap.lapNumber}, ${lapTime(lap.durationMs)}`),
      ),
    );
    const found = await view.recording.compare(lapRange(first), lapRange(second));
    if (own !== turn) return;
    compared = found;
    length = found.courses[0].length;
    const gap = second.durationMs - first.durationMs;
    const least = Math.min(...found.delta);
    const most = Math.max(...found.delta);
    setText(
      result,
      `Lap ${second.lapNumber} took ${seconds(gap)} ${gap < 0 ? 'less' : 'more'} than lap ${first.lapNumber}. On the way it was between ${delta(least)} and ${delta(most)} s of it.`,
    );
    const options = {
      axis: () => /** @type {const} */ ('distance'),
      moved,
      selected: frame,
      all: () => frame(0, length),
      signal,
    };
    if (!plots.length) {
      plots = [
        new Chart(speeds, 190, { ...options, lines: [{ colour: '--lap-a' }, { colour: '--lap-b' }] }),
        new Chart(deltas, 130, { ...options, lines: [{ colour: '--lap-b' }], zero: true }),
      ];
    }
    frame(0, length);
    moved(0);
  }

  /** @param {number} from @param {number} to */
  function frame(from, to) {
    if (!compared) return;
    const [start, end] = to - from < 1 ? [0, length] : [Math.max(0, from), Math.min(length, to)];
    plots.forEach((plot) => plot.frame(start, end));
    const shown = compared.courses.map((course) => Array.from(course.speed, speedValue));
    const finite = shown.flat().filter(Number.isFinite);
    const least = Math.min(...finite);
    const top = view.held.speedGiven ? Infinity : speedValue(speedTop(view.held, least / speedValue(1)));
    const most = Math.max(...finite);
    plots[0].show(compared.distance, shown, least, Math.min(top, most));
    setText(unit, top < most ? `${speedUnit()}, cut at ${number(top)}` : speedUnit());
    const behind = Array.from(compared.delta, (value) => value / 1000);
    plots[1].show(compared.distance, [behind], Math.min(...behind), Math.max(...behind));
  }

  view.on(['laps', 'held'], () => changed(), signal);
  // The place in the recording, when it lies in one of the laps, is also a place in both.
  view.on(
    ['cursor'],
    () => {
      const time = view.cursor?.time ?? NaN;
      const course = compared?.courses.find((one) => time >= one.time[0] && time <= one.time[one.time.length - 1]);
      if (compared && course) moved(compared.distance[lowerBound(course.time, time)]);
    },
    signal,
  );
  return element;
}
