// @ts-check
/** The table of laps: best lap, differences, sectors, and which two are laid over one another. */

import { announce, fill, h, setText } from '../dom.js';
import { clock, counted, delta, distance, lapTime, number, speed, utc } from '../format.js';
import { LAP_KINDS } from '../words.js';
import { lapRange } from './view.js';

/**
 * @typedef {import('../types.js').Lap} Lap
 * @typedef {import('./view.js').View} View
 */

const PAGE = 30;

/**
 * @param {Lap[]} laps @param {View} view @param {import('../types.js').Summary} summary
 * @param {{signal: AbortSignal, shown: () => void, compared: () => void}} options `shown` is told when a lap is looked
 * at, `compared` when the comparison is
 */
export function lapsCard(laps, view, summary, { signal, shown, compared }) {
  // The service knows which laps can be compared: the shortest of a file's laps may be what was left at the end.
  const best = laps.find((lap) => lap.lapNumber === summary.bestLapNumber) ?? null;
  const sectors = Math.max(0, ...laps.map((lap) => lap.sectorsMs.length));
  const bestSectors = Array.from({ length: sectors }, (_, k) =>
    Math.min(...laps.map((lap) => (lap.kind === 'timed' ? (lap.sectorsMs[k] ?? Infinity) : Infinity))),
  );
  const topSpeeds = laps.some((lap) => lap.maxSpeedMps !== null);
  let fastestFirst = false;
  let count = PAGE;
  const body = h('tbody', {});
  const more = h('button', {
    type: 'button',
    onclick: () => {
      count += PAGE * 3;
      draw();
    },
  });
  const order = h(
    'select',
    {
      id: 'lap-order',
      onchange: () => {
        fastestFirst = order.value === 'fastest';
        count = PAGE;
        draw();
      },
    },
    h('option', { value: 'driven' }, 'As driven'),
    h('option', { value: 'fastest' }, 'Fastest first'),
  );
  const table = h(
    'table',
    { class: 'laps' },
    h('caption', { class: 'visually-hidden' }, 'Laps'),
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        h('th', { scope: 'col' }, 'Lap'),
        h('th', { scope: 'col', class: 'number' }, 'Time'),
        h('th', { scope: 'col', class: 'number' }, 'To best'),
        ...bestSectors.map((_, k) => h('th', { scope: 'col', class: 'number wide' }, `Sector ${k + 1}`)),
        h('th', { scope: 'col', class: 'number wide' }, 'Distance'),
        topSpeeds && h('th', { scope: 'col', class: 'number wide' }, 'Top speed'),
        h('th', { scope: 'col', class: 'wide' }, 'Began'),
        h('th', { scope: 'col' }, 'Compare'),
      ),
    ),
    body,
  );

  /** @param {Lap} lap */
  const row = (lap) => {
    const isBest = lap === best;
    const box = h('input', {
      type: 'checkbox',
      'aria-label': `Compare lap ${lap.lapNumber}`,
      checked: view.laps.includes(lap),
      onchange: () => view.compare(lap, box.checked),
    });
    const uncertainty = lap.durationUncertaintyMs === null ? '' : `±${number(lap.durationUncertaintyMs)} ms`;
    return h(
      'tr',
      { class: isBest ? 'best' : lap.kind, 'data-lap': lap.lapNumber },
      h(
        'th',
        { scope: 'row' },
        h(
          'button',
          {
            type: 'button',
            class: 'link',
            'aria-label': `Show lap ${lap.lapNumber} on map and charts`,
            onclick: () => {
              const { from, to } = lapRange(lap);
              view.look('time', from, to);
              shown();
            },
          },
          String(lap.lapNumber),
        ),
        isBest && h('span', { class: 'badge ready' }, 'Best'),
        lap.kind !== 'timed' && h('span', { class: 'muted kind' }, LAP_KINDS[lap.kind]),
      ),
      h('td', { class: 'number time', title: uncertainty }, lapTime(lap.durationMs)),
      h(
        'td',
        { class: 'number' },
        // A lap in less time than the best one went a shorter way.
        best && lap.kind === 'timed' && !isBest && lap.durationMs >= best.durationMs
          ? delta(lap.durationMs - best.durationMs)
          : isBest
            ? '–'
            : '',
      ),
      ...bestSectors.map((fastest, k) => {
        const time = lap.sectorsMs[k] ?? null;
        return h(
          'td',
          { class: `number wide${time !== null && time === fastest ? ' best-sector' : ''}` },
          lapTime(time),
        );
      }),
      h('td', { class: 'number wide' }, distance(lap.distanceM)),
      topSpeeds && h('td', { class: 'number wide' }, speed(lap.maxSpeedMps)),
      h(
        'td',
        { class: 'wide' },
        h('time', { datetime: lap.startTimeUtc, title: utc(lap.startTimeUtc) }, clock(lap.startTimeUtc)),
      ),
      h('td', { class: 'compare' }, lap.kind === 'timed' || lap.distanceM ? box : null),
    );
  };
  function draw() {
    const ordered = fastestFirst
      ? [...laps].sort((a, b) => Number(a.kind !== 'timed') - Number(b.kind !== 'timed') || a.durationMs - b.durationMs)
      : laps;
    fill(body, ...ordered.slice(0, count).map(row));
    more.hidden = count >= laps.length;
    more.textContent = `Show more (${number(laps.length - count)} left)`;
    marked();
  }
  // Only boxes and marks change with the choice: the focus stays where it is.
  function marked() {
    for (const line of body.rows) {
      const place = view.laps.findIndex((lap) => String(lap.lapNumber) === line.dataset.lap);
      line.dataset.chosen = place < 0 ? '' : place === 0 ? 'a' : 'b';
      const box = line.querySelector('input');
      if (box) box.checked = place >= 0;
    }
  }
  const pair = h('span', {});
  // A long table hides the comparison below it: this stays in sight.
  const bar = h(
    'div',
    { class: 'compare-bar', hidden: true },
    pair,
    h('button', { type: 'button', class: 'primary', onclick: compared }, 'Show'),
  );
  function told() {
    bar.hidden = view.laps.length < 2;
    if (bar.hidden) return;
    const [first, second] = view.laps;
    const words = `Lap ${second.lapNumber} against lap ${first.lapNumber}`;
    setText(pair, words);
    announce(`${words}, below the laps`);
  }
  view.on(['laps'], marked, signal);
  view.on(['laps'], told, signal);
  draw();

  return h(
    'section',
    { class: 'card', 'aria-labelledby': 'laps-title' },
    h(
      'div',
      { class: 'card-head' },
      h('h2', { id: 'laps-title' }, 'Laps'),
      h('p', { class: 'muted' }, brief(laps, best, summary)),
      laps.length > 2 && h('div', { class: 'field inline' }, h('label', { for: 'lap-order' }, 'Order'), order),
    ),
    h('p', { class: 'muted hint' }, 'Tick two laps to lay them over one another.'),
    h('div', { class: 'table-place' }, table, more),
    bar,
  );
}

/** @param {Lap[]} laps @param {Lap | null} best @param {import('../types.js').Summary} summary */
function brief(laps, best, summary) {
  const parts = [counted(laps.length, 'lap', 'laps')];
  if (summary.lapsLeftOut) parts.push(`${number(summary.lapsLeftOut)} more were not recorded`);
  if (best) parts.push(`best ${lapTime(best.durationMs)} in lap ${best.lapNumber}`);
  // Where sectors were missed their sum may be longer than the best lap: then it says nothing.
  if (best && summary.theoreticalBestMs && summary.theoreticalBestMs < best.durationMs)
    parts.push(`best sectors together ${lapTime(summary.theoreticalBestMs)}`);
  return parts.join(' · ');
}
