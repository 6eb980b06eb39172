// @ts-check
/** The quality reports of a session's files as sentences. Pure, but for the elements of the card. */

import { aroundFact, damageFact, damageOf } from '../damage.js';
import { h, icon } from '../dom.js';
import { clock, counted, number, size, span } from '../format.js';
import { formatWords, plain, streamWords } from '../words.js';

/**
 * @typedef {import('../types.js').Dataset} Dataset
 * @typedef {import('../types.js').Quality} Quality
 * @typedef {'good' | 'notice' | 'wrong'} Tone
 * @typedef {[Tone, string]} Fact
 */

/** @type {Record<string, string>} */
const CLOCKS = {
  gnss_utc: 'Times are UTC from the receiver',
  inferred_date: 'The time of day is UTC from the receiver; the date was inferred',
  device_local: "Times come from the device's own clock, whose zone is unknown",
};

/** @type {[string, string, string][]} */
const NOTICED = [
  ['duplicateTimes', 'time occurs twice', 'times occur twice'],
  ['backwardTimes', 'step back in time', 'steps back in time'],
  ['outOfOrderRows', 'row was put in order', 'rows were put in order'],
  [
    'positionSpikes',
    'position jumps away and back, and is not drawn',
    'positions jump away and back, and are not drawn',
  ],
  ['zeroPositions', 'position of 0, 0 was left out', 'positions of 0, 0 were left out'],
  ['interpolatedTimes', 'time was interpolated', 'times were interpolated'],
];

/** @param {Dataset} dataset @returns {Fact[]} */
export function facts({ rowCount, quality }) {
  /** @type {Fact[]} */
  const found = [];
  const read = quality.rowsRead;
  if (typeof read === 'number') {
    found.push(
      read === rowCount
        ? ['good', rowCount === 1 ? 'The one row could be used' : `All ${number(rowCount)} rows could be used`]
        : ['notice', `${number(rowCount)} of ${counted(read, 'row', 'rows')} could be used`],
    );
  } else {
    found.push(['good', counted(rowCount, 'row', 'rows')]);
  }
  for (const [reason, tally] of Object.entries(quality.rejected ?? {})) {
    found.push(['notice', `${counted(tally.count, 'row', 'rows')} left out: ${plain(reason)}${firstRows(tally)}`]);
  }
  for (const [column, tally] of Object.entries(quality.badCells ?? {})) {
    found.push([
      'notice',
      `${counted(tally.count, 'value', 'values')} of ${column} could not be read${firstRows(tally)}`,
    ]);
  }
  if (quality.nominalRateHz) found.push(rate(quality));
  if (quality.gaps) found.push(...gaps(quality.gaps));
  for (const [name, one, many] of NOTICED) {
    if (quality[name]) found.push(['notice', counted(quality[name], one, many)]);
  }
  const kinds = Object.entries(quality.fixTypes ?? {}).filter(([kind]) => kind !== 'unknown');
  if (kinds.length)
    found.push([
      'good',
      `Fixes: ${kinds.map(([kind, share]) => `${/^\d/.test(kind) ? kind.toUpperCase() : plain(kind)} ${number(100 * share, 1)} %`).join(', ')}`,
    ]);
  if (quality.timeBasis)
    found.push([
      quality.timeBasis === 'gnss_utc' ? 'good' : 'notice',
      CLOCKS[quality.timeBasis] ?? plain(quality.timeBasis),
    ]);
  for (const sentence of quality.inferred ?? []) found.push(['notice', sentenceOf(sentence)]);
  const damage = damageOf(quality);
  if (damage) found.push(['wrong', damageFact(damage)]);
  const around = aroundFact(quality);
  if (around) found.push(['notice', around]);
  return found;
}

/** Begins large and ends without a point, as the other facts do. @param {string} words */
const sentenceOf = (words) => (words.charAt(0).toUpperCase() + words.slice(1)).replace(/\.$/, '');

/** @param {Quality} quality @returns {Fact} */
function rate({ nominalRateHz, jitterMs }) {
  const times = number(nominalRateHz, 2);
  const every =
    times === '1'
      ? 'once a second'
      : nominalRateHz > 1
        ? `${times} times a second`
        : `every ${span(1000 / nominalRateHz)}`;
  const steady = !jitterMs || jitterMs < 200 / nominalRateHz;
  const jitter = jitterMs < 1000 ? `${number(jitterMs, 1)} ms` : span(jitterMs);
  return [
    steady ? 'good' : 'notice',
    `Recorded ${steady ? 'steadily' : 'unsteadily, about'} ${every}${jitterMs ? `, give or take ${jitter}` : ''}`,
  ];
}

/** @param {{count: number, listed?: {start: string, lengthS: number}[]}} gaps @returns {Fact[]} */
function gaps({ count, listed = [] }) {
  if (!count) return [['good', 'No gaps']];
  const longest = listed.reduce(
    (/** @type {{start: string, lengthS: number} | null} */ most, gap) =>
      most && most.lengthS >= gap.lengthS ? most : gap,
    null,
  );
  return [
    [
      'notice',
      `${counted(count, 'gap', 'gaps')}${longest ? `, the longest of ${span(longest.lengthS * 1000)} at ${clock(longest.start)}` : ''}`,
    ],
  ];
}

/** @param {import('../types.js').Tally} tally */
const firstRows = ({ firstRows: rows }) =>
  rows?.length
    ? ` (first at ${rows
        .slice(0, 3)
        .map((row) => number(row))
        .join(', ')})`
    : '';

/** @type {Record<Tone, string>} */
const SAID = { good: '', notice: 'Note: ', wrong: 'Problem: ' };

/** @param {import('../types.js').SessionDetail} session */
export function qualityCard(session) {
  const streams = session.datasets.filter(({ stream }) => stream !== 'lap_delta');
  const several = session.files.length > 1;
  return h(
    'section',
    { class: 'card', 'aria-labelledby': 'quality-title' },
    h('div', { class: 'card-head' }, h('h2', { id: 'quality-title' }, 'Quality')),
    h(
      'ul',
      { class: 'files plain' },
      ...session.files.map((file) =>
        h(
          'li',
          {},
          h('strong', {}, file.fileName),
          ' ',
          h(
            'span',
            { class: 'muted' },
            [size(file.byteSize), formatWords(file.format), file.compression].filter(Boolean).join(', '),
          ),
        ),
      ),
    ),
    h(
      'div',
      { class: 'quality' },
      ...streams.map((dataset) => {
        const file = several ? session.files.find(({ uploadId }) => uploadId === dataset.uploadId) : undefined;
        const { dialect, channels } = dataset.quality;
        return h(
          'div',
          { class: 'stream' },
          h('h3', {}, streamWords(dataset.stream), file && h('span', { class: 'muted' }, ` ${file.fileName}`)),
          h(
            'ul',
            { class: 'facts' },
            ...facts(dataset).map(([tone, words]) =>
              h(
                'li',
                { class: tone },
                icon(tone),
                h('span', {}, h('span', { class: 'visually-hidden' }, SAID[tone]), words),
              ),
            ),
            dialect && h('li', { class: 'good' }, icon('good'), h('span', {}, `Read as ${dialect}`)),
            channels &&
              Object.keys(channels).length > 0 &&
              h(
                'li',
                { class: 'good' },
                icon('good'),
                h('span', {}, counted(Object.keys(channels).length, 'channel', 'channels')),
              ),
          ),
        );
      }),
    ),
  );
}
