// @ts-check
/**
 * The track drawn to scale on a canvas, north up: coloured by speed, with the cursor, two laps and the line for laps.
 */

import { project, stretch, unproject } from '../data/geometry.js';
import { h, iconButton, setText } from '../dom.js';
import { distance, FOOT_M, MILE_M, number, speedUnit, speedValue, units } from '../format.js';
import { colour, darkScheme, speedColour } from './colours.js';
import { takeInput } from './map-input.js';
import { strokeLines, strokeSpeeds } from './strokes.js';
import { Tiles } from './tiles.js';
import { lapRange } from './view.js';

/**
 * @typedef {import('./view.js').View} View
 * @typedef {import('../data/outline.js').Outline} Outline
 * @typedef {import('../types.js').Line} Line
 * @typedef {{x: number, y: number}} Point metres
 */

const SETTLED_MS = 80;
const GRIP_PX = 24;
const MARGIN = 0.09;
/** Between the track and the buttons. */
const BESIDE_PX = 8;

export class TrackMap {
  /**
   * @param {View} view
   * @param {{tiles?: import('../config.js').Tiles, gate?: import('../types.js').Gate, signal: AbortSignal}} options
   */
  constructor(view, { tiles, gate, signal }) {
    this.view = view;
    this.gate = gate;
    /** The line that is being drawn. @type {[Point, Point] | null} */
    this.draft = null;
    /**
     * Takes a line that is drawn with the pointer; null when none is wanted. @type {((ends: [Point, Point]) => void) |
     * null}
     */
    this.drawing = null;
    this.canvas = h('canvas', { role: 'img', 'aria-label': 'Map of the track' });
    this.marks = h('canvas', { 'aria-hidden': 'true' });
    this.bar = h('div', { class: 'scale-bar' });
    this.legend = h('div', { class: 'legend' });
    this.buttons = h(
      'div',
      { class: 'map-buttons', role: 'group', 'aria-label': 'Zoom the map' },
      iconButton('plus', 'Zoom in', () => this.zoom(0.5)),
      iconButton('minus', 'Zoom out', () => this.zoom(2)),
      iconButton('fit', 'Show all', () => this.fit()),
    );
    this.tiles = tiles ? new Tiles(tiles, () => this.#paint()) : null;
    this.stage = h(
      'div',
      {
        class: 'map-stage',
        tabindex: 0,
        role: 'group',
        'aria-label': 'Map. Arrow keys move it, plus and minus zoom, 0 shows all.',
      },
      this.canvas,
      this.marks,
      h('div', { class: 'north', title: 'North is up', 'aria-hidden': 'true' }, 'N'),
      this.bar,
      this.buttons,
    );
    this.element = h(
      'div',
      { class: 'map' },
      this.stage,
      h('div', { class: 'map-foot' }, this.legend, this.tiles && this.#tileChoice(tiles?.attribution)),
    );
    /** @type {{x: number, y: number, metresPerPixel: number, width: number, height: number}} */
    this.frame = { x: 0, y: 0, metresPerPixel: 1, width: 0, height: 0 };
    /** @type {{all: Outline | null, part: Outline | null, laps: Outline[]}} */
    this.lines = { all: null, part: null, laps: [] };
    this.timer = 0;
    this.turn = 0;
    this.seeking = false;
    this.fitted = true;

    const resize = new ResizeObserver(() => this.#resized());
    resize.observe(this.stage);
    signal.addEventListener('abort', () => resize.disconnect());
    darkScheme.addEventListener('change', () => this.#restyle(), { signal });
    view.on(
      ['held'],
      () => {
        this.#restyle();
        if (this.fitted) this.fit();
        else this.#settle();
      },
      signal,
    );
    view.on(['window', 'laps', 'lines'], () => this.#settle(), signal);
    view.on(['cursor', 'pair'], () => this.#mark(), signal);
    takeInput(this);
    this.#restyle();
  }

  /** The whole track, beside the buttons. */
  fit() {
    const { left, right, bottom, top } = this.view.held.box;
    const { width, height } = this.frame;
    this.fitted = true;
    if (!width || !(right >= left)) return;
    const [near, above] = [MARGIN * width, MARGIN * height];
    // On paper there are none.
    const { offsetWidth, offsetLeft } = this.buttons;
    const far = offsetWidth ? Math.max(near, width - offsetLeft + BESIDE_PX) : near;
    const needed = Math.max((right - left) / (width - near - far), (top - bottom) / (height - 2 * above), 0.02);
    const x = (left + right) / 2 + ((far - near) / 2) * needed;
    Object.assign(this.frame, { x, y: (bottom + top) / 2, metresPerPixel: needed });
    this.#moved();
  }

  /** @param {number} factor @param {Point} [about] metres */
  zoom(factor, about = this.frame) {
    const wanted = Math.min(50000, Math.max(0.005, this.frame.metresPerPixel * factor));
    const share = wanted / this.frame.metresPerPixel;
    this.frame.x = about.x + (this.frame.x - about.x) * share;
    this.frame.y = about.y + (this.frame.y - about.y) * share;
    this.frame.metresPerPixel = wanted;
    this.fitted = false;
    this.#moved();
  }

  /** @param {number} right pixels @param {number} down pixels */
  pan(right, down) {
    this.frame.x += right * this.frame.metresPerPixel;
    this.frame.y -= down * this.frame.metresPerPixel;
    this.fitted = false;
    this.#moved();
  }

  /** @param {[Point, Point] | null} ends */
  showDraft(ends) {
    this.draft = ends;
    this.#mark();
  }

  /** @param {import('../types.js').Gate | undefined} gate */
  showGate(gate) {
    this.gate = gate;
    this.#mark();
  }

  #resized() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    for (const canvas of [this.canvas, this.marks]) {
      canvas.width = Math.round(width * devicePixelRatio);
      canvas.height = Math.round(height * devicePixelRatio);
    }
    Object.assign(this.frame, { width, height });
    if (this.fitted) this.fit();
    else this.#moved();
  }

  #moved() {
    this.#paint();
    this.#scale();
    this.#settle();
  }

  /** Once the view rests, the lines that it needs are asked for. */
  #settle() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#fetch(), this.lines.all ? SETTLED_MS : 0);
  }

  async #fetch() {
    const { view, frame } = this;
    if (!frame.width) return;
    this.turn += 1;
    const { turn } = this;
    const asked = { ...frame };
    const all = view.recording.outline(view.held.from, view.held.to, asked);
    const part = view.whole ? null : view.recording.outline(view.window.time.from, view.window.time.to, asked);
    const laps = view.laps.map((lap) => view.recording.outline(lapRange(lap).from, lapRange(lap).to, asked));
    const found = await Promise.all([all, part, Promise.all(laps)]);
    if (turn !== this.turn) return;
    const first = this.lines.all === null;
    this.lines = { all: found[0], part: found[1], laps: found[2] };
    this.#paint();
    // For whoever measures how soon a session is to be seen.
    if (first) performance.mark('track-drawn');
  }

  /** @param {CanvasRenderingContext2D} context */
  #clear(context) {
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, this.frame.width, this.frame.height);
    context.lineCap = 'round';
    context.lineJoin = 'round';
  }

  #paint() {
    const context = this.canvas.getContext('2d');
    if (!context) return;
    this.#clear(context);
    this.tiles?.paint(context, this.frame, this.view.held.origin);
    const { all, part, laps } = this.lines;
    if (laps.length) {
      if (all) strokeLines(context, this.frame, all, colour('--track-rest'), 2);
      laps.forEach((lap, k) => {
        strokeLines(context, this.frame, lap, colour('--surface'), 5.5);
        strokeLines(context, this.frame, lap, colour(k === 0 ? '--lap-a' : '--lap-b'), 3);
      });
    } else {
      const coloured = this.view.whole ? all : part;
      if (all && !this.view.whole) strokeLines(context, this.frame, all, colour('--track-rest'), 2);
      if (coloured) strokeSpeeds(context, this.frame, coloured, this.view.held);
    }
    this.#mark();
  }

  /** @param {Point} point @returns {[number, number]} */
  #pixel({ x, y }) {
    const { frame } = this;
    return [
      (x - frame.x) / frame.metresPerPixel + frame.width / 2,
      frame.height / 2 - (y - frame.y) / frame.metresPerPixel,
    ];
  }

  /** @param {{offsetX: number, offsetY: number}} at @returns {Point} */
  pointAt({ offsetX, offsetY }) {
    const { frame } = this;
    return {
      x: frame.x + (offsetX - frame.width / 2) * frame.metresPerPixel,
      y: frame.y - (offsetY - frame.height / 2) * frame.metresPerPixel,
    };
  }

  /** What moves, on a canvas of its own: line for laps, cursor, places of two laps. */
  #mark() {
    const context = this.marks.getContext('2d');
    if (!context) return;
    this.#clear(context);
    for (const line of this.gate ? [this.gate, ...(this.gate.sectors ?? [])] : []) {
      this.#gateLine(context, this.#ends(line), line === this.gate ? 3 : 2);
    }
    if (this.draft) this.#gateLine(context, this.draft, 4);
    const { pair, cursor } = this.view;
    if (pair.length === 2)
      pair.forEach((place, k) => this.#dot(context, place, colour(k === 0 ? '--lap-a' : '--lap-b')));
    else if (cursor) this.#dot(context, cursor, colour('--cursor'));
  }

  /** @param {Line} line @returns {[Point, Point]} */
  #ends(line) {
    const { x, y } = project(
      this.view.held.origin,
      Float64Array.of(line.latitude1Deg, line.latitude2Deg),
      Float64Array.of(line.longitude1Deg, line.longitude2Deg),
    );
    return [
      { x: x[0], y: y[0] },
      { x: x[1], y: y[1] },
    ];
  }

  /** @param {CanvasRenderingContext2D} context @param {[Point, Point]} ends @param {number} width */
  #gateLine(context, ends, width) {
    for (const [style, wide] of /** @type {[string, number][]} */ ([
      [colour('--surface'), width + 3],
      [colour('--text'), width],
    ])) {
      context.strokeStyle = style;
      context.lineWidth = wide;
      context.beginPath();
      context.moveTo(...this.#pixel(ends[0]));
      context.lineTo(...this.#pixel(ends[1]));
      context.stroke();
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {Point} place @param {string} style */
  #dot(context, place, style) {
    context.beginPath();
    context.arc(...this.#pixel(place), 7, 0, 2 * Math.PI);
    context.fillStyle = style;
    context.strokeStyle = colour('--surface');
    context.lineWidth = 2.5;
    context.fill();
    context.stroke();
  }

  #scale() {
    const metresPerPixel = this.frame.metresPerPixel / stretch(this.view.held.origin, this.frame.y);
    const most = metresPerPixel * 110;
    const unit = units.imperial ? (most < MILE_M ? FOOT_M : MILE_M) : 1;
    const power = 10 ** Math.floor(Math.log10(most / unit));
    const length = ([5, 2, 1].find((factor) => factor * power * unit <= most) ?? 1) * power * unit;
    this.bar.style.width = `${Math.round(length / metresPerPixel)}px`;
    setText(
      this.bar,
      units.imperial
        ? `${number(length / unit, 3)} ${unit === FOOT_M ? 'ft' : 'mi'}`
        : length >= 1000
          ? `${number(length / 1000)} km`
          : `${number(length, 2)} m`,
    );
  }

  #restyle() {
    const { low, high, length } = this.view.held;
    const stops = Array.from({ length: 9 }, (_, k) => speedColour(k / 8));
    const ramp = h('div', { class: 'ramp' });
    ramp.style.background = `linear-gradient(to right, ${stops.join(', ')})`;
    const ends = [low, high].map((mps) => number(speedValue(mps)));
    const known = high > low;
    this.legend.replaceChildren(
      ...(known ? [h('span', {}, ends[0]), ramp, h('span', {}, `${ends[1]} ${speedUnit()}`)] : []),
    );
    this.canvas.setAttribute(
      'aria-label',
      `Map of the track, ${distance(length)}${known ? `, coloured by speed from ${ends[0]} to ${ends[1]} ${speedUnit()}` : ''}`,
    );
    this.#paint();
  }

  /** @param {string} [attribution] */
  #tileChoice(attribution) {
    const box = h('input', { type: 'checkbox', id: 'tiles', onchange: () => this.tiles?.show(box.checked) });
    return h(
      'div',
      { class: 'choice' },
      box,
      h('label', { for: 'tiles' }, 'Map beneath'),
      attribution && h('span', { class: 'muted' }, attribution),
    );
  }

  /** @param {Point} point */
  async seek({ x, y }) {
    const { view } = this;
    if (this.seeking) return;
    this.seeking = true;
    const within = view.laps.length ? lapRange(view.laps[0]) : view.window.time;
    const time = await view.recording
      .nearest(x, y, GRIP_PX * this.frame.metresPerPixel, within.from, within.to)
      .finally(() => {
        this.seeking = false;
      });
    if (time !== null) view.moveTo('time', time);
  }

  /** @param {Point} point */
  position(point) {
    return unproject(this.view.held.origin, point.x, point.y);
  }
}
