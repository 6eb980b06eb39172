// @ts-check
/** SHA-256 of files and of their parts, each in a worker of its own. */

/** The file cannot be read any more. */
export class Unreadable extends Error {
  constructor() {
    super('The file cannot be read, or it changed meanwhile. Choose it again.');
  }
}

/**
 * @param {Blob} blob
 * @param {{progress?: (done: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<string>} in hex
 */
export function sha256(blob, { progress, signal } = {}) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const worker = new Worker(new URL('./hash-worker.js', import.meta.url), { type: 'module' });
    const end = () => {
      worker.terminate();
      signal?.removeEventListener('abort', stop);
    };
    const stop = () => {
      end();
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', stop);
    worker.onmessage = ({ data }) => {
      if (data.done !== undefined) {
        progress?.(data.done);
        return;
      }
      end();
      if (data.sha256) resolve(data.sha256);
      else reject(new Unreadable());
    };
    worker.onerror = () => {
      end();
      reject(new Unreadable());
    };
    worker.postMessage(blob);
  });
}
