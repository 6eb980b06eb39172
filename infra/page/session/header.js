// @ts-check
/** The head of a session: its name, what may be done with it, and its figures. */

import { announce, ask, fill, h, setText } from '../dom.js';
import { clock, date, distance, lapTime, number, span, speed, utc } from '../format.js';
import { homeLink } from '../router.js';
import { deviceWords, STATUS } from '../words.js';

/**
 * @typedef {import('../types.js').SessionDetail} SessionDetail
 * @typedef {import('./page.js').Context} Context
 * @typedef {(session?: SessionDetail) => void} Follow told of a session that the service is at work on again
 */

/** @param {HTMLElement} place @param {SessionDetail} session @param {Context} context @param {Follow} follow */
export function header(place, session, context, follow) {
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
    Object.assign(session, data);
    header(place, session, context, follow);
    context.title(session.name);
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
  fill(
    place,
    h(
      'div',
      { class: 'title-row' },
      h('h1', {}, session.name),
      h('span', { class: `badge ${session.status}` }, STATUS[session.status]),
      h(
        'div',
        { class: 'button-row', role: 'group', 'aria-label': 'Session' },
        h('button', { type: 'button', onclick: rename }, 'Rename'),
        session.status === 'processing' && h('button', { type: 'button', onclick: cancel }, 'Cancel processing'),
        h('button', { type: 'button', class: 'danger-quiet', onclick: remove }, 'Delete'),
      ),
    ),
    said,
    figures(session, context),
  );
}

/** The session in figures. @param {SessionDetail} session @param {Context} context */
function figures(session, { api, signal }) {
  if (session.status !== 'ready') return null;
  const { summary } = session;
  const top = Math.max(...session.datasets.map(({ quality }) => quality.maxSpeedMps ?? -1));
  const device = h('dd', {}, '…');
  if (session.deviceId) {
    api.get('/devices', signal).then(
      ({ devices }) => {
        const found = devices.find(
          (/** @type {import('../types.js').Device} */ one) => one.deviceId === session.deviceId,
        );
        setText(device, found ? deviceWords(found) : 'Unknown');
      },
      () => setText(device, 'Unknown'),
    );
  }
  const start = session.startTimeUtc;
  /** @type {[string, string | Node | null | undefined][]} */
  const rows = [
    [
      'Date',
      h(
        'time',
        { datetime: start, title: `${utc(start)} to ${utc(session.endTimeUtc)}` },
        `${date(start)}, ${clock(start)}`,
      ),
    ],
    ['Duration', span(summary.durationMs)],
    ['Distance', distance(summary.distanceM)],
    ['Top speed', top >= 0 ? speed(top) : ''],
    ['Laps', summary.lapCount ? number(summary.lapCount) : ''],
    ['Best lap', lapTime(summary.bestLapMs)],
    ['Points', number(summary.points ?? 0)],
  ];
  return h(
    'dl',
    { class: 'figures' },
    ...rows.filter(([, value]) => value).map(([words, value]) => h('div', {}, h('dt', {}, words), h('dd', {}, value))),
    session.deviceId && h('div', {}, h('dt', {}, 'Device'), device),
  );
}
