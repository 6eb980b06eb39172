// @ts-check
/** Sends a large file in parts, each signed for its own bytes. Parts that have arrived are not sent again. */

import { ApiError } from '../api.js';
import { sha256 } from './hashing.js';
import { persist, put } from './transfer.js';

const AT_ONCE = 3;

/**
 * @param {import('../api.js').Api} api @param {string} uploadId @param {File} file
 * @param {{progress: (sent: number) => void, signal: AbortSignal, waiting: (message: string, milliseconds: number) => void}} options
 */
export async function sendParts(api, uploadId, file, { progress, signal, waiting }) {
  /** @type {import('../types.js').PartList} */
  let told;
  try {
    told = await persist(() => api.get(`/uploads/${uploadId}/parts`, signal), { signal, waiting });
  } catch (error) {
    if (error instanceof ApiError && error.code === 'UPLOAD_ALREADY_RECEIVED') return;
    throw error;
  }
  const arrived = new Map(told.received.map((part) => [part.partNumber, part.sha256]));
  /** @type {Map<number, number>} */
  const sent = new Map();
  const tell = () => progress([...sent.values()].reduce((sum, bytes) => sum + bytes, 0));
  let next = 1;

  /** @param {number} number */
  const send = async (number) => {
    const blob = file.slice((number - 1) * told.partSize, Math.min(number * told.partSize, file.size));
    const checksum = await sha256(blob, { signal });
    if (arrived.get(number) !== checksum) {
      await persist(
        async () => {
          sent.set(number, 0);
          // Signed anew for each attempt: an address is valid for some minutes only.
          const { parts } = await api.post(
            `/uploads/${uploadId}/parts`,
            { parts: [{ partNumber: number, sha256: checksum }] },
            signal,
          );
          await put(parts[0].upload, blob, {
            signal,
            progress: (bytes) => {
              sent.set(number, bytes);
              tell();
            },
          });
        },
        { signal, waiting },
      );
    }
    sent.set(number, blob.size);
    tell();
  };
  const lane = async () => {
    while (next <= told.partCount) {
      next += 1;
      await send(next - 1);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}
