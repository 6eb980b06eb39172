// @ts-check
/** Colours of the canvases: a scale for speed that colour-blind people can read (viridis, by Smith and van der Walt),
 *  and the page's own colours. Reads the style sheet. */

const VIRIDIS = [
  [68, 1, 84],
  [72, 40, 120],
  [62, 74, 137],
  [49, 104, 142],
  [38, 130, 142],
  [31, 158, 137],
  [53, 183, 121],
  [110, 206, 88],
  [181, 222, 43],
  [253, 231, 37],
];
/** The ends that would vanish into the background are left out. */
const LIGHT = [0, 0.87];
const DARK = [0.2, 1];

export const BINS = 24;

export const darkScheme = matchMedia('(prefers-color-scheme: dark)');

/** The colour at a share of the scale. @param {number} share */
export function speedColour(share) {
  const [low, high] = darkScheme.matches ? DARK : LIGHT;
  const place = (low + Math.min(1, Math.max(0, share)) * (high - low)) * (VIRIDIS.length - 1);
  const below = Math.min(VIRIDIS.length - 2, Math.floor(place));
  const mixed = VIRIDIS[below].map((value, k) => Math.round(value + (place - below) * (VIRIDIS[below + 1][k] - value)));
  return `rgb(${mixed.join(' ')})`;
}

export const speedColours = () => Array.from({ length: BINS }, (_, bin) => speedColour(bin / (BINS - 1)));

/** A colour of the style sheet. @param {string} name */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
