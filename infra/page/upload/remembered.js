// @ts-check
/** Uploads that were begun, so that the same file goes on after a break or a reload. Keeps their ids in local storage:
 *  no address, no token, no name. */

const PREFIX = 'telemetry.upload.';

/** @typedef {{api: string, sha256: string, byteSize: number}} Which */

/** @param {Which} which */
const key = ({ api, sha256, byteSize }) => `${PREFIX}${sha256}.${byteSize}.${api}`;

/** @param {Which} which */
export const recall = (which) => localStorage.getItem(key(which));
/** @param {Which} which @param {string} uploadId */
export const keep = (which, uploadId) => localStorage.setItem(key(which), uploadId);
/** @param {Which} which */
export const forget = (which) => localStorage.removeItem(key(which));
