// @ts-check
/** Positions to metres: distances along a track, and a plane for the map. Pure; arrays in, arrays out. */

const SEMI_MAJOR_M = 6378137;
const ECCENTRICITY_SQUARED = 0.00669437999014;
const RADIANS = Math.PI / 180;

/** Bits of the column `flags`. */
export const SPIKE = 4;
export const SEGMENT_START = 16;

const LONGEST_STEP_MS = 60000;

/**
 * Metres between two near positions, by the radii of curvature of WGS 84 at their mean latitude.
 * @param {number} lat1 @param {number} lon1 @param {number} lat2 @param {number} lon2 degrees
 */
function stepM(lat1, lon1, lat2, lon2) {
  const latitude = ((lat1 + lat2) / 2) * RADIANS;
  const sine = Math.sin(latitude);
  const root = 1 - ECCENTRICITY_SQUARED * sine * sine;
  const normal = SEMI_MAJOR_M / Math.sqrt(root);
  const meridian = (normal * (1 - ECCENTRICITY_SQUARED)) / root;
  let east = lon2 - lon1;
  if (east > 180) east -= 360;
  else if (east < -180) east += 360;
  return Math.hypot((lat2 - lat1) * RADIANS * meridian, east * RADIANS * normal * Math.cos(latitude));
}

/**
 * Metres from the first fix along the track. Jumps into a new segment, to and from a spike and over long gaps do not
 * count, as in the service's own reckoning.
 * @param {Float64Array} time milliseconds
 * @param {Float64Array} latitude @param {Float64Array} longitude degrees
 * @param {Uint32Array | null} flags
 */
export function distances(time, latitude, longitude, flags) {
  const along = new Float64Array(time.length);
  const limit = Math.max(LONGEST_STEP_MS, 3 * period(time));
  for (let i = 1; i < time.length; i += 1) {
    const jump = flags !== null && ((flags[i] & (SPIKE | SEGMENT_START)) !== 0 || (flags[i - 1] & SPIKE) !== 0);
    const step =
      jump || time[i] - time[i - 1] > limit ? 0 : stepM(latitude[i - 1], longitude[i - 1], latitude[i], longitude[i]);
    along[i] = along[i - 1] + step;
  }
  return along;
}

/**
 * The usual interval between neighbouring times: the median of a sample.
 * @param {Float64Array} time
 */
export function period(time) {
  const stride = Math.max(1, Math.floor(time.length / 2000));
  const steps = [];
  for (let i = stride; i < time.length; i += stride) {
    const step = time[i] - time[i - 1];
    if (step > 0) steps.push(step);
  }
  steps.sort((a, b) => a - b);
  return steps[Math.floor(steps.length / 2)] ?? 0;
}

/**
 * Metres a second from time and distance, over about a second, for recordings that give no speed.
 * @param {Float64Array} time milliseconds @param {Float64Array} along metres
 */
export function speeds(time, along) {
  const speed = new Float64Array(time.length);
  let before = 0;
  let after = 0;
  for (let i = 0; i < time.length; i += 1) {
    while (before < i && time[i] - time[before] > 500) before += 1;
    while (after < time.length - 1 && time[after] - time[i] < 500) after += 1;
    const from = Math.max(0, Math.min(before, i - 1));
    const to = Math.min(time.length - 1, Math.max(after, i + 1));
    const span = time[to] - time[from];
    speed[i] = span > 0 ? ((along[to] - along[from]) / span) * 1000 : NaN;
  }
  return speed;
}

/**
 * A plane of Mercator's projection with true scale at its origin: shapes are right, north is up, x and y in metres.
 * @typedef {{latitude: number, longitude: number}} Origin
 */

/** @param {number} latitude degrees */
const mercator = (latitude) => Math.log(Math.tan(Math.PI / 4 + (Math.max(-85, Math.min(85, latitude)) * RADIANS) / 2));

/** @param {Origin} origin */
const scaleAt = (origin) => SEMI_MAJOR_M * Math.cos(Math.max(-85, Math.min(85, origin.latitude)) * RADIANS);

/**
 * @param {Origin} origin @param {Float64Array} latitude @param {Float64Array} longitude
 * @returns {{x: Float64Array, y: Float64Array}}
 */
export function project(origin, latitude, longitude) {
  const scale = scaleAt(origin);
  const base = mercator(origin.latitude);
  const x = new Float64Array(latitude.length);
  const y = new Float64Array(latitude.length);
  let turn = 0;
  let before = origin.longitude;
  for (let i = 0; i < latitude.length; i += 1) {
    // The short way around, so that a track across the antimeridian stays in one piece.
    const step = longitude[i] + turn - before;
    if (step > 180) turn -= 360;
    else if (step < -180) turn += 360;
    before = longitude[i] + turn;
    x[i] = (before - origin.longitude) * RADIANS * scale;
    y[i] = (mercator(latitude[i]) - base) * scale;
  }
  return { x, y };
}

/** @param {Origin} origin @param {number} x @param {number} y */
export function unproject(origin, x, y) {
  const scale = scaleAt(origin);
  const latitude = (2 * Math.atan(Math.exp(mercator(origin.latitude) + y / scale)) - Math.PI / 2) / RADIANS;
  const longitude = origin.longitude + x / scale / RADIANS;
  return { latitude, longitude: longitude - 360 * Math.round(longitude / 360) };
}

/** How much longer a metre is drawn at `y` than at the origin. @param {Origin} origin @param {number} y */
export function stretch(origin, y) {
  return Math.cos(origin.latitude * RADIANS) / Math.cos(unproject(origin, 0, y).latitude * RADIANS);
}
