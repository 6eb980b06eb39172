// @ts-check
/** The web worker that holds a recording: reads its columns, answers what charts and map ask for. Nothing of it blocks
 *  the page. Messages are {call, ask, …}; the answer is {call, answer} or {call, failure}. */

import { distances, period, project, SEGMENT_START, speeds, SPIKE } from './geometry.js';
import { fullTrack } from './geojson.js';
import { outline } from './outline.js';
import { hasValues, interpolate, lowerBound, quantiles, thin } from './series.js';

/** Only once every fix is wanted: the first picture need not wait for it. */
const parquet = () => import('./parquet.js');

const TRACK = 'gnss_pvt';
const SHARES = 800;
/** A thinned track shorter than this share of the whole has lost its shape. */
const SHAPE_KEPT = 0.93;

/**
 * @typedef {Float32Array | Float64Array} Numbers
 * @typedef {{time: Float64Array, along: Float64Array, period: number, values: Numbers}} Channel of samples with a value
 * @typedef {{time: Float64Array, along: Float64Array, period: number, channels: Map<string, Promise<Channel>>}} Stream
 * @typedef {Stream & {latitude: Float64Array, longitude: Float64Array, x: Float64Array, y: Float64Array, speed: Numbers,
 *   speedGiven: boolean, known: Channel, breaks: Uint8Array}} Track `known` is the speed where there is one
 * @typedef {'time' | 'distance'} Axis
 * @typedef {{stream: string, channel: string}} ChannelId
 */

/** @type {Track | null} */
let track = null;
/** @type {import('./geometry.js').Origin | null} */
let origin = null;
/** Are the fixes so few that lines between them would cut the corners? */
let sparse = false;
/** @type {Track | null} */
let sketch = null;
/** @type {Map<string, import('./parquet.js').ParquetColumns>} */
const files = new Map();
/** @type {Map<string, Promise<Stream>>} */
const streams = new Map();

/**
 * @param {Float64Array} time @param {Float64Array} latitude @param {Float64Array} longitude
 * @param {Float64Array} speed @param {Uint32Array | null} flags @param {Uint8Array | null} breaks
 * @returns {Track}
 */
function trackOf(time, latitude, longitude, speed, flags, breaks) {
  origin ??= { latitude: latitude[0] ?? 0, longitude: longitude[0] ?? 0 };
  const along = distances(time, latitude, longitude, flags);
  const speedGiven = hasValues(speed);
  const shown = speedGiven ? speed : speeds(time, along);
  const cut = breaks ?? new Uint8Array(time.length);
  if (flags) {
    for (let i = 0; i < flags.length; i += 1) {
      if (flags[i] & (SPIKE | SEGMENT_START) || (i > 0 && flags[i - 1] & SPIKE)) cut[i] = 1;
    }
  }
  const every = period(time);
  const known = channelOf({ time, along, period: every }, shown);
  return {
    time,
    latitude,
    longitude,
    along,
    speed: shown,
    speedGiven,
    breaks: cut,
    period: every,
    ...project(origin, latitude, longitude),
    channels: new Map([['speed_mps', Promise.resolve(known)]]),
    known,
  };
}

/**
 * Takes a track as the recording, and tells the page of it.
 * @param {Track} taken
 * @param {number} [length] metres of the whole
 */
function hold(taken, length = 0) {
  const { time, along, speed, speedGiven } = taken;
  track = taken;
  sketch = null;
  sparse = along[along.length - 1] < SHAPE_KEPT * length;
  streams.clear();
  streams.set(TRACK, Promise.resolve(taken));
  const [low, high] = quantiles(speed, [0.01, 0.99]);
  return {
    origin,
    box: box(taken),
    from: time[0],
    to: time[time.length - 1],
    length: along[along.length - 1],
    low,
    high,
    speedGiven,
    sparse,
  };
}

/** @param {{beginning?: boolean}} [options] */
async function readTrack(options) {
  const file = files.get(TRACK);
  if (!file) throw new Error('no positions');
  const columns = await file.read(['timestamp', 'latitude_deg', 'longitude_deg', 'speed_mps', 'flags'], options);
  return trackOf(
    columns.timestamp,
    columns.latitude_deg,
    columns.longitude_deg,
    columns.speed_mps,
    Uint32Array.from(columns.flags),
    null,
  );
}

/** @param {Track} held */
function box({ x, y, breaks }) {
  const found = { left: Infinity, right: -Infinity, bottom: Infinity, top: -Infinity };
  for (let i = 0; i < x.length; i += 1) {
    // A spike is cut from both its neighbours.
    if (breaks[i] && (i + 1 === x.length || breaks[i + 1])) continue;
    if (x[i] < found.left) found.left = x[i];
    if (x[i] > found.right) found.right = x[i];
    if (y[i] < found.bottom) found.bottom = y[i];
    if (y[i] > found.top) found.top = y[i];
  }
  return found;
}

/** @returns {Track} */
function held() {
  if (!track) throw new Error('no recording is held');
  return track;
}

/** @param {string} name @returns {Promise<Stream>} */
function stream(name) {
  const known = streams.get(name);
  if (known) return known;
  const file = files.get(name);
  if (!file) throw new Error('unknown stream');
  const loading = file.read(['timestamp']).then(({ timestamp }) => {
    const { time, along } = held();
    const own = Float64Array.from(timestamp, (moment) => interpolate(time, along, moment));
    return { time: timestamp, along: own, period: period(timestamp), channels: new Map() };
  });
  streams.set(name, loading);
  loading.catch(() => streams.delete(name));
  return loading;
}

/** @param {ChannelId} id @returns {Promise<Channel | null>} null when there are no values yet */
async function channelBy({ stream: name, channel }) {
  const of = await stream(name);
  let found = of.channels.get(channel);
  if (!found) {
    const file = files.get(name);
    if (!file) return null;
    found = file.read([channel]).then((columns) => channelOf(of, columns[channel]));
    of.channels.set(channel, found);
    found.catch(() => of.channels.delete(channel));
  }
  return found;
}

/**
 * The samples that hold a value: many channels are recorded less often than their stream has rows.
 * @param {{time: Float64Array, along: Float64Array, period: number}} of
 * @param {Numbers} values NaN where there is none
 * @returns {Channel}
 */
function channelOf({ time, along, period: every }, values) {
  const held = (/** @type {number} */ _, /** @type {number} */ i) => values[i] === values[i];
  if (time.every(held)) return { time, along, period: every, values };
  const own = time.filter(held);
  return {
    time: own,
    along: along.filter(held),
    period: period(own),
    values: values.filter((value) => value === value),
  };
}

/** @type {Record<string, (ask: any) => any>} */
const answers = {
  /** The thinned track, for the first picture. */
  coarse({ time, latitude, longitude, speed, breaks, length }) {
    return hold(trackOf(time, latitude, longitude, speed, null, breaks), length);
  },

  /** The beginning of the recording in full, for a map that the thinned track is too sparse for. */
  async sketch({ wanted }) {
    await answers.addresses({ wanted });
    sketch = await readTrack({ beginning: true });
  },

  /** All fixes, and those of the channels that hold values. `wanted` maps streams to {url, byteSize}. */
  async open({ wanted, channels }) {
    await answers.addresses({ wanted });
    const whole = await readTrack();
    return { ...hold(whole), filled: await files.get(TRACK)?.filled(channels) };
  },

  /** Fresh signed addresses. */
  async addresses({ wanted }) {
    const { ParquetColumns } = await parquet();
    for (const [name, { url, byteSize }] of Object.entries(wanted)) files.set(name, new ParquetColumns(url, byteSize));
  },

  /** @param {{id: ChannelId, axis: Axis, from: number, to: number, columns: number}} ask */
  async window({ id, axis, from, to, columns }) {
    const found = await channelBy(id);
    if (!found) return null;
    const gap = axis === 'time' ? Math.max(3.5 * found.period, 1000) : Infinity;
    return thin(axis === 'time' ? found.time : found.along, found.values, from, to, columns, gap);
  },

  /** The lines of the fixes between two times, for a map's view. */
  outline({ from, to, view }) {
    if (sketch) return outline(sketch, 0, sketch.time.length, view, false);
    const of = held();
    return outline(of, lowerBound(of.time, from), Math.min(of.time.length, lowerBound(of.time, to) + 1), view, sparse);
  },

  /** Where the recording is at a time or a distance, and the values of some channels there. */
  async at({ axis, value, ids }) {
    const of = held();
    const time =
      axis === 'time'
        ? Math.min(Math.max(value, of.time[0]), of.time[of.time.length - 1])
        : interpolate(of.along, of.time, value);
    const readings = await Promise.all(ids.map((/** @type {ChannelId} */ id) => nearest(id, time)));
    return { time, ...place(of, time), readings };
  },

  /** The time of the fix that is nearest to a point of the map, within some metres; null when none is. */
  nearest({ x, y, within, from, to }) {
    const of = held();
    let best = within * within;
    let found = -1;
    for (let i = lowerBound(of.time, from); i < of.time.length && of.time[i] <= to; i += 1) {
      const away = (of.x[i] - x) ** 2 + (of.y[i] - y) ** 2;
      if (away < best) [best, found] = [away, i];
    }
    return found < 0 ? null : of.time[found];
  },

  /** Two laps over their distance: both speeds, both times, and how much later the second is. */
  compare({ first, second }) {
    const of = held();
    const courses = [first, second].map((lap) => course(of, lap.from, lap.to));
    const distance = Float64Array.from({ length: SHARES + 1 }, (_, k) => (courses[0].length * k) / SHARES);
    const delta = Float64Array.from(
      distance,
      (_, k) => courses[1].time[k] - second.from - (courses[0].time[k] - first.from),
    );
    return { distance, delta, courses };
  },

  /** All fixes as GeoJSON, in pieces that make a Blob. */
  geojson() {
    return fullTrack(held());
  },
};

/** @param {Track} of @param {number} time */
function place(of, time) {
  return {
    x: interpolate(of.time, of.x, time),
    y: interpolate(of.time, of.y, time),
    distance: interpolate(of.time, of.along, time),
    speed: interpolate(of.known.time, of.known.values, time),
    course: courseAt(of, time),
  };
}

/** The direction of travel, in radians from east, over a few metres. @param {Track} of @param {number} time */
function courseAt(of, time) {
  const along = interpolate(of.time, of.along, time);
  const [before, after] = [along - 5, along + 5].map((metres) => interpolate(of.along, of.time, metres));
  const ends = [before, after].map((moment) => [
    interpolate(of.time, of.x, moment),
    interpolate(of.time, of.y, moment),
  ]);
  return Math.atan2(ends[1][1] - ends[0][1], ends[1][0] - ends[0][0]);
}

/** The value of the sample nearest in time, null when there is none near. @param {ChannelId} id @param {number} time */
async function nearest(id, time) {
  const found = await channelBy(id);
  if (!found) return null;
  const { time: times, values } = found;
  const after = lowerBound(times, time);
  const i = after > 0 && (after === times.length || time - times[after - 1] < times[after] - time) ? after - 1 : after;
  return Math.abs(times[i] - time) <= Math.max(2 * found.period, 1000) ? values[i] : null;
}

/** A lap at equal shares of its own length. @param {Track} of @param {number} from @param {number} to */
function course(of, from, to) {
  const begin = interpolate(of.time, of.along, from);
  const length = interpolate(of.time, of.along, to) - begin;
  const time = Float64Array.from({ length: SHARES + 1 }, (_, k) => {
    if (k === 0) return from;
    if (k === SHARES) return to;
    return Math.min(to, Math.max(from, interpolate(of.along, of.time, begin + (length * k) / SHARES)));
  });
  return { length, time, speed: time.map((moment) => interpolate(of.known.time, of.known.values, moment)) };
}

self.addEventListener('message', async ({ data }) => {
  const { call, ask, ...rest } = data;
  try {
    const answer = await answers[ask](rest);
    self.postMessage({ call, answer });
  } catch (error) {
    self.postMessage({
      call,
      failure: String(error),
      expired: error instanceof Error && error.name === 'AddressExpired',
    });
  }
});
