// @ts-check
/** Map tiles beneath the track, off until the viewer switches them on. Asks the one server that config.json names. */

import { project, unproject } from '../data/geometry.js';

const TILE_PX = 256;
const MOST_KEPT = 300;
const EARTH_M = 40075016.686;

export class Tiles {
  /** @param {import('../config.js').Tiles} config @param {() => void} loaded */
  constructor(config, loaded) {
    this.config = config;
    this.loaded = loaded;
    this.on = false;
    /** @type {Map<string, HTMLImageElement>} */
    this.images = new Map();
  }

  /** @param {boolean} on */
  show(on) {
    this.on = on;
    this.loaded();
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {import('../data/outline.js').View} frame
   * @param {import('../data/geometry.js').Origin} origin
   */
  paint(context, frame, origin) {
    if (!this.on || !frame.width) return;
    const equator = frame.metresPerPixel / Math.cos((origin.latitude * Math.PI) / 180);
    const zoom = Math.max(0, Math.min(this.config.maxZoom ?? 19, Math.round(Math.log2(EARTH_M / TILE_PX / equator))));
    const count = 2 ** zoom;
    const [west, north] = this.#tile(
      unproject(
        origin,
        frame.x - (frame.width / 2) * frame.metresPerPixel,
        frame.y + (frame.height / 2) * frame.metresPerPixel,
      ),
      count,
    );
    const size = EARTH_M / count / equator;
    const left = (west - Math.floor(west)) * size;
    const top = (north - Math.floor(north)) * size;
    for (let column = 0; column * size - left < frame.width; column += 1) {
      for (let row = 0; row * size - top < frame.height; row += 1) {
        const y = Math.floor(north) + row;
        if (y < 0 || y >= count) continue;
        const x = (((Math.floor(west) + column) % count) + count) % count;
        const image = this.#image(zoom, x, y);
        if (image.complete && image.naturalWidth)
          context.drawImage(image, column * size - left, row * size - top, size + 0.5, size + 0.5);
      }
    }
  }

  /** @param {{latitude: number, longitude: number}} place @param {number} count */
  #tile({ latitude, longitude }, count) {
    const { y } = project({ latitude: 0, longitude: 0 }, Float64Array.of(latitude), Float64Array.of(0));
    return [((longitude + 180) / 360) * count, (0.5 - y[0] / EARTH_M) * count];
  }

  /** @param {number} zoom @param {number} x @param {number} y */
  #image(zoom, x, y) {
    const url = this.config.url.replace('{z}', String(zoom)).replace('{x}', String(x)).replace('{y}', String(y));
    let image = this.images.get(url);
    if (!image) {
      image = new Image();
      image.referrerPolicy = 'no-referrer';
      image.onload = () => this.loaded();
      image.src = url;
      this.images.set(url, image);
      if (this.images.size > MOST_KEPT) this.images.delete(/** @type {string} */ (this.images.keys().next().value));
    }
    return image;
  }
}
