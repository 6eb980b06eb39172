// @ts-check
/** One chart of lines over time or distance, on uPlot: its options, scales and pointer. Knows nothing of sessions. */

import uPlot from '../vendor/uplot/dist/uPlot.esm.js';
import { clock, clockShort, distance, number } from '../format.js';
import { colour, darkScheme } from './colours.js';

/**
 * @typedef {import('../data/recording.js').Axis} Axis
 * @typedef {{colour: string, width?: number}} LineStyle
 * @typedef {{axis: () => Axis, lines: LineStyle[], zero?: boolean, moved: (value: number) => void,
 *   selected: (from: number, to: number) => void, all: () => void, signal: AbortSignal}} ChartOptions
 */

const SPACE_PX = 70;
const BESIDE_PX = 10;
const FONT = '12px system-ui, sans-serif';
/** What a single sample, between gaps or alone, is seen by. */
const DOT_PX = 6;

export class Chart {
  /** @param {HTMLElement} place @param {number} height @param {ChartOptions} options */
  constructor(place, height, options) {
    this.options = options;
    this.y = { min: 0, max: 1 };
    this.x = { min: 0, max: 1 };
    this.height = height;
    const drawn = {
      stroke: () => colour('--muted'),
      grid: { stroke: () => colour('--grid'), width: 1 },
      ticks: { show: false },
      font: FONT,
    };
    /** @type {any} */
    this.plot = new /** @type {any} */ (uPlot)(
      {
        width: Math.max(200, place.clientWidth),
        height,
        ms: 1,
        legend: { show: false },
        padding: [8, BESIDE_PX, 0, 0],
        cursor: {
          y: false,
          points: { show: false },
          drag: { x: true, y: false, setScale: false },
          bind: {
            dblclick: () => () => {
              options.all();
              return null;
            },
          },
        },
        select: { show: true, left: 0, top: 0, width: 0, height: 0 },
        scales: {
          x: { time: false, auto: false, range: () => [this.x.min, this.x.max] },
          y: { auto: false, range: () => [this.y.min, this.y.max] },
        },
        axes: [
          {
            ...drawn,
            size: 28,
            space: SPACE_PX,
            splits: (
              /** @type {any} */ u,
              /** @type {number} */ _,
              /** @type {number} */ min,
              /** @type {number} */ max,
            ) => this.#splits(u, min, max),
            values: (/** @type {any} */ u, /** @type {number[]} */ splits) => this.#fitting(u, splits),
          },
          {
            ...drawn,
            size: 52,
            space: 34,
            values: (/** @type {any} */ _, /** @type {number[]} */ splits) => splits.map((value) => number(value, 3)),
          },
        ],
        series: [
          {},
          ...options.lines.map((line) => ({
            stroke: () => colour(line.colour),
            width: line.width ?? 1.5,
            spanGaps: false,
            points: { show: false, filter: alone, size: DOT_PX, fill: () => colour(line.colour) },
          })),
        ],
        hooks: {
          setSelect: [
            (/** @type {any} */ u) => {
              const { left, width } = u.select;
              if (width < 4) return;
              u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
              options.selected(u.posToVal(left, 'x'), u.posToVal(left + width, 'x'));
            },
          ],
          draw: [(/** @type {any} */ u) => options.zero && zeroLine(u)],
        },
      },
      [[], ...options.lines.map(() => [])],
      place,
    );
    this.#pointer();
    const resize = new ResizeObserver(() => {
      if (place.clientWidth > 0) this.plot.setSize({ width: place.clientWidth, height });
    });
    resize.observe(place);
    darkScheme.addEventListener('change', () => this.plot.redraw(), { signal: options.signal });
    options.signal.addEventListener('abort', () => this.destroy());
    this.resize = resize;
  }

  destroy() {
    this.resize?.disconnect();
    this.plot.destroy();
  }

  /** Pixels of the plot itself. */
  get columns() {
    return Math.max(50, Math.round(this.plot.bbox.width / devicePixelRatio));
  }

  #pointer() {
    const { over } = this.plot;
    const tell = (/** @type {PointerEvent} */ event) => {
      const left = event.clientX - over.getBoundingClientRect().left;
      this.options.moved(this.plot.posToVal(left, 'x'));
    };
    over.addEventListener('pointermove', tell);
    over.addEventListener('pointerdown', tell);
    // The line stays where the pointer left: what is read out stands there.
    over.addEventListener('mouseleave', (/** @type {Event} */ event) => event.stopImmediatePropagation(), true);
  }

  /** Where the cursor stands; null takes it away. @param {number | null} value */
  cursorAt(value) {
    const left = value === null ? -10 : this.plot.valToPos(value, 'x');
    const inside = left >= 0 && left <= this.plot.over.clientWidth;
    this.plot.setCursor({ left: inside ? left : -10, top: inside ? 1 : -10 }, false);
  }

  /** @param {number} from @param {number} to */
  frame(from, to) {
    // A single moment, or a place that was never left, stands in the middle of a second or a metre.
    const beside = to > from ? 0 : this.options.axis() === 'time' ? 500 : 0.5;
    this.x = { min: from - beside, max: to + beside };
    this.plot.setScale('x', this.x);
  }

  /**
   * @param {ArrayLike<number>} x @param {ArrayLike<number | null>[]} lines
   * @param {number} min @param {number} max least and greatest value to be seen
   */
  show(x, lines, min, max) {
    this.y = padded(min, max, this.options.zero ?? false);
    this.plot.batch(() => {
      this.plot.setData([x, ...lines], false);
      this.plot.setScale('x', this.x);
      this.plot.setScale('y', this.y);
    });
  }

  /**
   * Round values: of the clock for times, of the unit in use for distances.
   * @param {any} u
   * @param {number} min
   * @param {number} max
   */
  #splits(u, min, max) {
    const most = Math.max(2, Math.floor(u.bbox.width / devicePixelRatio / SPACE_PX));
    const time = this.options.axis() === 'time';
    const step = time ? timeStep((max - min) / most) : roundStep((max - min) / most);
    // Clock times are round in the viewer's zone.
    const shift = time ? new Date(min).getTimezoneOffset() * 60000 : 0;
    const splits = [];
    for (let value = Math.ceil((min - shift) / step) * step + shift; value <= max; value += step) splits.push(value);
    return splits;
  }

  /** The words of the splits, without one that would be cut off at the right. @param {any} u @param {number[]} splits */
  #fitting(u, splits) {
    const { min, max } = this.x;
    const width = u.bbox.width / devicePixelRatio;
    return this.#words(splits).map((words, k) => {
      const middle = ((splits[k] - min) / (max - min)) * width;
      return middle + textWidth(words) / 2 > width + BESIDE_PX ? '' : words;
    });
  }

  /** @param {number[]} splits */
  #words(splits) {
    if (this.options.axis() === 'distance') return splits.map((value) => distance(value));
    const step = splits.length > 1 ? splits[1] - splits[0] : 1000;
    return splits.map((value) =>
      step >= 60000
        ? clockShort(value)
        : step >= 1000
          ? clock(value)
          : `${new Date(value).getSeconds()}.${String(new Date(value).getMilliseconds()).padStart(3, '0').slice(0, 2)} s`,
    );
  }
}

/** @type {CanvasRenderingContext2D | null} */
let measure = null;

/** Pixels of a label. @param {string} words */
function textWidth(words) {
  measure ??= document.createElement('canvas').getContext('2d');
  if (!measure) return 0;
  measure.font = FONT;
  return measure.measureText(words).width;
}

/** Samples that no line leads to or from. @param {any} u @param {number} line */
function alone(u, line) {
  const values = u.data[line];
  const found = [];
  for (let k = 0; k < values.length; k += 1) {
    if (values[k] !== null && (values[k - 1] ?? null) === null && (values[k + 1] ?? null) === null) found.push(k);
  }
  return found;
}

/** @param {any} u */
function zeroLine(u) {
  const y = Math.round(u.valToPos(0, 'y', true));
  const { left, width, top, height } = u.bbox;
  if (y < top || y > top + height) return;
  u.ctx.save();
  u.ctx.strokeStyle = colour('--muted');
  u.ctx.beginPath();
  u.ctx.moveTo(left, y);
  u.ctx.lineTo(left + width, y);
  u.ctx.stroke();
  u.ctx.restore();
}

/** @param {number} min @param {number} max @param {boolean} zero */
function padded(min, max, zero) {
  if (!(min <= max)) return { min: 0, max: 1 };
  const [low, high] = zero ? [Math.min(0, min), Math.max(0, max)] : [min, max];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return { min: low - room, max: high + room };
}

/** @param {number} least */
function roundStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10);
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** @param {number} leastMs */
function timeStep(leastMs) {
  if (leastMs < 1000) return roundStep(leastMs);
  const found = TIME_STEPS.find((seconds) => seconds * 1000 >= leastMs);
  return found ? found * 1000 : Math.ceil(leastMs / 86400000) * 86400000;
}
