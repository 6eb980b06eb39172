// @ts-check
/** The service's names in plain words: steps, states, formats, channels. Pure, apart from the units in use. */

import { FOOT_M, MILE_M, speedUnit, units } from './format.js';

/** The pipeline's steps in order, as they are told while they run. */
export const STEPS = /** @type {const} */ ([
  ['artifact_validate', 'Checking the file'],
  ['artifact_classify', 'Recognising the format'],
  ['parse_raw', 'Reading the recording'],
  ['detect_laps', 'Finding laps'],
]);

/** @param {string} job */
export const stepWords = (job) =>
  STEPS.find(([name]) => name === job)?.[1] ?? (job === 'discard_raw' ? 'Tidying up' : 'Working');

export const STATUS = { processing: 'Processing', ready: 'Ready', failed: 'Failed', cancelled: 'Cancelled' };

/** @type {Record<string, string>} */
const FORMATS = {
  csv: 'CSV',
  gpx: 'GPX',
  tcx: 'TCX',
  fit: 'FIT',
  nmea: 'NMEA 0183',
  ubx: 'u-blox UBX',
  vbo: 'Racelogic VBO',
  kml: 'KML',
  kmz: 'KMZ',
  igc: 'IGC',
};
/** @param {string | null} format */
export const formatWords = (format) => (format ? (FORMATS[format] ?? format.toUpperCase()) : '');

/** @type {Record<string, string>} */
const STREAMS = {
  gnss_pvt: 'Position',
  imu: 'Motion sensors',
  biometrics: 'Body',
  vehicle: 'Vehicle and other',
  lap_delta: 'Lap differences',
};
/** @param {string} stream */
export const streamWords = (stream) => STREAMS[stream] ?? stream;

export const LAP_KINDS = { out: 'Out lap', timed: 'Timed', in: 'In lap' };

/**
 * `noPosition` and `no_position` as words.
 * @param {string} name
 */
export const plain = (name) =>
  name
    .replace(/(?<=[a-z0-9])(?=[A-Z])/g, ' ')
    .replaceAll('_', ' ')
    .toLowerCase();

/**
 * The service's messages set names in backticks; here they stand in quotation marks.
 * @param {string} message
 */
export const prose = (message) => message.replace(/`([^`]+)`/g, '“$1”');

/**
 * How a channel is shown: its name, its unit, and what its values are multiplied with.
 * @typedef {{label: string, unit: string, factor: number, digits: number}} Shown
 */

/** @type {Record<string, {label: string, unit: string, digits: number}>} */
const CHANNELS = {
  course_deg: { label: 'Course', unit: '°', digits: 0 },
  horizontal_accuracy_m: { label: 'Accuracy', unit: 'm', digits: 1 },
  hdop: { label: 'HDOP', unit: '', digits: 1 },
  satellites: { label: 'Satellites', unit: '', digits: 0 },
  acceleration_x_mps2: { label: 'Acceleration x', unit: 'm/s²', digits: 2 },
  acceleration_y_mps2: { label: 'Acceleration y', unit: 'm/s²', digits: 2 },
  acceleration_z_mps2: { label: 'Acceleration z', unit: 'm/s²', digits: 2 },
  rotation_rate_x_radps: { label: 'Rotation rate x', unit: 'rad/s', digits: 2 },
  rotation_rate_y_radps: { label: 'Rotation rate y', unit: 'rad/s', digits: 2 },
  rotation_rate_z_radps: { label: 'Rotation rate z', unit: 'rad/s', digits: 2 },
  heart_rate_bpm: { label: 'Heart rate', unit: 'bpm', digits: 0 },
  cadence_rpm: { label: 'Cadence', unit: 'rpm', digits: 0 },
  power_w: { label: 'Power', unit: 'W', digits: 0 },
  temperature_degc: { label: 'Temperature', unit: '°C', digits: 1 },
};

/**
 * @param {string} stream
 * @param {string} channel
 * @param {string} [unit] as the quality report names it
 * @returns {Shown}
 */
export function shown(stream, channel, unit = '') {
  if (stream === 'gnss_pvt' && channel === 'speed_mps') {
    return { label: 'Speed', unit: speedUnit(), factor: units.imperial ? 3600 / MILE_M : 3.6, digits: 1 };
  }
  if (stream === 'gnss_pvt' && channel === 'altitude_m') {
    return { label: 'Altitude', unit: units.imperial ? 'ft' : 'm', factor: units.imperial ? 1 / FOOT_M : 1, digits: 1 };
  }
  if (stream === 'gnss_pvt' && channel === 'vertical_speed_mps') {
    return { label: 'Vertical speed', unit: 'm/s', factor: 1, digits: 1 };
  }
  const known = stream === 'vehicle' ? undefined : CHANNELS[channel];
  if (known) return { ...known, factor: 1 };
  const words = channel.replaceAll('_', ' ').trim();
  return { label: words.charAt(0).toUpperCase() + words.slice(1), unit, factor: 1, digits: 2 };
}

/** Channels of the position stream that can be drawn, in the order in which they are offered. */
export const POSITION_CHANNELS = [
  'speed_mps',
  'altitude_m',
  'course_deg',
  'vertical_speed_mps',
  'horizontal_accuracy_m',
  'hdop',
  'satellites',
];

/** @param {import('./types.js').Device} device */
export function deviceWords(device) {
  const { manufacturer, model } = device;
  const named = manufacturer && model?.toLowerCase().startsWith(manufacturer.toLowerCase());
  const maker = [named ? '' : manufacturer, model].filter(Boolean).join(' ');
  const which = device.name ?? (device.serialNumber ? `no. ${device.serialNumber}` : '');
  return [maker, which].filter(Boolean).join(', ') || 'Unnamed device';
}
