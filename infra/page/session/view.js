// @ts-check
/** What charts, map and laps look at together: the part of the recording in view, the cursor, the channels, two laps.
 *  Events: `window`, `cursor`, `pair`, `lines`, `channels`, `axis`, `laps`, `held`. */

/**
 * @typedef {import('../data/recording.js').Recording} Recording
 * @typedef {import('../data/recording.js').Held} Held
 * @typedef {import('../data/recording.js').Axis} Axis
 * @typedef {import('../data/recording.js').ChannelId} ChannelId
 * @typedef {import('../data/recording.js').Place} Place
 * @typedef {import('../types.js').Lap} Lap
 * @typedef {{from: number, to: number}} Range
 */

const SHORTEST_MS = 200;

export class View extends EventTarget {
  /** @param {Recording} recording @param {Held} held */
  constructor(recording, held) {
    super();
    this.recording = recording;
    this.held = held;
    /** @type {Axis} */
    this.axis = 'time';
    /** @type {Record<Axis, Range>} */
    this.window = { time: { from: held.from, to: held.to }, distance: { from: 0, to: held.length } };
    /** @type {Place | null} */
    this.cursor = null;
    /** @type {ChannelId[]} */
    this.channels = [{ stream: 'gnss_pvt', channel: 'speed_mps' }];
    /** @type {Lap[]} */
    this.laps = [];
    /** The places of two laps at the same share of their way. @type {Place[]} */
    this.pair = [];
    this.full = false;
    this.turn = 0;
    this.moving = false;
    /** @type {{axis: Axis, value: number} | null} */
    this.wanted = null;
  }

  get whole() {
    return this.window.time.from <= this.held.from && this.window.time.to >= this.held.to;
  }

  /** All fixes have come in place of the thinned track. @param {Held} held */
  replace(held) {
    const whole = this.whole;
    this.held = held;
    this.full = true;
    if (whole) this.window = { time: { from: held.from, to: held.to }, distance: { from: 0, to: held.length } };
    this.#tell('held');
    this.#tell('window');
    if (this.cursor) this.moveTo('time', this.cursor.time);
  }

  /** The map has better lines to draw. */
  redraw() {
    this.#tell('lines');
  }

  /** @param {Axis} axis */
  choose(axis) {
    this.axis = axis;
    this.#tell('axis');
  }

  /** Looks at a part of the recording. @param {Axis} axis @param {number} from @param {number} to */
  async look(axis, from, to) {
    const all = axis === 'time' ? { from: this.held.from, to: this.held.to } : { from: 0, to: this.held.length };
    const shortest = Math.min(all.to - all.from, axis === 'time' ? SHORTEST_MS : 1);
    const width = Math.min(all.to - all.from, Math.max(shortest, to - from));
    const start = Math.min(Math.max(from, all.from), all.to - width);
    this.turn += 1;
    const turn = this.turn;
    const [first, last] = await Promise.all([start, start + width].map((value) => this.recording.at(axis, value, [])));
    if (turn !== this.turn) return;
    this.window = {
      time: { from: first.time, to: last.time },
      distance: { from: first.distance, to: last.distance },
    };
    this.window[axis] = { from: start, to: start + width };
    this.#tell('window');
  }

  /** Nearer (below 1) or farther around the cursor, when it is in view. @param {number} factor */
  zoom(factor) {
    const { from, to } = this.window[this.axis];
    const at = this.cursor ? (this.axis === 'time' ? this.cursor.time : this.cursor.distance) : NaN;
    const pivot = at >= from && at <= to ? at : (from + to) / 2;
    this.look(this.axis, pivot - (pivot - from) * factor, pivot + (to - pivot) * factor);
  }

  /** @param {number} share of the width, negative to the left */
  pan(share) {
    const { from, to } = this.window[this.axis];
    this.look(this.axis, from + share * (to - from), to + share * (to - from));
  }

  lookAtAll() {
    this.look('time', this.held.from, this.held.to);
  }

  /** Puts the cursor; of many wishes in a row the last counts. @param {Axis} axis @param {number} value */
  async moveTo(axis, value) {
    this.wanted = { axis, value };
    if (this.moving) return;
    this.moving = true;
    try {
      while (this.wanted) {
        const { axis: by, value: to } = this.wanted;
        this.wanted = null;
        this.cursor = await this.recording.at(by, to, this.channels);
        this.#tell('cursor');
      }
    } finally {
      this.moving = false;
    }
  }

  /** @param {ChannelId[]} channels */
  draw(channels) {
    this.channels = channels;
    this.#tell('channels');
    if (this.cursor) this.moveTo('time', this.cursor.time);
  }

  /** At most two laps are laid over one another; the one chosen first goes. @param {Lap} lap @param {boolean} chosen */
  compare(lap, chosen) {
    const others = this.laps.filter((other) => other.lapNumber !== lap.lapNumber);
    this.#choose(chosen ? [...others.slice(-1), lap] : others);
  }

  clearLaps() {
    this.#choose([]);
  }

  /** @param {Lap[]} laps */
  #choose(laps) {
    this.laps = laps;
    this.pair = [];
    this.#tell('laps');
    this.#tell('pair');
  }

  /** @param {Place[]} places */
  showPair(places) {
    this.pair = places;
    this.#tell('pair');
  }

  /** @param {string} event */
  #tell(event) {
    this.dispatchEvent(new Event(event));
  }

  /** @param {string[]} events @param {() => void} listener @param {AbortSignal} signal */
  on(events, listener, signal) {
    for (const event of events) this.addEventListener(event, listener, { signal });
  }
}

/** Beyond the speeds that the map tells apart by this share of them lie jumps of the positions, not speeds. */
const BEYOND = 0.5;

/**
 * The greatest speed that a chart of speeds out of positions has room for: some jumps would flatten all the rest.
 * @param {Held} held @param {number} least that is to be seen, in m/s: where all of it lies beyond, nothing is cut
 */
export function speedTop({ low, high }, least) {
  const top = high + BEYOND * (high - low);
  return top > least ? top : Infinity;
}

/** Milliseconds with their fraction: a Date has none. @param {string} iso */
function milliseconds(iso) {
  const finer = /\.\d{3}(\d+)/.exec(iso)?.[1] ?? '';
  return Date.parse(iso) + Number(`0.${finer || 0}`);
}

/** @param {Lap} lap @returns {Range} */
export const lapRange = (lap) => ({ from: milliseconds(lap.startTimeUtc), to: milliseconds(lap.endTimeUtc) });
