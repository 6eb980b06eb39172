// @ts-check
/** How a recording that could be read only in part is told of: cut off or damaged, where, and how far it was read.
 *  Pure. */

import { span } from './format.js';

/** As the readers, the unpacker and expat say that bytes end too early. */
const CUT = /cut off|ends in the middle|unclosed|no element found|partial character/;
/** What is wrong with an archive around a recording that is itself whole. */
const AROUND = /directory|ignored/;
const PLACE = /\b(byte \d+|line \d+(, column \d+)?)/;

/** @typedef {{cut: boolean, archive: boolean, place: string}} Damage `place` in the file, as far as it is known */

/**
 * What keeps a recording from being whole; null when nothing does.
 * @param {import('./types.js').Quality} quality @returns {Damage | null}
 */
export function damageOf({ damage, archiveDamage }) {
  // A recording in an archive that is cut off is itself cut off: the archive is the cause.
  const archive = Boolean(archiveDamage) && !AROUND.test(archiveDamage);
  const detail = String(archive ? archiveDamage : typeof damage === 'object' ? (damage?.detail ?? '') : damage);
  if (!archive && !damage) return null;
  return { cut: CUT.test(detail), archive, place: PLACE.exec(detail)?.[1] ?? '' };
}

/**
 * What is wrong with the archive, though nothing of the recording is missing; empty when nothing is.
 * @param {import('./types.js').Quality} quality
 */
export const aroundFact = ({ archiveDamage }) =>
  archiveDamage && AROUND.test(archiveDamage) ? `The archive is not as it should be: ${archiveDamage}` : '';

/** @param {Damage} damage */
const state = ({ cut }) => (cut ? 'cut off' : 'damaged');

/** For the quality report. @param {Damage} damage */
export function damageFact(damage) {
  const at = damage.place && ` at ${damage.place}`;
  return `The ${damage.archive ? 'archive' : 'file'} is ${state(damage)}${at}: what came before was read`;
}

/**
 * The files of a session that were read only in part.
 * @param {import('./types.js').SessionDetail} session
 * @returns {{uploadId: string, fileName: string, words: string}[]} `words` as “cut off after 1 min 38 s”
 */
export function partial({ datasets, files }) {
  return datasets.flatMap(({ uploadId, quality, startTimeUtc, endTimeUtc }) => {
    const damage = damageOf(quality);
    if (!damage) return [];
    const read = Date.parse(endTimeUtc) - Date.parse(startTimeUtc);
    const after = read > 0 ? `after ${span(read)}` : 'after its first point';
    const fileName = files.find((file) => file.uploadId === uploadId)?.fileName ?? 'The file';
    return [{ uploadId, fileName, words: `${state(damage)} ${after}` }];
  });
}
