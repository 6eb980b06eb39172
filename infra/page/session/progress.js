// @ts-check
/** How far the service is with a session, why it failed, and what to do. */

import { partial } from '../damage.js';
import { h, setText } from '../dom.js';
import { clock } from '../format.js';
import { homeLink } from '../router.js';
import { prose, STEPS, stepWords } from '../words.js';
import { inWork } from './watch.js';

/**
 * @typedef {import('../types.js').SessionDetail} SessionDetail
 * @typedef {import('./page.js').Context} Context
 * @typedef {(session?: SessionDetail) => void} Follow told of a session that the service is at work on again
 */

/** Failures that are not the recording's. */
const PASSING = ['WORKER_LOST', 'PROCESSING_TIMEOUT', 'STORAGE_UNAVAILABLE', 'DATABASE_UNAVAILABLE', 'INTERNAL_ERROR'];

/** @param {SessionDetail} session @param {Context} context @param {Follow} follow */
export function progressOf(session, { api }, follow) {
  const said = h('p', { class: 'error', role: 'alert' });
  // Another attempt helps where the service failed; a recording that cannot be used stays as it is.
  const mayPass = PASSING.includes(session.failure?.code ?? '');
  const retry = h(
    'button',
    {
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
    },
    'Process again',
  );
  if (session.status === 'failed') {
    const kept = session.files.some(({ discardedAt }) => discardedAt === null);
    return [
      h(
        'div',
        { class: 'card notice bad', role: 'alert' },
        h('h2', {}, 'This recording could not be used'),
        h('p', {}, prose(session.failure?.message ?? 'The service gave no reason.')),
        session.failure &&
          h(
            'p',
            { class: 'muted' },
            `Code ${session.failure.code}. Files: ${session.files.map(({ fileName }) => fileName).join(', ')}`,
          ),
        h(
          'div',
          { class: 'button-row' },
          kept && retry,
          h('a', { class: mayPass ? 'button' : 'button primary', href: homeLink() }, 'Upload another file'),
        ),
        said,
      ),
    ];
  }
  if (session.status === 'cancelled') {
    return [
      h(
        'div',
        { class: 'card notice' },
        h('p', {}, 'The processing was cancelled. Upload the file again to have it processed.'),
      ),
    ];
  }
  if (session.status === 'processing') return [stepsCard(session)];
  return [
    ...partial(session).map(({ fileName, words }) =>
      h(
        'p',
        { class: 'card notice partly' },
        `“${fileName}” is ${words}. What came before was read, the rest is missing. If the recorder still holds all of it, copy or export it again.`,
      ),
    ),
    inWork(session) &&
      h('p', { class: 'card notice', role: 'status' }, 'Laps are being found again. The earlier ones stay until then.'),
  ];
}

/** @param {SessionDetail} session */
function stepsCard({ progress }) {
  const at = STEPS.findIndex(([job]) => job === progress?.job);
  const waits =
    progress?.nextRetryAt && Date.parse(progress.nextRetryAt) > Date.now()
      ? `, again at ${clock(progress.nextRetryAt)}`
      : '';
  const attempt = progress && progress.attempt > 1 ? `, attempt ${progress.attempt} of ${progress.maxAttempts}` : '';
  // The steps show it, unless there is more to say.
  const more = attempt + waits;
  return h(
    'section',
    { class: 'card', 'aria-label': 'Progress' },
    (!progress || more) && h('p', {}, progress ? `${stepWords(progress.job)}${more}` : 'Waiting to be processed'),
    h(
      'ol',
      { class: 'steps', 'aria-label': 'Steps' },
      ...STEPS.map(([, words], k) =>
        h(
          'li',
          { class: k < at ? 'step-done' : k === at ? 'step-now' : '', 'aria-current': k === at ? 'step' : false },
          words,
        ),
      ),
    ),
  );
}
