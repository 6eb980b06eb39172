// @ts-check
/** A recording as GeoJSON (RFC 7946), in the form of the service's own track. Pure. */

const BLOCK = 20000;
const encoder = new TextEncoder();

/**
 * A LineString for each unbroken stretch, with a time and a speed for each of its positions.
 * @param {{time: Float64Array, latitude: Float64Array, longitude: Float64Array, speed: Float32Array | Float64Array, breaks: Uint8Array}} track
 * @returns {Uint8Array[]}
 */
export function fullTrack(track) {
  /** @type {string[]} */
  const features = [];
  let begin = 0;
  for (let i = 1; i <= track.time.length; i += 1) {
    if (i < track.time.length && !track.breaks[i]) continue;
    if (i - begin > 1) features.push(feature(track, begin, i));
    begin = i;
  }
  const text = ['{"type":"FeatureCollection","features":[', ...features.map((one, k) => (k ? `,${one}` : one)), ']}'];
  return text.map((piece) => encoder.encode(piece));
}

/** @param {Parameters<typeof fullTrack>[0]} track @param {number} begin @param {number} end */
function feature(track, begin, end) {
  const positions = joined(begin, end, (i) => `[${round(track.longitude[i], 1e7)},${round(track.latitude[i], 1e7)}]`);
  const times = joined(begin, end, (i) => `"${new Date(track.time[i]).toISOString()}"`);
  const speeds = joined(begin, end, (i) => (track.speed[i] === track.speed[i] ? String(round(track.speed[i], 100)) : 'null'));
  return `{"type":"Feature","geometry":{"type":"LineString","coordinates":[${positions}]},` +
    `"properties":{"coordinateProperties":{"times":[${times}],"speedsMps":[${speeds}]}}}`;
}

/** @param {number} begin @param {number} end @param {(i: number) => string} write */
function joined(begin, end, write) {
  const blocks = [];
  for (let from = begin; from < end; from += BLOCK) {
    const block = [];
    for (let i = from; i < Math.min(end, from + BLOCK); i += 1) block.push(write(i));
    blocks.push(block.join(','));
  }
  return blocks.join(',');
}

/** @param {number} value @param {number} steps */
const round = (value, steps) => Math.round(value * steps) / steps;
