// @ts-check
/** Numbers and times as people read them: the viewer's language, zone and units. Keeps the choice of units. */

const KEY = 'telemetry.units';
const MILES = ['US', 'GB', 'LR', 'MM'];

/** @typedef {'metric' | 'imperial'} System */

export const FOOT_M = 0.3048;
export const MILE_M = 1609.344;

/** @returns {System} */
function preferred() {
  const kept = localStorage.getItem(KEY);
  if (kept === 'metric' || kept === 'imperial') return kept;
  const region = new Intl.Locale(navigator.language).maximize().region ?? '';
  return MILES.includes(region) ? 'imperial' : 'metric';
}

/** Changes are told by the event `change`. */
export const units = new (class Units extends EventTarget {
  /** @type {System} */
  system = preferred();

  /** @param {System} system */
  choose(system) {
    this.system = system;
    localStorage.setItem(KEY, system);
    this.dispatchEvent(new Event('change'));
  }

  get imperial() {
    return this.system === 'imperial';
  }
})();

const POINT = new Intl.NumberFormat().formatToParts(1.5).find(({ type }) => type === 'decimal')?.value ?? '.';

/** @type {Map<string, Intl.NumberFormat>} */
const numbers = new Map();

/**
 * A number with up to `digits` digits after the point, all of them shown when `fixed`.
 * @param {number} value
 * @param {number} [digits]
 * @param {boolean} [fixed]
 */
export function number(value, digits = 0, fixed = false) {
  const key = `${digits}${fixed}`;
  let format = numbers.get(key);
  if (!format) {
    format = new Intl.NumberFormat(undefined, {
      maximumFractionDigits: digits,
      minimumFractionDigits: fixed ? digits : 0,
    });
    numbers.set(key, format);
  }
  return format.format(value);
}

/** @param {number} count @param {string} one @param {string} many */
export const counted = (count, one, many) => `${number(count)} ${count === 1 ? one : many}`;

/** @param {number} mps metres a second */
export const speedValue = (mps) => mps * (units.imperial ? 3600 / MILE_M : 3.6);
export const speedUnit = () => (units.imperial ? 'mph' : 'km/h');

/** @param {number | null | undefined} mps */
export function speed(mps) {
  return mps === null || mps === undefined ? '' : `${number(speedValue(mps), 1, true)} ${speedUnit()}`;
}

/** @param {number | null | undefined} metres */
export function distance(metres) {
  if (metres === null || metres === undefined) return '';
  if (units.imperial) {
    const miles = metres / MILE_M;
    return miles < 0.2 ? `${number(metres / FOOT_M)} ft` : `${number(miles, miles < 9.995 ? 2 : 1, true)} mi`;
  }
  // As they are once rounded: 999.7 m are 1.00 km, and 9.996 km are 10.0.
  return metres < 999.5 ? `${number(metres)} m` : `${number(metres / 1000, metres < 9995 ? 2 : 1, true)} km`;
}

/**
 * A lap's time: `1:23.456`, or `2:01:23.456`.
 * @param {number | null | undefined} milliseconds
 */
export function lapTime(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return '';
  const total = Math.round(milliseconds);
  const hours = Math.floor(total / 3600000);
  const minutes = Math.floor((total % 3600000) / 60000);
  const seconds = `${pad(Math.floor((total % 60000) / 1000))}${POINT}${String(total % 1000).padStart(3, '0')}`;
  return hours ? `${hours}:${pad(minutes)}:${seconds}` : `${minutes}:${seconds}`;
}

/**
 * A difference of lap times: `+0.123` or `−1.204`, in seconds.
 * @param {number} milliseconds
 */
export function delta(milliseconds) {
  const seconds = Math.round(milliseconds) / 1000;
  const sign = seconds < 0 ? '−' : seconds > 0 ? '+' : '±';
  return sign + Math.abs(seconds).toFixed(3).replace('.', POINT);
}

/**
 * A length of time in words: `17 min 19 s`.
 * @param {number | null | undefined} milliseconds
 */
export function span(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return '';
  const seconds = Math.round(milliseconds / 1000);
  if (milliseconds < 10000) return `${number(milliseconds / 1000, 1)} s`;
  const parts = [
    [Math.floor(seconds / 86400), 'd'],
    [Math.floor((seconds % 86400) / 3600), 'h'],
    [Math.floor((seconds % 3600) / 60), 'min'],
    [seconds % 60, 's'],
  ].filter(([count]) => Number(count) > 0);
  return parts
    .slice(0, 2)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ');
}

/**
 * Since a beginning: `12:03.4`, with hours from the first on.
 * @param {number} milliseconds
 */
export function elapsed(milliseconds) {
  const tenths = Math.floor(Math.max(0, milliseconds) / 100 + 1e-6);
  const hours = Math.floor(tenths / 36000);
  const minutes = Math.floor((tenths % 36000) / 600);
  const seconds = `${pad(Math.floor((tenths % 600) / 10))}${POINT}${tenths % 10}`;
  return hours ? `${hours}:${pad(minutes)}:${seconds}` : `${minutes}:${seconds}`;
}

/** @param {number} count */
const pad = (count) => String(count).padStart(2, '0');

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  const step = Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return `${number(bytes / 1000 ** step, 1)} ${['', 'kB', 'MB', 'GB'][step]}`;
}

const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const minute = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const clockFormat = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const short = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

/** @param {Date | number | string} time in the viewer's zone */
export const date = (time) => day.format(new Date(time));
/** @param {Date | number | string} time in the viewer's zone */
export const moment = (time) => minute.format(new Date(time));
/** @param {Date | number | string} time of day with seconds, in the viewer's zone */
export const clock = (time) => clockFormat.format(new Date(time));
/** @param {Date | number | string} time of day without seconds, in the viewer's zone */
export const clockShort = (time) => short.format(new Date(time));

/**
 * The same moment in UTC, for a hint.
 * @param {Date | number | string} time
 */
export const utc = (time) => `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
