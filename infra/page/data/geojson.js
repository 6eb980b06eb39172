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

/**
 * A stretch; across the antimeridian it is cut there, and is a list for each of its parts (section 3.1.9).
 * @param {Parameters<typeof fullTrack>[0]} track
 * @param {number} begin
 * @param {number} end
 */
function feature(track, begin, end) {
  /** @type {ReturnType<typeof part>[]} */
  const parts = [];
  let from = begin;
  /** @type {Fix | null} */
  let edge = null;
  for (let i = begin + 1; i <= end; i += 1) {
    if (i < end && Math.abs(track.longitude[i] - track.longitude[i - 1]) <= 180) continue;
    const next = i < end ? onTheAntimeridian(track, i) : null;
    parts.push(part(track, from, i, edge, next));
    edge = next && { ...next, longitude: -next.longitude };
    from = i;
  }
  const several = parts.length > 1;
  /** @param {'positions' | 'times' | 'speeds'} name */
  const all = (name) => (several ? `[${parts.map((one) => `[${one[name]}]`).join(',')}]` : `[${parts[0][name]}]`);
  return (
    `{"type":"Feature","geometry":{"type":"${several ? 'MultiLineString' : 'LineString'}","coordinates":${all('positions')}},` +
    `"properties":{"coordinateProperties":{"times":${all('times')},"speedsMps":${all('speeds')}}}}`
  );
}

/** @typedef {{time: number, longitude: number, latitude: number, speed: number}} Fix */

/**
 * Where the way to fix `i` meets the antimeridian.
 * @param {Parameters<typeof fullTrack>[0]} track
 * @param {number} i
 * @returns {Fix}
 */
function onTheAntimeridian({ time, longitude, latitude, speed }, i) {
  const side = longitude[i - 1] < 0 ? -180 : 180;
  const way = longitude[i] + 2 * side - longitude[i - 1];
  const share = way ? (side - longitude[i - 1]) / way : 0;
  /** @param {ArrayLike<number>} values */
  const between = (values) => values[i - 1] + share * (values[i] - values[i - 1]);
  return { time: between(time), longitude: side, latitude: between(latitude), speed: between(speed) };
}

/**
 * @param {Parameters<typeof fullTrack>[0]} track
 * @param {number} begin
 * @param {number} end
 * @param {Fix | null} before
 * @param {Fix | null} after
 */
function part(track, begin, end, before, after) {
  /** @param {(fix: Fix) => string} write */
  const all = (write) =>
    [
      ...(before ? [write(before)] : []),
      joined(begin, end, (i) =>
        write({
          time: track.time[i],
          longitude: track.longitude[i],
          latitude: track.latitude[i],
          speed: track.speed[i],
        }),
      ),
      ...(after ? [write(after)] : []),
    ].join(',');
  return {
    positions: all(({ longitude, latitude }) => `[${round(longitude, 1e7)},${round(latitude, 1e7)}]`),
    times: all(({ time }) => `"${new Date(time).toISOString()}"`),
    speeds: all(({ speed }) => (speed === speed ? String(round(speed, 100)) : 'null')),
  };
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
