// @ts-check
/** The uploads of this visit: what each file is at, from checksum to laps. No elements here; see view.js. */

import { ApiError, pause } from '../api.js';
import { watch } from '../session/watch.js';
import { sha256, Unreadable } from './hashing.js';
import { sendParts } from './parts.js';
import { forget, keep, recall } from './remembered.js';
import { persist, put, TransferError } from './transfer.js';

const AT_ONCE = 2;
/** From two parts on, a broken upload need not begin anew. */
const PARTS_FROM = 16 * 1024 * 1024;

/**
 * @typedef {'waiting' | 'checksum' | 'announcing' | 'duplicate' | 'sending' | 'arrived' | 'finalising' | 'processing'
 *   | 'ready' | 'failed' | 'cancelled' | 'left'} Stage `arrived` until all files of its session have
 * @typedef {import('../types.js').SessionDetail} SessionDetail
 */

/** @type {Record<string, string>} */
const TYPES = {
  csv: 'text/csv',
  gpx: 'application/gpx+xml',
  tcx: 'application/vnd.garmin.tcx+xml',
  kml: 'application/vnd.google-earth.kml+xml',
  kmz: 'application/vnd.google-earth.kmz',
  gz: 'application/gzip',
  zip: 'application/zip',
};

/** Files that become one session together; it is followed as long as one of them is in the list. */
class Together {
  /** @type {UploadItem[]} */
  items = [];
  stopping = new AbortController();

  /** @param {UploadItem} item */
  leave(item) {
    this.items = this.items.filter((other) => other !== item);
    item.together = null;
    if (!this.items.length) this.stopping.abort(new DOMException('stopped', 'AbortError'));
  }
}

/** One file on its way. `done` counts bytes of `file.size` while reading or sending. */
export class UploadItem {
  /** @param {File} file */
  constructor(file) {
    this.file = file;
    /** @type {Stage} */
    this.stage = 'waiting';
    this.done = 0;
    /** Why it pauses; empty while it moves. */
    this.note = '';
    /** Why it stopped. */
    this.failure = '';
    /** The same file would fail again. */
    this.hopeless = false;
    this.resumed = false;
    this.again = false;
    this.sha256 = '';
    this.uploadId = '';
    /** @type {string | null} */
    this.sessionId = null;
    /** @type {string | null} */
    this.duplicateOf = null;
    /** @type {SessionDetail | null} */
    this.session = null;
    this.stopping = new AbortController();
    /** The files that its session is made of. @type {Together | null} */
    this.together = null;
  }

  /** Nothing happens any more, unless the viewer does something. */
  get settled() {
    return ['duplicate', 'ready', 'failed', 'cancelled', 'left'].includes(this.stage);
  }

  /** Nothing more can come of it here. */
  get finished() {
    return this.settled && !this.mayGoOn && this.stage !== 'duplicate';
  }

  /** It failed on its way here, not in what it holds: sending may be taken up again. */
  get mayGoOn() {
    return this.stage === 'failed' && this.session === null && !this.hopeless;
  }
}

/** Events: `added`, `changed`, `removed`, each with the item as its detail. */
export class Uploads extends EventTarget {
  /** @param {import('../api.js').Api} api */
  constructor(api) {
    super();
    this.api = api;
    /** @type {UploadItem[]} */
    this.items = [];
    this.running = 0;
    /** Do files that are added at once become one session? */
    this.joining = false;
    /** @type {Promise<unknown>} */
    this.hashing = Promise.resolve();
  }

  /** Are there bytes that would not get there if the page were left now? */
  get busy() {
    return this.items.some((item) => !item.settled && item.stage !== 'processing');
  }

  /** @param {Iterable<File>} files */
  add(files) {
    const added = Array.from(files, (file) => new UploadItem(file));
    if (this.joining && added.length > 1) {
      const together = new Together();
      together.items = added;
      for (const item of added) item.together = together;
    }
    for (const item of added) {
      this.items.push(item);
      this.#tell('added', item);
    }
    this.#next();
  }

  /** Takes up an upload that stopped, and those that stopped with it. @param {UploadItem} item */
  goOn(item) {
    for (const one of item.together?.items.filter(({ mayGoOn }) => mayGoOn) ?? [item]) {
      one.stopping = new AbortController();
      Object.assign(one, { failure: '', hopeless: false, note: '' });
      this.#stage(one, 'waiting');
    }
    this.#next();
  }

  /** The same bytes once more, and so those they are to make a session with. @param {UploadItem} item */
  sendAgain(item) {
    for (const one of item.together?.items.filter(({ stage }) => stage === 'duplicate') ?? [item]) {
      one.again = true;
      this.#stage(one, 'waiting');
    }
    this.#next();
  }

  /** Ends an upload and forgets it here; what became of its session stays. @param {UploadItem} item */
  async remove(item) {
    item.stopping.abort(new DOMException('stopped', 'AbortError'));
    this.items = this.items.filter((other) => other !== item);
    this.#tell('removed', item);
    const { together } = item;
    together?.leave(item);
    // What is being made a session of all is not taken away from it.
    const taken = item.sessionId || (together && item.stage === 'finalising');
    if (item.uploadId && !taken) await this.#abandon(item);
    if (together) await this.#join(together);
  }

  #next() {
    for (const item of this.items) {
      if (this.running >= AT_ONCE) return;
      if (item.stage !== 'waiting') continue;
      const { together } = item;
      this.running += 1;
      this.#stage(item, 'checksum');
      this.#deliver(item)
        .catch((error) => this.#failed(item, error))
        .finally(() => {
          this.running -= 1;
          this.#next();
        })
        .then(() => {
          if (together) this.#join(together);
          return !item.together && item.stage === 'processing' ? this.#follow([item], item.stopping.signal) : undefined;
        })
        .catch((error) => this.#failed(item, error));
    }
  }

  /** From the file to its session. @param {UploadItem} item */
  async #deliver(item) {
    const { signal } = item.stopping;
    if (item.sessionId) {
      item.together?.leave(item);
      this.#stage(item, 'processing');
      return;
    }
    if (!item.sha256) {
      if (item.file.size === 0)
        throw new TransferError('The file is empty. Export or copy the recording again.', false);
      // One at a time: a disk reads two files slower than one after the other.
      const turn = this.hashing.then(() => sha256(item.file, { signal, progress: (done) => this.#move(item, done) }));
      this.hashing = turn.catch(() => undefined);
      item.sha256 = await turn;
    }
    this.#stage(item, 'announcing');
    const waiting = this.#waiting(item);
    const signed = await persist(() => this.#announce(item), { signal, waiting });
    if (signed === 'duplicate') {
      this.#stage(item, 'duplicate');
      return;
    }
    if (!item.sessionId) {
      if (signed) await this.#send(item, signed);
      if (item.together) {
        this.#stage(item, 'arrived');
        return;
      }
      this.#stage(item, 'finalising');
      await persist(() => this.#finalise([item], signal), { signal, waiting });
    } else {
      // It became one before, with those it was sent with then.
      item.together?.leave(item);
    }
    forget(this.#which(item));
    this.#stage(item, 'processing');
  }

  /**
   * The signed PUT of a new upload or of the one that was begun; null when its bytes or even its session are there.
   * @param {UploadItem} item @returns {Promise<import('../types.js').SignedRequest | 'duplicate' | null>}
   */
  async #announce(item) {
    const { signal } = item.stopping;
    const begun = recall(this.#which(item));
    if (begun) {
      const state = await this.#begun(begun, signal);
      if (state) {
        Object.assign(item, { uploadId: begun, sessionId: state.sessionId, resumed: true });
        return state.upload ?? null;
      }
      forget(this.#which(item));
    }
    const suffix = item.file.name.split('.').pop()?.toLowerCase() ?? '';
    const created = await this.api.post(
      '/uploads',
      {
        fileName: item.file.name,
        contentType: TYPES[suffix] ?? 'application/octet-stream',
        byteSize: item.file.size,
        sha256: item.sha256,
      },
      signal,
    );
    item.uploadId = created.uploadId;
    if (created.duplicateOf && !item.again && (await this.#worthKeeping(created.duplicateOf, signal))) {
      item.duplicateOf = created.duplicateOf;
      await this.#abandon(item);
      return 'duplicate';
    }
    keep(this.#which(item), created.uploadId);
    return created.upload;
  }

  /**
   * @param {string} uploadId
   * @param {AbortSignal} signal
   * @returns {Promise<import('../types.js').Upload | null>} null when it is of no use any more
   */
  async #begun(uploadId, signal) {
    try {
      const state = await this.api.get(`/uploads/${uploadId}`, signal);
      const open = state.status === 'uploaded' && (state.upload || state.receivedAt);
      return state.sessionId || open ? state : null;
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  /**
   * A session that failed is no reason not to send its bytes again.
   * @param {string} sessionId
   * @param {AbortSignal} signal
   */
  async #worthKeeping(sessionId, signal) {
    try {
      return ['ready', 'processing'].includes((await this.api.session(sessionId, signal)).status);
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return false;
      throw error;
    }
  }

  /** @param {UploadItem} item @param {import('../types.js').SignedRequest} first */
  async #send(item, first) {
    const { signal } = item.stopping;
    const options = {
      signal,
      waiting: this.#waiting(item),
      progress: (/** @type {number} */ sent) => {
        item.note = '';
        this.#move(item, sent);
      },
    };
    this.#stage(item, 'sending');
    if (item.file.size > PARTS_FROM) {
      await sendParts(this.api, item.uploadId, item.file, options);
      return;
    }
    /** @type {import('../types.js').SignedRequest | undefined} */
    let signed = first;
    await persist(async () => {
      // After a break the bytes may have arrived all the same, and the address may have expired.
      signed ??= (await this.api.get(`/uploads/${item.uploadId}`, signal)).upload;
      if (!signed) return;
      const now = signed;
      signed = undefined;
      await put(now, item.file, options);
    }, options);
  }

  /** One session of all, as soon as all are there. @param {Together} together */
  async #join(together) {
    const { items, stopping } = together;
    if (!items.length || items.some(({ stage }) => stage !== 'arrived')) return;
    for (const item of items) this.#stage(item, 'finalising');
    try {
      await persist(() => this.#finalise(items, stopping.signal), {
        signal: stopping.signal,
        waiting: this.#waiting(items[0]),
      });
      for (const item of items) {
        forget(this.#which(item));
        this.#stage(item, 'processing');
      }
      await this.#follow(items, stopping.signal);
    } catch (error) {
      // Without one of them it may be a session.
      for (const item of together.items) this.#failed(item, error, true);
    }
  }

  /** @param {UploadItem[]} items of one session, which the first gives its name @param {AbortSignal} signal */
  async #finalise(items, signal) {
    const [first, ...others] = items.map(({ uploadId }) => uploadId);
    for (let attempt = 1; ; attempt += 1) {
      try {
        const body = others.length ? { artifactIds: others } : {};
        const { sessionId } = await this.api.post(`/uploads/${first}/finalise`, body, signal);
        for (const item of items) item.sessionId = sessionId;
        return;
      } catch (error) {
        // The store may tell the service a moment later than the browser.
        const early = error instanceof ApiError && error.code === 'UPLOAD_NOT_RECEIVED';
        if (!early || attempt === 5) throw error;
        await pause(Math.max(1000, error.retryAfterS * 1000), signal);
      }
    }
  }

  /** @param {UploadItem[]} items of one session @param {AbortSignal} signal */
  async #follow(items, signal) {
    const { sessionId } = items[0];
    if (!sessionId) return;
    for await (const session of watch(this.api, sessionId, signal)) {
      for (const item of items) {
        item.session = session;
        item.failure = session.failure?.message ?? '';
        if (session.status === 'processing') this.#tell('changed', item);
        else this.#stage(item, session.status);
      }
      if (session.status !== 'processing') return;
    }
  }

  /** @param {UploadItem} item @param {unknown} error @param {boolean} [hopeful] */
  #failed(item, error, hopeful = false) {
    if (item.stopping.signal.aborted) return;
    // The parts that are still on their way are of no use any more: the viewer takes it up again.
    item.stopping.abort(new DOMException('failed', 'AbortError'));
    item.failure = error instanceof Error ? error.message : String(error);
    item.hopeless =
      !hopeful &&
      (error instanceof Unreadable ||
        (error instanceof TransferError && !error.passing) ||
        (error instanceof ApiError && [413, 422].includes(error.status)));
    this.#stage(item, 'failed');
  }

  /** @param {UploadItem} item */
  async #abandon(item) {
    forget(this.#which(item));
    await this.api.call('DELETE', `/uploads/${item.uploadId}`).catch(() => undefined);
    item.uploadId = '';
  }

  /** @param {UploadItem} item */
  #which = (item) => ({ api: this.api.base, sha256: item.sha256, byteSize: item.file.size });

  /** @param {UploadItem} item */
  #waiting = (item) => (/** @type {string} */ message, /** @type {number} */ milliseconds) => {
    item.note = milliseconds ? `${message} Trying again in ${Math.ceil(milliseconds / 1000)} s.` : message;
    this.#tell('changed', item);
  };

  /** @param {UploadItem} item @param {number} done */
  #move(item, done) {
    item.done = done;
    this.#tell('changed', item);
  }

  /** @param {UploadItem} item @param {Stage} stage */
  #stage(item, stage) {
    Object.assign(item, { stage, done: 0, note: '' });
    this.#tell('changed', item);
  }

  /** @param {string} event @param {UploadItem} item */
  #tell(event, item) {
    this.dispatchEvent(new CustomEvent(event, { detail: item }));
  }
}
