// @ts-check
/** What pointer, wheel and keys do on the map: drag and arrows move it, pinch, wheel and plus and minus zoom, pointing
 *  puts the cursor, and while a line is wanted a drag draws it. */

/** @typedef {import('./map.js').Point} Point */

/** @param {import('./map.js').TrackMap} map */
export function takeInput(map) {
  const { stage } = map;
  /** @type {Map<number, PointerEvent>} */
  const down = new Map();
  let travelled = 0;
  /** @type {Point | null} */
  let begun = null;
  const at = (/** @type {PointerEvent | WheelEvent} */ event) => {
    const box = stage.getBoundingClientRect();
    return map.pointAt({ offsetX: event.clientX - box.left, offsetY: event.clientY - box.top });
  };
  stage.addEventListener('pointerdown', (event) => {
    if (event.target instanceof Element && event.target.closest('button')) return;
    down.set(event.pointerId, event);
    travelled = 0;
    stage.setPointerCapture(event.pointerId);
    if (map.drawing) begun = at(event);
  });
  stage.addEventListener('pointermove', (event) => {
    const before = down.get(event.pointerId);
    if (!before) {
      if (event.pointerType === 'mouse' && !map.drawing) map.seek(at(event));
      return;
    }
    const [right, lower] = [event.clientX - before.clientX, event.clientY - before.clientY];
    travelled += Math.abs(right) + Math.abs(lower);
    if (begun && map.drawing) {
      map.showDraft([begun, at(event)]);
      down.set(event.pointerId, event);
      return;
    }
    if (down.size === 2) {
      const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const [was, is] = [before, event].map((one) =>
          Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY),
        );
        if (was > 0 && is > 0) map.zoom(was / is, at(other));
      }
      map.pan(-right / 2, -lower / 2);
    } else if (event.pointerType === 'mouse') {
      map.pan(-right, -lower);
    } else {
      map.seek(at(event));
    }
    down.set(event.pointerId, event);
  });
  const up = (/** @type {PointerEvent} */ event) => {
    if (!down.delete(event.pointerId)) return;
    if (begun && map.drawing) {
      const ends = map.draft;
      begun = null;
      if (ends && travelled > 8) map.drawing(ends);
    } else if (travelled < 4) map.seek(at(event));
  };
  stage.addEventListener('pointerup', up);
  stage.addEventListener('pointercancel', (event) => {
    begun = null;
    down.delete(event.pointerId);
  });
  // Turning the wheel alone moves the page, as elsewhere on it.
  stage.addEventListener(
    'wheel',
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      map.zoom(Math.exp(event.deltaY * (event.deltaMode ? 0.05 : 0.004)), at(event));
    },
    { passive: false },
  );
  stage.addEventListener('dblclick', (event) => map.zoom(0.5, at(/** @type {any} */ (event))));
  stage.addEventListener('keydown', (event) => {
    if (event.target !== stage || event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => map.pan(-60, 0),
      ArrowRight: () => map.pan(60, 0),
      ArrowUp: () => map.pan(0, -60),
      ArrowDown: () => map.pan(0, 60),
      '+': () => map.zoom(0.5),
      '=': () => map.zoom(0.5),
      '-': () => map.zoom(2),
      0: () => map.fit(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
}
