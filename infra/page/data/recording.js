// @ts-check
/** The page's side of the data worker: one recording, asked for in promises. Starts and ends the worker. */

/**
 * @typedef {import('./geometry.js').Origin} Origin
 * @typedef {{left: number, right: number, bottom: number, top: number}} Box metres
 * @typedef {{origin: Origin, box: Box, from: number, to: number, length: number, low: number, high: number, speedGiven: boolean, sparse: boolean, filled?: string[]}} Held
 *   `sparse` when lines between the fixes would cut the corners; `filled` are the channels with values, known with every fix
 * @typedef {{stream: string, channel: string}} ChannelId
 * @typedef {'time' | 'distance'} Axis
 * @typedef {{time: number, x: number, y: number, distance: number, speed: number, course: number, readings: (number | null)[]}} Place
 * @typedef {{length: number, time: Float64Array, speed: Float64Array}} Course
 * @typedef {{distance: Float64Array, delta: Float64Array, courses: Course[]}} Comparison
 * @typedef {Record<string, {url: string, byteSize: number}>} Wanted
 */

/** A worker for one recording; started early, it is ready when the recording is. */
export const dataWorker = () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });

export class Recording {
  /** @param {() => Promise<Wanted>} addresses gives signed addresses of the recording's files @param {Worker} worker */
  constructor(addresses, worker) {
    this.addresses = addresses;
    this.worker = worker;
    /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void, message: any}>} */
    this.open = new Map();
    this.count = 0;
    /** @type {Promise<void> | null} */
    this.renewing = null;
    this.worker.onmessage = ({ data }) => this.#answered(data);
  }

  end() {
    this.worker.terminate();
    this.open.clear();
  }

  /** @param {string} ask @param {any} [rest] @returns {Promise<any>} */
  #ask(ask, rest = {}) {
    this.count += 1;
    const message = { ...rest, call: this.count, ask };
    return new Promise((resolve, reject) => {
      this.open.set(message.call, { resolve, reject, message });
      this.worker.postMessage(message);
    });
  }

  /** @param {{call: number, answer?: any, failure?: string, expired?: boolean}} data */
  #answered({ call, answer, failure, expired }) {
    const waiting = this.open.get(call);
    if (!waiting) return;
    if (expired && !waiting.message.again) {
      waiting.message.again = true;
      this.#renew().then(() => this.worker.postMessage(waiting.message), waiting.reject);
      return;
    }
    this.open.delete(call);
    if (failure === undefined) waiting.resolve(answer);
    else waiting.reject(new Error(failure));
  }

  #renew() {
    this.renewing ??= this.addresses()
      .then((wanted) => this.#ask('addresses', { wanted }))
      .finally(() => {
        this.renewing = null;
      });
    return this.renewing;
  }

  /**
   * A thinned track of a recording that is `length` metres long, where that is known.
   * @param {import('../types.js').TrackFeature[]} features
   * @param {number} length
   * @returns {Promise<Held>}
   */
  coarse(features, length) {
    const stretches = features.map(linesOf);
    const count = stretches.flat().reduce((sum, { positions }) => sum + positions.length, 0);
    const [time, latitude, longitude, speed] = Array.from({ length: 4 }, () => new Float64Array(count));
    const breaks = new Uint8Array(count);
    let i = 0;
    for (const lines of stretches) {
      breaks[i] = 1;
      for (const { positions, times, speeds } of lines) {
        positions.forEach((position, k) => {
          [longitude[i], latitude[i]] = position;
          time[i] = Date.parse(times[k]);
          speed[i] = speeds[k] ?? NaN;
          i += 1;
        });
      }
    }
    return this.#ask('coarse', { time, latitude, longitude, speed, breaks, length });
  }

  /** Lets the map show the beginning in full while the rest is being read. */
  async sketch() {
    await this.#ask('sketch', { wanted: await this.addresses() });
  }

  /** Reads every fix. @param {string[]} channels of which is told whether they hold values @returns {Promise<Held>} */
  async full(channels) {
    return this.#ask('open', { wanted: await this.addresses(), channels });
  }

  /**
   * @param {ChannelId} id
   * @param {Axis} axis
   * @param {number} from
   * @param {number} to
   * @param {number} columns
   * @returns {Promise<import('./series.js').Thinned | null>}
   */
  window(id, axis, from, to, columns) {
    return this.#ask('window', { id, axis, from, to, columns });
  }

  /**
   * @param {number} from
   * @param {number} to
   * @param {import('./outline.js').View} view
   * @returns {Promise<import('./outline.js').Outline>}
   */
  outline(from, to, view) {
    return this.#ask('outline', { from, to, view });
  }

  /** @param {Axis} axis @param {number} value @param {ChannelId[]} ids @returns {Promise<Place>} */
  at(axis, value, ids) {
    return this.#ask('at', { axis, value, ids });
  }

  /**
   * @param {number} x
   * @param {number} y
   * @param {number} within
   * @param {number} from
   * @param {number} to
   * @returns {Promise<number | null>}
   */
  nearest(x, y, within, from, to) {
    return this.#ask('nearest', { x, y, within, from, to });
  }

  /**
   * @param {{from: number, to: number}} first
   * @param {{from: number, to: number}} second
   * @returns {Promise<Comparison>}
   */
  compare(first, second) {
    return this.#ask('compare', { first, second });
  }

  /** @returns {Promise<Blob>} */
  async geojson() {
    return new Blob(await this.#ask('geojson'), { type: 'application/geo+json' });
  }
}

/**
 * The lines of a stretch: one, or those on either side of the antimeridian.
 * @param {import('../types.js').TrackFeature} feature
 * @returns {{positions: [number, number][], times: string[], speeds: (number | null)[]}[]}
 */
function linesOf({ geometry, properties }) {
  const { times, speedsMps } = properties.coordinateProperties;
  const several = geometry.type === 'MultiLineString';
  const [positions, told, speeds] = [geometry.coordinates, times, speedsMps].map((each) => (several ? each : [each]));
  return positions.map((_, k) => ({ positions: positions[k], times: told[k], speeds: speeds[k] }));
}
