// @ts-check
/** Ordered samples: searching, interpolating, and thinning to what a screen can show. Pure. */

/**
 * The first index whose value is at least `wanted`.
 * @param {ArrayLike<number>} sorted @param {number} wanted
 */
export function lowerBound(sorted, wanted) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Linear between samples, the end values outside.
 * @param {ArrayLike<number>} x sorted @param {ArrayLike<number>} y @param {number} wanted
 */
export function interpolate(x, y, wanted) {
  const after = lowerBound(x, wanted);
  if (after <= 0) return y[0];
  if (after >= x.length) return y[x.length - 1];
  const step = x[after] - x[after - 1];
  const share = step > 0 ? (wanted - x[after - 1]) / step : 1;
  return y[after - 1] + share * (y[after] - y[after - 1]);
}

/**
 * @typedef {{x: Float64Array, y: (number | null)[], min: number, max: number, mean: number, count: number}} Thinned
 */

/**
 * The part of a series within `from` … `to`, thinned to first, least, greatest and last sample of each of `columns`
 * (M4: Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014), which draws the same
 * picture as all samples. One sample on either side is kept; null breaks the line over a gap.
 * @param {Float64Array} x sorted
 * @param {Float32Array | Float64Array} y NaN where there is no value
 * @param {number} from @param {number} to @param {number} columns
 * @param {number} gap a longer step in x than this is not drawn
 * @returns {Thinned} `min`, `max`, `mean` and `count` are of the values within, before thinning
 */
export function thin(x, y, from, to, columns, gap) {
  const begin = lowerBound(x, from);
  let end = lowerBound(x, to);
  while (end < x.length && x[end] === to) end += 1;
  let min = Infinity;
  let max = -Infinity;
  let sum = 0;
  let count = 0;
  for (let i = begin; i < end; i += 1) {
    const value = y[i];
    if (value !== value) continue;
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
    count += 1;
  }
  const kept = end - begin <= columns * 4 ? everyIndex(begin, end) : m4(x, y, begin, end, from, to, columns);
  if (begin > 0) kept.unshift(begin - 1);
  if (end < x.length) kept.push(end);
  /** @type {number[]} */
  const outX = [];
  /** @type {(number | null)[]} */
  const outY = [];
  for (let k = 0; k < kept.length; k += 1) {
    const i = kept[k];
    if (k > 0 && x[i] - x[i - 1] > gap && kept[k - 1] <= i - 1) {
      outX.push((x[i] + x[i - 1]) / 2);
      outY.push(null);
    }
    outX.push(x[i]);
    outY.push(y[i] === y[i] ? y[i] : null);
  }
  return { x: Float64Array.from(outX), y: outY, min, max, mean: count ? sum / count : NaN, count };
}

/** @param {number} begin @param {number} end */
const everyIndex = (begin, end) => Array.from({ length: Math.max(0, end - begin) }, (_, k) => begin + k);

/**
 * @param {Float64Array} x @param {Float32Array | Float64Array} y @param {number} begin @param {number} end
 * @param {number} from @param {number} to @param {number} columns
 */
function m4(x, y, begin, end, from, to, columns) {
  const kept = [];
  const width = (to - from) / columns;
  let i = begin;
  while (i < end) {
    const limit = from + (Math.floor((x[i] - from) / width) + 1) * width;
    const first = i;
    let least = -1;
    let greatest = -1;
    do {
      const value = y[i];
      if (value === value) {
        if (least < 0 || value < y[least]) least = i;
        if (greatest < 0 || value > y[greatest]) greatest = i;
      }
      i += 1;
    } while (i < end && x[i] < limit);
    const last = i - 1;
    const [one, other] = least < greatest ? [least, greatest] : [greatest, least];
    kept.push(first);
    if (one > first && one < last) kept.push(one);
    if (other > Math.max(first, one) && other < last) kept.push(other);
    if (last > first) kept.push(last);
  }
  return kept;
}

/**
 * Values that shares of all samples lie below; NaN is left out.
 * @param {Float32Array | Float64Array} values @param {number[]} shares
 */
export function quantiles(values, shares) {
  const stride = Math.max(1, Math.floor(values.length / 20000));
  const sample = [];
  for (let i = 0; i < values.length; i += stride) if (values[i] === values[i]) sample.push(values[i]);
  const sorted = Float64Array.from(sample).sort();
  return shares.map((share) => sorted[Math.round(share * (sorted.length - 1))] ?? NaN);
}

/** @param {Float32Array | Float64Array} values */
export const hasValues = (values) => values.some((value) => value === value);
