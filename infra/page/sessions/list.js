// @ts-check
/** The list of sessions with its filters and pages. Filters and page live in the address. */

import { fill, h } from '../dom.js';
import { distance, lapTime, moment, number, span, utc } from '../format.js';
import { homeLink, sessionLink } from '../router.js';
import { deviceWords, prose, STATUS } from '../words.js';

const REFRESH_MS = 3000;

/**
 * @typedef {import('../types.js').Session} Session
 * @typedef {import('../types.js').Device} Device
 */

/** Cursors lead forward only; this keeps the way back. @type {Map<string, string>} */
const before = new Map();

/**
 * @param {import('../api.js').Api} api @param {URLSearchParams} query @param {AbortSignal} signal
 * @returns {{element: HTMLElement, refresh: () => void}}
 */
export function sessionList(api, query, signal) {
  const place = h('div', { class: 'table-place', 'aria-busy': 'true' }, h('p', { class: 'muted padded' }, 'Loading'));
  const element = h(
    'section',
    { class: 'card', 'aria-labelledby': 'sessions-title' },
    h('div', { class: 'card-head' }, h('h2', { id: 'sessions-title' }, 'Sessions'), filters(api, query, signal)),
    place,
  );
  let timer = 0;
  const refresh = async () => {
    clearTimeout(timer);
    try {
      const page = await api.get(`/sessions?${asked(query)}`, signal);
      show(place, page, query);
      if (page.sessions.some((/** @type {Session} */ session) => session.status === 'processing')) {
        timer = setTimeout(refresh, REFRESH_MS);
      }
    } catch (error) {
      if (signal.aborted) return;
      fill(
        place,
        h(
          'div',
          { class: 'notice bad', role: 'alert' },
          h('p', {}, error instanceof Error ? error.message : String(error)),
          h('button', { type: 'button', onclick: refresh }, 'Try again'),
        ),
      );
    } finally {
      place.setAttribute('aria-busy', 'false');
    }
  };
  signal.addEventListener('abort', () => clearTimeout(timer));
  refresh();
  return { element, refresh };
}

/** What the API is asked for: days of the viewer's zone become moments. @param {URLSearchParams} query */
function asked(query) {
  const parameters = new URLSearchParams({ limit: '25' });
  for (const name of ['status', 'deviceId', 'cursor']) {
    const value = query.get(name);
    if (value) parameters.set(name, value);
  }
  const [from, to] = [query.get('from'), query.get('to')];
  if (from) parameters.set('from', new Date(`${from}T00:00:00`).toISOString());
  if (to) parameters.set('to', new Date(`${to}T23:59:59.999`).toISOString());
  return parameters;
}

/** @param {import('../api.js').Api} api @param {URLSearchParams} query @param {AbortSignal} signal */
function filters(api, query, signal) {
  const chosen = Object.fromEntries(['status', 'from', 'to', 'deviceId'].map((name) => [name, query.get(name) ?? '']));
  /** @param {string} name @param {string} value */
  const change = (name, value) => {
    location.hash = homeLink({ ...chosen, [name]: value });
  };
  const status = h(
    'select',
    { id: 'filter-status', onchange: () => change('status', status.value) },
    h('option', { value: '' }, 'Any status'),
    ...Object.entries(STATUS).map(([value, words]) => h('option', { value }, words)),
  );
  status.value = chosen.status;
  const device = h(
    'select',
    { id: 'filter-device', onchange: () => change('deviceId', device.value) },
    h('option', { value: '' }, 'Any device'),
  );
  api.get('/devices', signal).then(
    ({ devices }) => {
      device.append(
        ...devices.map((/** @type {Device} */ one) => h('option', { value: one.deviceId }, deviceWords(one))),
      );
      device.value = chosen.deviceId;
    },
    () => undefined,
  );
  /** @param {'from' | 'to'} name */
  const day = (name) => {
    const input = h('input', {
      type: 'date',
      id: `filter-${name}`,
      value: chosen[name],
      onchange: () => change(name, input.value),
    });
    return input;
  };
  const any = Object.values(chosen).some(Boolean);
  return h(
    'form',
    {
      class: 'filters',
      role: 'search',
      'aria-label': 'Filter sessions',
      onsubmit: (/** @type {Event} */ event) => event.preventDefault(),
    },
    field('filter-status', 'Status', status),
    field('filter-from', 'From', day('from')),
    field('filter-to', 'To', day('to')),
    field('filter-device', 'Device', device),
    any && h('a', { class: 'button', href: homeLink() }, 'Clear'),
  );
}

/** @param {string} id @param {string} words @param {HTMLElement} control */
const field = (id, words, control) => h('div', { class: 'field' }, h('label', { for: id }, words), control);

/**
 * @param {HTMLElement} place
 * @param {{sessions: Session[], nextCursor: string | null}} page
 * @param {URLSearchParams} query
 */
function show(place, page, query) {
  const filtered = ['status', 'from', 'to', 'deviceId', 'cursor'].some((name) => query.get(name));
  if (!page.sessions.length) {
    fill(
      place,
      h(
        'p',
        { class: 'muted padded' },
        filtered ? 'No session matches.' : 'There is no session yet. Upload a recording to make one.',
      ),
    );
    return;
  }
  // A link that has the focus keeps it when the list is drawn anew.
  const focused =
    document.activeElement instanceof HTMLAnchorElement && place.contains(document.activeElement)
      ? document.activeElement.hash
      : '';
  fill(
    place,
    h(
      'table',
      { class: 'sessions' },
      h('caption', { class: 'visually-hidden' }, 'Sessions, newest first'),
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...[
            ['Name'],
            ['Status'],
            ['Date', 'wide'],
            ['Duration', 'number wide'],
            ['Distance', 'number wide'],
            ['Laps', 'number wide'],
            ['Best lap', 'number'],
          ].map(([words, cls = '']) => h('th', { scope: 'col', class: cls }, words)),
        ),
      ),
      h('tbody', {}, ...page.sessions.map(row)),
    ),
    pages(page, query),
  );
  if (focused) [...place.querySelectorAll('a')].find((link) => link.hash === focused)?.focus();
}

/** @param {Session} session */
function row(session) {
  const { summary } = session;
  const ready = session.status === 'ready';
  const time = ready ? session.startTimeUtc : session.createdAt;
  const brief = [moment(time), distance(summary.distanceM)].filter(Boolean).join(' · ');
  return h(
    'tr',
    {},
    h(
      'th',
      { scope: 'row' },
      h('a', { href: sessionLink(session.sessionId) }, session.name),
      h('span', { class: 'brief muted' }, brief),
      session.failure && h('span', { class: 'reason muted', title: session.failure.message }, prose(session.failure.message)),
    ),
    h('td', {}, h('span', { class: `badge ${session.status}` }, STATUS[session.status])),
    h('td', { class: 'wide' }, h('time', { datetime: time, title: utc(time) }, moment(time))),
    h('td', { class: 'number wide' }, ready ? span(summary.durationMs) : ''),
    h('td', { class: 'number wide' }, distance(summary.distanceM)),
    h('td', { class: 'number wide' }, summary.lapCount ? number(summary.lapCount) : ''),
    h('td', { class: 'number' }, lapTime(summary.bestLapMs)),
  );
}

/** @param {{nextCursor: string | null}} page @param {URLSearchParams} query */
function pages({ nextCursor }, query) {
  const cursor = query.get('cursor') ?? '';
  if (!nextCursor && !cursor) return null;
  const same = Object.fromEntries([...query].filter(([name]) => name !== 'cursor'));
  if (nextCursor) before.set(nextCursor, cursor);
  return h(
    'nav',
    { class: 'pages', 'aria-label': 'Pages of sessions' },
    cursor
      ? h('a', { class: 'button', href: homeLink({ ...same, cursor: before.get(cursor) ?? '' }) }, 'Newer')
      : h('span'),
    nextCursor && h('a', { class: 'button', href: homeLink({ ...same, cursor: nextCursor }) }, 'Older'),
  );
}
