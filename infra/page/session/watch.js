// @ts-check
/** Follows a session while the service works on it. Polls by ETag, slower while nothing happens. */

import { ApiError, pause } from '../api.js';

const SOONEST_MS = 700;
const LATEST_MS = 5000;

/** @typedef {import('../types.js').SessionDetail} SessionDetail */

/** Is the service still at work on what the viewer sees? @param {SessionDetail} session */
export const inWork = (session) =>
  session.status === 'processing' || (session.status === 'ready' && session.progress?.job === 'detect_laps');

/**
 * The session now, and after each change until the service is done with it.
 * @param {import('../api.js').Api} api @param {string} id @param {AbortSignal} signal
 * @returns {AsyncGenerator<SessionDetail>}
 */
export async function* watch(api, id, signal) {
  let etag = '';
  let wait = SOONEST_MS;
  for (;;) {
    let retryAfterS = 0;
    try {
      const answer = await api.call('GET', `/sessions/${id}`, { etag, signal });
      retryAfterS = answer.retryAfterS;
      if (answer.status !== 304) {
        etag = answer.etag;
        wait = SOONEST_MS;
        yield answer.data;
        if (!inWork(answer.data)) return;
      }
    } catch (error) {
      // What passes by itself is no reason to stop watching.
      if (!(error instanceof ApiError) || !error.passing) throw error;
      retryAfterS = error.retryAfterS;
      wait = LATEST_MS;
    }
    await pause(Math.max(wait, retryAfterS * 1000), signal);
    wait = Math.min(LATEST_MS, wait * 1.3);
  }
}
