// @ts-check
/** A track thinned to the pixels of a map's view: as few lines as show the same picture. Pure. */

const NEAREST_PX = 0.8;
const MOST_PASSES = 3;

/**
 * What a map shows: its middle in metres, metres a pixel, and its size in pixels.
 * @typedef {{x: number, y: number, metresPerPixel: number, width: number, height: number}} View
 * @typedef {{x: Float32Array, y: Float32Array, speed: Float32Array}} Outline NaN in x begins a new line
 */

/**
 * Fixes `begin` … `end` as lines. Where a place has been drawn several times already, further passes are left out.
 * @param {{x: Float64Array, y: Float64Array, speed: Float32Array | Float64Array, breaks: Uint8Array}} track `breaks` is 1 where
 *   no line leads to a fix
 * @param {number} begin @param {number} end @param {View} view
 * @param {boolean} dotted draws each fix by itself
 * @returns {Outline}
 */
export function outline(track, begin, end, view, dotted) {
  const { x, y, speed, breaks } = track;
  const scale = 1 / view.metresPerPixel;
  // Half a view more on every side, so that a small move shows no bare edge.
  const width = Math.ceil(view.width * 2);
  const height = Math.ceil(view.height * 2);
  const left = view.x - (width / 2) * view.metresPerPixel;
  const top = view.y + (height / 2) * view.metresPerPixel;
  const passes = new Uint8Array(width * height);
  /** @type {number[]} */
  const outX = [];
  /** @type {number[]} */
  const outY = [];
  /** @type {number[]} */
  const outSpeed = [];
  let pen = false;
  let lastX = 0;
  let lastY = 0;
  let lastInside = false;
  let lastFull = false;
  let waiting = -1;

  /** @param {number} i */
  const put = (i) => {
    outX.push(x[i]);
    outY.push(y[i]);
    outSpeed.push(speed[i]);
  };
  const lift = () => {
    if (!pen) return;
    outX.push(NaN);
    outY.push(NaN);
    outSpeed.push(NaN);
    pen = false;
  };

  for (let i = begin; i < end; i += 1) {
    const px = (x[i] - left) * scale;
    const py = (top - y[i]) * scale;
    const broken = dotted || breaks[i] === 1 || i === begin;
    if (!broken && Math.abs(px - lastX) + Math.abs(py - lastY) < NEAREST_PX) {
      waiting = i;
      continue;
    }
    const inside = px >= 0 && px < width && py >= 0 && py < height;
    let full = false;
    if (inside) {
      const cell = Math.floor(py) * width + Math.floor(px);
      full = passes[cell] >= MOST_PASSES;
      if (!full) passes[cell] += 1;
    }
    if (broken) lift();
    if (dotted) {
      // A line to itself is a dot.
      put(i);
      put(i);
      pen = true;
    } else if (!broken && (inside || lastInside) && !(full && lastFull)) {
      if (!pen) put(waiting >= 0 ? waiting : i - 1);
      put(i);
      pen = true;
    } else {
      lift();
    }
    [lastX, lastY, lastInside, lastFull, waiting] = [px, py, inside, full, i];
  }
  return { x: Float32Array.from(outX), y: Float32Array.from(outY), speed: Float32Array.from(outSpeed) };
}
