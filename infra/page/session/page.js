// @ts-check
/** The view of one session: what it is, how far it is, and, once it is ready, its map, charts, laps, quality, files. */

import { ApiError } from '../api.js';
import { Recording } from '../data/recording.js';
import { announce, ask, fill, h, setText } from '../dom.js';
import { clock, date, distance, lapTime, number, span, speed, utc } from '../format.js';
import { homeLink } from '../router.js';
import { deviceWords, prose, STATUS, STEPS, stepWords } from '../words.js';
import { charts, offeredChannels } from './charts.js';
import { compareCard } from './compare.js';
import { filesCard } from './files.js';
import { gateControl } from './gate.js';
import { lapsCard } from './laps.js';
import { TrackMap } from './map.js';
import { qualityCard } from './quality.js';
import { View } from './view.js';
import { inWork, watch } from './watch.js';

/**
 * @typedef {import('../types.js').SessionDetail} SessionDetail
 * @typedef {import('../types.js').Lap} Lap
 * @typedef {import('../types.js').TrackFeature} TrackFeature
 * @typedef {{api: import('../api.js').Api, config: import('../config.js').Config, id: string, title: (text: string) => void,
 *   signal: AbortSignal}} Context
 */

/** Failures that are not the recording's. */
const PASSING = ['WORKER_LOST', 'PROCESSING_TIMEOUT', 'STORAGE_UNAVAILABLE', 'DATABASE_UNAVAILABLE', 'INTERNAL_ERROR'];

/** @param {Context} context @returns {HTMLElement} */
export function sessionPage(context) {
  const { api, id, signal } = context;
  const head = h('div', { class: 'session-head' }, h('h1', {}, 'Session'));
  const progress = h('div', {});
  const body = h('div', { class: 'session-body', 'aria-busy': 'true' });
  const page = h('div', { class: 'session' }, h('nav', { 'aria-label': 'Way back' }, h('a', { href: homeLink(), class: 'back' }, '‹ All sessions')), head, progress, body);
  // Both begin before anything is known of the session: the first picture waits for the slower of the two alone.
  const early = { track: api.get(`/sessions/${id}/track`, signal), laps: api.get(`/sessions/${id}/laps`, signal) };
  early.track.catch(() => undefined);
  early.laps.catch(() => undefined);
  /** What is drawn already. */
  let drawn = '';
  let ending = new AbortController();
  signal.addEventListener('abort', () => ending.abort());

  /** @param {SessionDetail} session */
  async function show(session) {
    context.title(session.name);
    header(head, session, context, follow);
    fill(progress, ...progressOf(session, context, follow));
    const key = session.status === 'ready' ? `ready ${session.runId} ${inWork(session)} ${session.laps.length} ${session.summary.bestLapMs}` : session.status;
    if (session.status !== 'ready') {
      fill(body);
      drawn = key;
      body.setAttribute('aria-busy', 'false');
      return;
    }
    if (drawn === key) return;
    const first = drawn === '';
    drawn = key;
    const [track, { laps }] = first ? await Promise.all([early.track, early.laps])
      : await Promise.all([api.get(`/sessions/${id}/track`, signal), api.get(`/sessions/${id}/laps`, signal)]);
    if (first && !track.features.length && session.datasets.length) {
      // It became ready between the two answers.
      return show({ ...session });
    }
    ending.abort();
    ending = new AbortController();
    await ready(body, { ...context, signal: ending.signal }, session, track.features, laps, follow);
    body.setAttribute('aria-busy', 'false');
  }

  /** Follows the session until nothing more happens to it. @param {SessionDetail} [known] */
  async function follow(known) {
    try {
      if (known) await show(known);
      for await (const session of watch(api, id, signal)) await show(session);
    } catch (error) {
      if (signal.aborted) return;
      const gone = error instanceof ApiError && error.status === 404;
      if (gone) context.title('Not found');
      fill(head, h('h1', {}, gone ? 'There is no such session' : 'Session'));
      fill(progress, h('div', { class: 'card notice bad', role: 'alert' },
        h('p', {}, gone ? 'It was deleted, or it belongs to somebody else.' : error instanceof Error ? error.message : String(error)),
        !gone && h('button', { type: 'button', onclick: () => follow() }, 'Try again')));
      body.setAttribute('aria-busy', 'false');
    }
  }
  follow();
  return page;
}

/** @param {HTMLElement} place @param {SessionDetail} session @param {Context} context @param {(session?: SessionDetail) => void} follow */
function header(place, session, context, follow) {
  const { api } = context;
  const said = h('p', { class: 'error', role: 'alert' });
  /** @param {() => Promise<void>} act */
  const tried = (act) => async () => {
    setText(said, '');
    try {
      await act();
    } catch (error) {
      setText(said, error instanceof Error ? error.message : String(error));
    }
  };
  const rename = tried(async () => {
    const field = h('input', { id: 'new-name', value: session.name, maxlength: 255, required: true });
    const content = h('div', { class: 'field' }, h('label', { for: 'new-name' }, 'Name'), field);
    queueMicrotask(() => field.select());
    if (!(await ask({ title: 'Rename the session', content, confirm: 'Rename' })) || !field.value.trim()) return;
    const { data } = await api.call('PATCH', `/sessions/${session.sessionId}`, { body: { name: field.value.trim() } });
    header(place, data, context, follow);
    context.title(data.name);
  });
  const remove = tried(async () => {
    const sure = await ask({
      title: 'Delete the session?',
      text: [`“${session.name}”, its files and its laps are deleted for good.`],
      confirm: 'Delete',
      danger: true,
    });
    if (!sure) return;
    await api.call('DELETE', `/sessions/${session.sessionId}`);
    announce(`${session.name} is deleted`);
    location.hash = homeLink();
  });
  const cancel = tried(async () => follow(await api.post(`/sessions/${session.sessionId}/cancel`, {})));
  fill(place,
    h('div', { class: 'title-row' },
      h('h1', {}, session.name), h('span', { class: `badge ${session.status}` }, STATUS[session.status]),
      h('div', { class: 'button-row', role: 'group', 'aria-label': 'Session' },
        h('button', { type: 'button', onclick: rename }, 'Rename'),
        session.status === 'processing' && h('button', { type: 'button', onclick: cancel }, 'Cancel processing'),
        h('button', { type: 'button', class: 'danger-quiet', onclick: remove }, 'Delete'))),
    said, figures(session, context));
}

/** The session in figures. @param {SessionDetail} session @param {Context} context */
function figures(session, { api, signal }) {
  if (session.status !== 'ready') return null;
  const { summary } = session;
  const top = Math.max(...session.datasets.map(({ quality }) => quality.maxSpeedMps ?? -1));
  const device = h('dd', {}, '…');
  if (session.deviceId) {
    api.get('/devices', signal).then(({ devices }) => {
      const found = devices.find((/** @type {import('../types.js').Device} */ one) => one.deviceId === session.deviceId);
      setText(device, found ? deviceWords(found) : 'Unknown');
    }, () => setText(device, 'Unknown'));
  }
  const start = session.startTimeUtc;
  /** @type {[string, string | Node | null | undefined][]} */
  const rows = [
    ['Date', h('time', { datetime: start, title: `${utc(start)} to ${utc(session.endTimeUtc)}` }, `${date(start)}, ${clock(start)}`)],
    ['Duration', span(summary.durationMs)],
    ['Distance', distance(summary.distanceM)],
    ['Top speed', top >= 0 ? speed(top) : ''],
    ['Laps', summary.lapCount ? number(summary.lapCount) : ''],
    ['Best lap', lapTime(summary.bestLapMs)],
    ['Points', number(summary.points ?? 0)],
  ];
  return h('dl', { class: 'figures' },
    ...rows.filter(([, value]) => value).map(([words, value]) => h('div', {}, h('dt', {}, words), h('dd', {}, value))),
    session.deviceId && h('div', {}, h('dt', {}, 'Device'), device));
}

/** @param {SessionDetail} session @param {Context} context @param {(session?: SessionDetail) => void} follow */
function progressOf(session, { api }, follow) {
  const said = h('p', { class: 'error', role: 'alert' });
  // Another attempt helps where the service failed; a recording that cannot be used stays as it is.
  const mayPass = PASSING.includes(session.failure?.code ?? '');
  const retry = h('button', {
    type: 'button',
    class: mayPass ? 'primary' : '',
    onclick: async () => {
      retry.disabled = true;
      try {
        await follow(await api.post(`/sessions/${session.sessionId}/retry`, {}));
      } catch (error) {
        retry.disabled = false;
        setText(said, error instanceof Error ? error.message : String(error));
      }
    },
  }, 'Process again');
  if (session.status === 'failed') {
    const kept = session.files.some(({ discardedAt }) => discardedAt === null);
    return [h('div', { class: 'card notice bad', role: 'alert' },
      h('h2', {}, 'This recording could not be used'),
      h('p', {}, prose(session.failure?.message ?? 'The service gave no reason.')),
      session.failure && h('p', { class: 'muted' }, `Code ${session.failure.code}. Files: ${session.files.map(({ fileName }) => fileName).join(', ')}`),
      h('div', { class: 'button-row' }, kept && retry, h('a', { class: mayPass ? 'button' : 'button primary', href: homeLink() }, 'Upload another file')), said)];
  }
  if (session.status === 'cancelled') {
    return [h('div', { class: 'card notice' }, h('p', {}, 'The processing was cancelled. Upload the file again to have it processed.'))];
  }
  if (session.status === 'processing') return [stepsCard(session)];
  return inWork(session) ? [h('p', { class: 'card notice', role: 'status' }, 'Laps are being found again. The earlier ones stay until then.')] : [];
}

/** @param {SessionDetail} session */
function stepsCard({ progress }) {
  const at = STEPS.findIndex(([job]) => job === progress?.job);
  const waits = progress?.nextRetryAt && Date.parse(progress.nextRetryAt) > Date.now() ? `, again at ${clock(progress.nextRetryAt)}` : '';
  const attempt = progress && progress.attempt > 1 ? `, attempt ${progress.attempt} of ${progress.maxAttempts}` : '';
  return h('section', { class: 'card', 'aria-label': 'Progress' },
    h('p', { role: 'status' }, progress ? `${stepWords(progress.job)}${attempt}${waits}` : 'Waiting to be processed'),
    h('ol', { class: 'steps', 'aria-label': 'Steps' }, ...STEPS.map(([, words], k) =>
      h('li', { class: k < at ? 'step-done' : k === at ? 'step-now' : '', 'aria-current': k === at ? 'step' : false }, words))));
}

/**
 * @param {HTMLElement} body @param {Context} context @param {SessionDetail} session @param {TrackFeature[]} features
 * @param {Lap[]} laps @param {(session?: SessionDetail) => void} follow
 */
async function ready(body, context, session, features, laps, follow) {
  const { api, config, signal } = context;
  const uploadIds = [...new Set(session.datasets.filter(({ stream }) => stream === 'gnss_pvt').map(({ uploadId }) => uploadId))];
  let uploadId = uploadIds[0];
  const inner = h('div', { class: 'session-body' });
  const looks = h('div', { class: 'looks' });
  const lapsPlace = h('div', { class: 'stack' });
  let shown = new AbortController();
  signal.addEventListener('abort', () => shown.abort());
  /** @type {Recording | null} */
  let full = null;

  async function look() {
    shown.abort();
    shown = new AbortController();
    const here = shown.signal;
    const addresses = async () => {
      const { datasets } = await api.get(`/sessions/${session.sessionId}/datasets`);
      return Object.fromEntries(datasets
        .filter((/** @type {import('../types.js').Dataset} */ one) => one.uploadId === uploadId)
        .map((/** @type {import('../types.js').Dataset} */ one) => [one.stream, { url: one.download?.url, byteSize: one.byteSize }]));
    };
    const recording = new Recording(addresses);
    full = null;
    here.addEventListener('abort', () => recording.end());
    const own = features.filter(({ properties }) => uploadIds.length < 2 || properties.uploadId === uploadId);
    const held = await (own.length ? recording.coarse(own) : recording.full());
    if (here.aborted) return;
    const view = new View(recording, held);
    const offered = offeredChannels(session.datasets.filter((one) => one.uploadId === uploadId));
    if (offered.some(({ id }) => id.channel === 'altitude_m')) view.channels.push({ stream: 'gnss_pvt', channel: 'altitude_m' });
    const map = new TrackMap(view, { tiles: config.tiles, gate: session.gate, signal: here });
    const gate = gateControl(view, map, async (line) => follow((await api.call('PUT', `/sessions/${session.sessionId}/gate`, { body: line })).data));
    const loading = h('p', { class: 'muted loading', role: 'status' }, 'Reading every fix');
    const mapCard = h('section', { class: 'card map-card', 'aria-label': 'Map' }, map.element, gate);
    const chartCard = h('section', { class: 'card chart-card', 'aria-label': 'Charts' }, charts(view, offered, here), loading);
    fill(looks, mapCard, chartCard);
    fill(lapsPlace,
      laps.length ? lapsCard(laps, view, session.summary, { signal: here, shown: () => looks.scrollIntoView({ block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' }) })
        : h('section', { class: 'card', 'aria-labelledby': 'laps-title' }, h('div', { class: 'card-head' }, h('h2', { id: 'laps-title' }, 'Laps')), h('p', { class: 'muted padded' }, 'No laps were found. Set a start/finish line on the map to look for them there.')),
      compareCard(view, here));
    if (!own.length) {
      view.replace(held);
      full = recording;
      loading.remove();
      return;
    }
    recording.full().then((all) => {
      if (here.aborted) return;
      full = recording;
      view.replace(all);
      loading.remove();
      performance.mark('every-fix-read');
    }, () => {
      if (here.aborted) return;
      fill(loading, 'Not every fix could be read; a thinned track is shown. ', h('button', { type: 'button', onclick: look }, 'Try again'));
    });
  }

  if (!uploadIds.length) {
    fill(looks, h('p', { class: 'card notice' }, 'This session holds no positions.'));
  }
  fill(inner,
    uploadIds.length > 1 && fileChoice(session, uploadIds, (chosen) => { uploadId = chosen; look(); }),
    looks, lapsPlace, h('div', { class: 'two' }, qualityCard(session), filesCard(api, session, () => full)));
  body.replaceChildren(...inner.childNodes);
  if (uploadIds.length) await look();
}

/** @param {SessionDetail} session @param {string[]} uploadIds @param {(id: string) => void} choose */
function fileChoice(session, uploadIds, choose) {
  const select = h('select', { id: 'file', onchange: () => choose(select.value) }, ...uploadIds.map((id) => h('option', { value: id }, session.files.find((file) => file.uploadId === id)?.fileName ?? id)));
  return h('div', { class: 'field inline' }, h('label', { for: 'file' }, 'File'), select);
}
