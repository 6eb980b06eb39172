// @ts-check
/** The web worker that makes a SHA-256 of a file or a part of one, block by block. Reads that file alone. */

import '../vendor/hash-wasm/dist/sha256.umd.min.js';

const BLOCK = 4 * 1024 * 1024;

self.addEventListener('message', async ({ data: blob }) => {
  try {
    const hasher = await /** @type {any} */ (self).hashwasm.createSHA256();
    for (let start = 0; start < blob.size; start += BLOCK) {
      hasher.update(new Uint8Array(await blob.slice(start, start + BLOCK).arrayBuffer()));
      self.postMessage({ done: Math.min(start + BLOCK, blob.size) });
    }
    self.postMessage({ sha256: hasher.digest('hex') });
  } catch {
    self.postMessage({ failed: true });
  }
});
