// @ts-check
/** The view of one session: follows it, and shows what there is to be shown of it. */

import { ApiError } from '../api.js';
import { dataWorker } from '../data/recording.js';
import { announce, fill, h } from '../dom.js';
import { homeLink } from '../router.js';
import { STATUS, stepWords } from '../words.js';
import { sessionBody } from './body.js';
import { header } from './header.js';
import { progressOf } from './progress.js';
import { inWork, watch } from './watch.js';

/**
 * @typedef {import('../types.js').SessionDetail} SessionDetail
 * @typedef {{api: import('../api.js').Api, config: import('../config.js').Config, id: string, title: (text: string) => void,
 *   signal: AbortSignal}} Context
 */

/** @param {Context} context @returns {HTMLElement} */
export function sessionPage(context) {
  const { api, id, signal } = context;
  const head = h('div', { class: 'session-head' }, h('h1', {}, 'Session'));
  const progress = h('div', {});
  const body = h('div', { class: 'session-body', 'aria-busy': 'true' });
  /** @type {ReturnType<typeof sessionBody> | null} */
  let shown = null;
  let searching = false;
  let following = new AbortController();
  signal.addEventListener('abort', () => following.abort());
  let headed = '';
  let step = '';

  const ask = () => {
    const asked = { track: api.get(`/sessions/${id}/track`, signal), laps: api.get(`/sessions/${id}/laps`, signal) };
    asked.track.catch(() => undefined);
    asked.laps.catch(() => undefined);
    return asked;
  };
  // These begin before anything is known of the session, so that the first picture waits for the slowest of them alone.
  /** @type {ReturnType<typeof ask> | null} */
  let early = ask();
  /** @type {Worker | null} */
  let worker = dataWorker();
  signal.addEventListener('abort', () => worker?.terminate());

  /** @param {SessionDetail} session @param {AbortSignal} here */
  async function show(session, here) {
    context.title(session.name);
    // Drawn anew only when it changes: a button that has the focus keeps it.
    const heading = JSON.stringify([session.name, session.status, session.summary]);
    if (heading !== headed) header(head, session, context, follow);
    headed = heading;
    fill(progress, ...progressOf(session, context, follow));
    const words = session.status === 'processing' ? stepWords(session.progress?.job ?? '') : STATUS[session.status];
    if (step && words !== step) announce(words);
    step = words;
    if (session.status !== 'ready') {
      shown?.end();
      shown = null;
      early = null;
      fill(body);
    } else if (!shown) {
      let answers = early ?? ask();
      // It may have become ready between two answers.
      if (early && !(await answers.track).features.length) answers = ask();
      const track = await answers.track;
      if (here.aborted) return;
      shown = sessionBody(
        body,
        context,
        session,
        { track, laps: answers.laps, worker: worker ?? dataWorker() },
        follow,
      );
      // It ends with the recording it holds.
      worker = null;
    } else if (searching && !inWork(session)) {
      const { laps } = await api.get(`/sessions/${id}/laps`, signal);
      if (!here.aborted) shown?.foundAgain(session, laps);
    }
    searching = inWork(session);
    body.setAttribute('aria-busy', 'false');
  }

  /** Follows the session until nothing more happens to it, or it is followed anew. @param {SessionDetail} [known] */
  async function follow(known) {
    following.abort();
    const own = new AbortController();
    following = own;
    try {
      if (known) await show(known, own.signal);
      for await (const session of watch(api, id, own.signal)) await show(session, own.signal);
    } catch (error) {
      if (own.signal.aborted) return;
      headed = '';
      early = null;
      const gone = error instanceof ApiError && error.status === 404;
      if (gone) context.title('Not found');
      fill(head, h('h1', {}, gone ? 'There is no such session' : 'Session'));
      fill(
        progress,
        h(
          'div',
          { class: 'card notice bad', role: 'alert' },
          h(
            'p',
            {},
            gone
              ? 'It was deleted, or it belongs to somebody else.'
              : error instanceof Error
                ? error.message
                : String(error),
          ),
          !gone && h('button', { type: 'button', onclick: () => follow() }, 'Try again'),
        ),
      );
      body.setAttribute('aria-busy', 'false');
    }
  }
  follow();
  return h(
    'div',
    { class: 'session' },
    h('nav', { 'aria-label': 'Way back' }, h('a', { href: homeLink(), class: 'back' }, '‹ All sessions')),
    head,
    progress,
    body,
  );
}
