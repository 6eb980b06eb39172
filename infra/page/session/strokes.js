// @ts-check
/** Strokes a track's lines on a canvas, in one colour or by speed. */

import { BINS, colour, speedColour, speedColours } from './colours.js';

const WIDTH_PX = 3;

/**
 * @typedef {import('../data/outline.js').Outline} Outline
 * @typedef {import('../data/outline.js').View} Frame
 */

/** From metres to pixels: x · ax + bx, y · ay + by. @param {Frame} frame */
const placing = ({ x, y, metresPerPixel, width, height }) => ({
  ax: 1 / metresPerPixel,
  bx: width / 2 - x / metresPerPixel,
  ay: -1 / metresPerPixel,
  by: height / 2 + y / metresPerPixel,
});

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Frame} frame
 * @param {Outline} lines
 * @param {string} style
 * @param {number} width
 */
export function strokeLines(context, frame, lines, style, width) {
  const { ax, bx, ay, by } = placing(frame);
  const path = new Path2D();
  let pen = false;
  for (let i = 0; i < lines.x.length; i += 1) {
    if (lines.x[i] !== lines.x[i]) pen = false;
    else if (pen) path.lineTo(lines.x[i] * ax + bx, lines.y[i] * ay + by);
    else {
      path.moveTo(lines.x[i] * ax + bx, lines.y[i] * ay + by);
      pen = true;
    }
  }
  context.strokeStyle = style;
  context.lineWidth = width;
  context.stroke(path);
}

/**
 * Each piece in the colour of its speed, colour by colour: a canvas is slow at changing them.
 * @param {CanvasRenderingContext2D} context @param {Frame} frame @param {Outline} lines
 * @param {{low: number, high: number}} speeds at the ends of the scale
 */
export function strokeSpeeds(context, frame, lines, { low, high }) {
  strokeLines(context, frame, lines, colour('--track-edge'), WIDTH_PX + 1.5);
  if (!(high > low)) {
    strokeLines(context, frame, lines, speedColour(0.6), WIDTH_PX);
    return;
  }
  const { ax, bx, ay, by } = placing(frame);
  const paths = Array.from({ length: BINS }, () => new Path2D());
  let before = -1;
  for (let i = 1; i < lines.x.length; i += 1) {
    const [from, to] = [lines.x[i - 1], lines.x[i]];
    if (from !== from || to !== to || lines.speed[i] !== lines.speed[i]) {
      before = -1;
      continue;
    }
    const bin = Math.min(BINS - 1, Math.max(0, Math.floor(((lines.speed[i] - low) / (high - low)) * BINS)));
    if (bin !== before) paths[bin].moveTo(from * ax + bx, lines.y[i - 1] * ay + by);
    paths[bin].lineTo(to * ax + bx, lines.y[i] * ay + by);
    before = bin;
  }
  context.lineWidth = WIDTH_PX;
  speedColours().forEach((style, bin) => {
    context.strokeStyle = style;
    context.stroke(paths[bin]);
  });
}
