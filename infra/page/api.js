// @ts-check
/** Calls of the API: token, problems in plain words, ETags, repeats. Talks to the API alone. */

/** @typedef {import('./types.js').SessionDetail} SessionDetail */
/** @typedef {{token(): Promise<string>, refresh(): Promise<boolean>, lost(): void}} Access */

const ATTEMPTS = 4;
const TRANSIENT = [408, 429, 500, 502, 503, 504];

/** What went wrong, in words for the viewer. `code` is the service's, or `UNREACHABLE`. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   * @param {{retryAfterS?: number, requestId?: string}} [more]
   */
  constructor(status, code, message, more = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfterS = more.retryAfterS ?? 0;
    this.requestId = more.requestId ?? '';
  }

  /** May the same call succeed later? */
  get passing() {
    return this.code === 'UNREACHABLE' || TRANSIENT.includes(this.status);
  }
}

/** @typedef {{status: number, data: any, etag: string, retryAfterS: number}} Answer */

export class Api {
  /** @param {string} base @param {Access} access */
  constructor(base, access) {
    this.base = base;
    this.access = access;
  }

  /**
   * One call. Reads are repeated when they fail for a passing reason.
   * @param {string} method
   * @param {string} path
   * @param {{body?: any, etag?: string, signal?: AbortSignal}} [options]
   * @returns {Promise<Answer>}
   */
  async call(method, path, options = {}) {
    const attempts = method === 'GET' ? ATTEMPTS : 1;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(method, path, options);
      } catch (error) {
        if (!(error instanceof ApiError) || !error.passing || attempt >= attempts) throw error;
        await pause(Math.max(error.retryAfterS * 1000, backoffMs(attempt)), options.signal);
      }
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{body?: any, etag?: string, signal?: AbortSignal}} options
   * @returns {Promise<Answer>}
   */
  async #once(method, path, { body, etag, signal }, renewed = false) {
    /** @type {Record<string, string>} */
    const headers = { Authorization: `Bearer ${await this.access.token()}` };
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (etag) headers['If-None-Match'] = etag;
    let answer;
    let data = null;
    try {
      answer = await fetch(this.base + path, {
        method,
        headers,
        signal,
        cache: 'no-store',
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      const text = await answer.text();
      if (text) data = parsed(text);
    } catch {
      signal?.throwIfAborted();
      throw new ApiError(0, 'UNREACHABLE', 'The service cannot be reached. Check the connection and try again.');
    }
    if (answer.status === 401) {
      if (!renewed && (await this.access.refresh())) return this.#once(method, path, { body, etag, signal }, true);
      this.access.lost();
    }
    const retryAfterS = Number(answer.headers.get('Retry-After')) || 0;
    if (!answer.ok && answer.status !== 304) throw problem(answer, data, retryAfterS);
    return { status: answer.status, data, etag: answer.headers.get('ETag') ?? '', retryAfterS };
  }

  /** @param {string} path @param {AbortSignal} [signal] */
  async get(path, signal) {
    return (await this.call('GET', path, { signal })).data;
  }

  /** @param {string} path @param {any} [body] @param {AbortSignal} [signal] */
  async post(path, body, signal) {
    return (await this.call('POST', path, { body, signal })).data;
  }

  /** @param {string} id @param {AbortSignal} [signal] @returns {Promise<SessionDetail>} */
  session(id, signal) {
    return this.get(`/sessions/${id}`, signal);
  }
}

/** What is no JSON comes from somebody in between, who says nothing of use. @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param {Response} answer @param {any} data @param {number} retryAfterS */
function problem(answer, data, retryAfterS) {
  const code =
    data?.code ?? (answer.status === 401 ? 'UNAUTHENTICATED' : answer.status === 403 ? 'FORBIDDEN' : 'ERROR');
  const said = data?.detail ?? OWN_WORDS[answer.status] ?? `The service answered ${answer.status}. Try again later.`;
  return new ApiError(answer.status, code, said, { retryAfterS, requestId: data?.requestId });
}

/** @type {Record<number, string>} */
const OWN_WORDS = {
  401: 'You are not signed in any more. Sign in again.',
  403: 'This account may not use the service. Ask its operators for access.',
  404: 'There is no such recording. It may have been deleted.',
  429: 'Too many requests at once. Wait a moment and try again.',
};

/** Milliseconds before the next attempt: 1, 2, 4 … s, half of it by chance. @param {number} attempt */
export const backoffMs = (attempt) => (0.5 + 0.5 * Math.random()) * Math.min(30000, 1000 * 2 ** (attempt - 1));

/** @param {number} milliseconds @param {AbortSignal} [signal] @returns {Promise<void>} */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    function stop() {
      clearTimeout(timer);
      reject(signal?.reason);
    }
    signal?.addEventListener('abort', stop, { once: true });
  });
}
