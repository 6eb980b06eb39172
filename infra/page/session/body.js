// @ts-check
/**
 * What a session that is ready holds: map, charts, laps, quality, downloads. Reads its recording, one file at a time.
 */

import { dataWorker, Recording } from '../data/recording.js';
import { announce, fill, h } from '../dom.js';
import { POSITION_CHANNELS } from '../words.js';
import { charts, offeredChannels } from './charts.js';
import { compareCard } from './compare.js';
import { filesCard } from './files.js';
import { gateControl } from './gate.js';
import { lapsCard } from './laps.js';
import { TrackMap } from './map.js';
import { qualityCard } from './quality.js';
import { lapRange, View } from './view.js';

/**
 * @typedef {import('../types.js').SessionDetail} SessionDetail
 * @typedef {import('../types.js').Dataset} Dataset
 * @typedef {import('../types.js').Lap} Lap
 * @typedef {import('../types.js').TrackFeature} TrackFeature
 * @typedef {import('./page.js').Context} Context
 */

/** Some 80 bytes of memory each. A week at 10 Hz has six millions. */
const MOST_FIXES = 12e6;
const TOO_LONG =
  'This recording has too many fixes for a browser to hold; a thinned track is shown. Download its files to see them all.';

/**
 * Fills the body of the page.
 * @param {HTMLElement} place @param {Context} context @param {SessionDetail} session
 * @param {{track: {features: TrackFeature[]}, laps: Promise<{laps: Lap[]}>, worker: Worker}} given `worker` serves the first recording
 * @param {(session?: SessionDetail) => void} follow
 */
export function sessionBody(place, context, session, given, follow) {
  const { api, config } = context;
  const { features } = given.track;
  let { laps } = given;
  /** @type {Worker | null} */
  let worker = given.worker;
  const uploadIds = [
    ...new Set(session.datasets.filter(({ stream }) => stream === 'gnss_pvt').map(({ uploadId }) => uploadId)),
  ];
  let uploadId = uploadIds[0];
  const looks = h('div', { class: 'looks' });
  const lapsPlace = h('div', { class: 'stack' });
  /** Ends what belongs to the file that is shown. */
  let shown = new AbortController();
  context.signal.addEventListener('abort', () => shown.abort());
  /** @type {{view: View, map: TrackMap, gate: ReturnType<typeof gateControl>} | null} */
  let current = null;
  /** The recording once it holds every fix. @type {Promise<Recording>} */
  let full = refused('This session holds no positions.');

  /** Signed addresses of the file's streams. */
  async function addresses() {
    const { datasets } = await api.get(`/sessions/${session.sessionId}/datasets`);
    return Object.fromEntries(
      datasets
        .filter((/** @type {Dataset} */ one) => one.uploadId === uploadId)
        .map((/** @type {Dataset} */ one) => [one.stream, { url: one.download?.url, byteSize: one.byteSize }]),
    );
  }

  /** First the thinned track, then every fix. */
  async function look() {
    shown.abort();
    shown = new AbortController();
    const { signal } = shown;
    const recording = new Recording(addresses, worker ?? dataWorker());
    worker = null;
    signal.addEventListener('abort', () => recording.end());
    const track = session.datasets.find((one) => one.stream === 'gnss_pvt' && one.uploadId === uploadId);
    const own = features.filter(({ properties }) => uploadIds.length < 2 || properties.uploadId === uploadId);
    const first = own.length ? recording.coarse(own, track?.quality.distanceM ?? 0) : recording.full(POSITION_CHANNELS);
    const every = first.then(async (held) => {
      if (!own.length) return held;
      if ((track?.rowCount ?? 0) > MOST_FIXES) throw new Error(TOO_LONG);
      if (held.sparse)
        await recording.sketch().then(
          () => current?.view.redraw(),
          () => undefined,
        );
      return recording.full(POSITION_CHANNELS);
    });
    full = every.then(
      () => recording,
      (error) => refused(error.message === TOO_LONG ? TOO_LONG : 'The fixes could not be read. Try again later.'),
    );
    full.catch(() => undefined);
    const again = h('button', { type: 'button', onclick: look }, 'Try again');
    try {
      const held = await first;
      if (signal.aborted) return;
      const view = new View(recording, held);
      const offered = offeredChannels(session.datasets.filter((one) => one.uploadId === uploadId));
      if (offered.some(({ id }) => id.channel === 'altitude_m'))
        view.channels.push({ stream: 'gnss_pvt', channel: 'altitude_m' });
      const map = new TrackMap(view, { tiles: config.tiles, gate: session.gate, signal });
      const gate = gateControl(view, map, session, async (line) => {
        const { data } = await api.call('PUT', `/sessions/${session.sessionId}/gate`, { body: line });
        Object.assign(session, { gate: data.gate, gateFailure: undefined });
        map.showGate(data.gate);
        follow(data);
      });
      current = { view, map, gate };
      const loading = h('p', { class: 'muted loading', role: 'status' }, 'Reading every fix');
      fill(
        looks,
        h('section', { class: 'card map-card', 'aria-label': 'Map' }, map.element, gate.element),
        h('section', { class: 'card chart-card', 'aria-label': 'Charts' }, charts(view, offered, signal), loading),
      );
      laps.then(
        ({ laps: found }) => !signal.aborted && showLaps(found),
        () => !signal.aborted && fill(lapsPlace, trouble('The laps could not be read. Load the page again.')),
      );
      every.then(
        (all) => {
          if (signal.aborted) return;
          view.replace(all);
          loading.remove();
          // For whoever measures how soon all is there.
          performance.mark('every-fix-read');
        },
        (error) => {
          if (signal.aborted) return;
          if (error.message === TOO_LONG) fill(loading, TOO_LONG);
          else fill(loading, 'Not every fix could be read; a thinned track is shown. ', again);
        },
      );
    } catch {
      if (!signal.aborted) fill(looks, trouble('The recording could not be read.', again));
    }
  }

  /** @param {Lap[]} found */
  function showLaps(found) {
    if (!current) return;
    const { view } = current;
    // A lap does not say which file it is of; its time does.
    const here =
      uploadIds.length < 2
        ? found
        : found.filter((lap) => {
            const { from, to } = lapRange(lap);
            return from >= view.held.from - 1 && to <= view.held.to + 1;
          });
    const compare = compareCard(view, shown.signal);
    const options = {
      signal: shown.signal,
      shown: () => scrollTo(looks),
      compared: () => {
        scrollTo(compare);
        compare.focus({ preventScroll: true });
      },
    };
    fill(lapsPlace, here.length ? lapsCard(here, view, session.summary, options) : noLaps(), compare);
  }

  fill(
    place,
    uploadIds.length > 1 &&
      fileChoice(session, uploadIds, (chosen) => {
        uploadId = chosen;
        look();
      }),
    looks,
    lapsPlace,
    h(
      'div',
      { class: 'two' },
      qualityCard(session),
      filesCard(api, session, () => full),
    ),
  );
  if (uploadIds.length) look();
  else fill(looks, h('p', { class: 'card notice' }, 'This session holds no positions.'));

  return {
    /** Laps at another line; map and charts stay as they are. @param {SessionDetail} now @param {Lap[]} found */
    foundAgain(now, found) {
      Object.assign(session, now, { gateFailure: now.gateFailure });
      current?.gate.tell(now);
      if (now.gateFailure) return;
      laps = Promise.resolve({ laps: found });
      current?.map.showGate(now.gate);
      current?.view.clearLaps();
      showLaps(found);
      announce(found.length === 1 ? '1 lap was found' : `${found.length} laps were found`);
    },
    end: () => shown.abort(),
  };
}

/** @param {HTMLElement} element */
function scrollTo(element) {
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  element.scrollIntoView({ block: 'start', behavior: still ? 'auto' : 'smooth' });
}

/** @param {string} message @returns {Promise<never>} */
function refused(message) {
  const refusal = Promise.reject(new Error(message));
  refusal.catch(() => undefined);
  return refusal;
}

/** @param {string} words @param {HTMLElement} [action] */
const trouble = (words, action) => h('div', { class: 'card notice bad', role: 'alert' }, h('p', {}, words), action);

const noLaps = () =>
  h(
    'section',
    { class: 'card', 'aria-labelledby': 'laps-title' },
    h('div', { class: 'card-head' }, h('h2', { id: 'laps-title' }, 'Laps')),
    h(
      'p',
      { class: 'muted no-laps' },
      'No laps were found. Set a start/finish line on the map to look for them there.',
    ),
  );

/** @param {SessionDetail} session @param {string[]} uploadIds @param {(id: string) => void} choose */
function fileChoice(session, uploadIds, choose) {
  const select = h(
    'select',
    { id: 'file', onchange: () => choose(select.value) },
    ...uploadIds.map((id) =>
      h('option', { value: id }, session.files.find((file) => file.uploadId === id)?.fileName ?? id),
    ),
  );
  return h('div', { class: 'field inline' }, h('label', { for: 'file' }, 'File'), select);
}
