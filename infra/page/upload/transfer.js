// @ts-check
/** Sends bytes to a signed address, with progress. Talks to the file store alone. */

import { ApiError, backoffMs, pause } from '../api.js';

/** @typedef {import('../types.js').SignedRequest} SignedRequest */

const ATTEMPTS = 6;
const SILENCE_MS = 60000;
/** A browser sets these by itself and lets no page do so. */
const FORBIDDEN = ['host', 'content-length'];
/** 403: the address has expired; 409: another PUT is at it. */
const AGAIN = [403, 408, 409, 429];

/** The bytes did not get through; sending again may help when `passing`. */
export class TransferError extends Error {
  /** @param {string} message @param {boolean} passing */
  constructor(message, passing) {
    super(message);
    this.passing = passing;
  }
}

/**
 * One PUT. 412 counts as done: the bytes are there, and the address allows no others.
 * @param {SignedRequest} signed @param {Blob} blob
 * @param {{progress: (sent: number) => void, signal: AbortSignal}} options
 * @returns {Promise<void>}
 */
export function put(signed, blob, { progress, signal }) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const request = new XMLHttpRequest();
    const broken = () => settle(() => reject(new TransferError('The connection broke off.', true)));
    // A connection that died without a word: no bytes moved for too long.
    let timer = setTimeout(() => request.abort(), SILENCE_MS);
    /** @param {() => void} finish */
    const settle = (finish) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      finish();
    };
    const stop = () => {
      request.onabort = null;
      request.abort();
      settle(() => reject(signal.reason));
    };
    signal.addEventListener('abort', stop);
    request.open(signed.method, signed.url);
    for (const [name, value] of Object.entries(signed.headers)) {
      if (!FORBIDDEN.includes(name.toLowerCase())) request.setRequestHeader(name, value);
    }
    request.upload.onprogress = ({ loaded }) => {
      clearTimeout(timer);
      timer = setTimeout(() => request.abort(), SILENCE_MS);
      progress(loaded);
    };
    request.onerror = broken;
    request.onabort = broken;
    request.onload = () =>
      settle(() => {
        if ((request.status >= 200 && request.status < 300) || request.status === 412) resolve();
        else reject(refusal(request));
      });
    request.send(blob);
  });
}

/** Of the store's answer only its code: the rest quotes the signed address. @param {XMLHttpRequest} request */
function refusal(request) {
  const code = /<Code>(\w+)<\/Code>/.exec(request.responseText)?.[1] ?? '';
  if (['BadDigest', 'XAmzContentChecksumMismatch', 'InvalidDigest'].includes(code)) {
    return new TransferError(
      'The file changed while it was being sent. Choose it again when nothing writes to it any more.',
      false,
    );
  }
  const passing = request.status >= 500 || AGAIN.includes(request.status);
  return new TransferError(
    `The file store refused the upload (${[request.status, code].filter(Boolean).join(' ')}).`,
    passing,
  );
}

/**
 * Repeats an attempt that fails for a passing reason, with longer and longer pauses; without a network it waits for it.
 * @template T
 * @param {() => Promise<T>} attempt
 * @param {{signal: AbortSignal, waiting: (message: string, milliseconds: number) => void}} options
 * @returns {Promise<T>}
 */
export async function persist(attempt, { signal, waiting }) {
  for (let count = 1; ; count += 1) {
    try {
      return await attempt();
    } catch (error) {
      const passing = (error instanceof TransferError || error instanceof ApiError) && error.passing;
      if (!passing || signal.aborted || count === ATTEMPTS) throw error;
      if (navigator.onLine) {
        const wait = Math.max(backoffMs(count), error instanceof ApiError ? error.retryAfterS * 1000 : 0);
        waiting(error.message, wait);
        await pause(wait, signal);
      } else {
        waiting('There is no connection. The upload goes on when it is back.', 0);
        await online(signal);
        count = 0;
      }
    }
  }
}

/** @param {AbortSignal} signal @returns {Promise<void>} */
function online(signal) {
  return new Promise((resolve, reject) => {
    window.addEventListener('online', () => resolve(), { once: true, signal });
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
