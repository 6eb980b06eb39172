// @ts-check
/** Starts the page: configuration, sign-in, and a view for each route. */

import { Api } from './api.js';
import { loadConfig } from './config.js';
import { announce, fill, h } from './dom.js';
import { units } from './format.js';
import { homeLink, route } from './router.js';
import { sessionPage } from './session/page.js';
import { sessionList } from './sessions/list.js';
import { SignIn } from './sign-in.js';
import { Uploads } from './upload/uploads.js';
import { acceptDrops, uploadCard } from './upload/view.js';

const main = /** @type {HTMLElement} */ (document.getElementById('main'));
const tools = /** @type {HTMLElement} */ (document.getElementById('tools'));

document.querySelector('.skip')?.addEventListener('click', (event) => {
  event.preventDefault(); // its address would be taken for another view's
  main.focus();
});

/** Ends what the view before had running. */
let leaving = new AbortController();
/** @type {Uploads | null} */
let uploads = null;

try {
  const config = await loadConfig();
  const signIn = new SignIn(config);
  const api = new Api(config.api, signIn);
  await signIn.complete().catch((error) => {
    signIn.trouble = `The sign-in did not work: ${error.message}`;
  });
  uploads = new Uploads(api);
  acceptDrops(
    () => (signIn.signedIn ? uploads : null),
    () => {
      if (route().name !== 'home') location.hash = homeLink();
    },
  );
  addEventListener('beforeunload', (event) => {
    if (uploads?.busy) event.preventDefault();
  });

  const show = () => {
    leaving.abort();
    leaving = new AbortController();
    fill(tools, ...toolbar(signIn));
    if (!signIn.signedIn) {
      title('Sign in');
      fill(main, welcome(signIn));
      return;
    }
    const now = route();
    if (now.name === 'session') {
      fill(main, sessionPage({ api, config, id: now.id, title, signal: leaving.signal }));
    } else if (uploads) {
      title('Sessions');
      const list = sessionList(api, now.query, leaving.signal);
      // Also a session that has just begun belongs into the list.
      const known = new Map();
      uploads.addEventListener(
        'changed',
        (event) => {
          const item = /** @type {CustomEvent} */ (event).detail;
          if (item.sessionId && known.get(item) !== item.stage) {
            known.set(item, item.stage);
            list.refresh();
          }
        },
        { signal: leaving.signal },
      );
      fill(
        main,
        h('h1', { class: 'visually-hidden' }, 'Recordings'),
        uploadCard(uploads, leaving.signal),
        list.element,
      );
    }
  };
  let before = route();
  addEventListener('hashchange', () => {
    const now = route();
    show();
    // Filters keep their place; another page begins at its top.
    if (now.name !== before.name || (now.name === 'session' && before.name === 'session' && now.id !== before.id)) {
      scrollTo(0, 0);
      main.focus({ preventScroll: true });
    }
    before = now;
  });
  signIn.addEventListener('change', show);
  units.addEventListener('change', show);
  show();
} catch (error) {
  fill(
    main,
    h(
      'div',
      { class: 'card notice bad', role: 'alert' },
      h('h1', {}, 'The page could not start'),
      h('p', {}, error instanceof Error ? error.message : String(error)),
      h('button', { type: 'button', onclick: () => location.reload() }, 'Try again'),
    ),
  );
}

/** @param {string} text */
function title(text) {
  const whole = `${text} · Telemetry`;
  if (document.title === whole) return;
  document.title = whole;
  announce(text);
}

/** @param {SignIn} signIn */
function toolbar(signIn) {
  const choice = h(
    'select',
    {
      id: 'units',
      'aria-label': 'Units',
      onchange: () => units.choose(choice.value === 'imperial' ? 'imperial' : 'metric'),
    },
    h('option', { value: 'metric' }, 'km/h, m'),
    h('option', { value: 'imperial' }, 'mph, ft'),
  );
  choice.value = units.system;
  return [
    choice,
    signIn.signedIn &&
      signIn.way !== 'given' &&
      h('button', { type: 'button', onclick: () => signIn.signOut() }, 'Sign out'),
  ];
}

/** @param {SignIn} signIn */
function welcome(signIn) {
  const alert = signIn.trouble && h('p', { class: 'notice bad', role: 'alert' }, signIn.trouble);
  if (signIn.way === 'oidc') {
    const place = h('div', {});
    return h(
      'section',
      { class: 'card welcome' },
      h('h1', {}, 'Your drives, laps and rides'),
      h('p', {}, 'Sign in to upload recordings and to look at them.'),
      alert,
      place,
      h(
        'button',
        {
          type: 'button',
          class: 'primary',
          onclick: () =>
            signIn.begin().catch((error) => {
              fill(
                place,
                h('p', { class: 'notice bad', role: 'alert' }, `The sign-in cannot be reached: ${error.message}`),
              );
            }),
        },
        'Sign in',
      ),
    );
  }
  const field = h('textarea', { id: 'token', rows: 4, required: true, spellcheck: 'false', autocomplete: 'off' });
  return h(
    'form',
    {
      class: 'card welcome',
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        signIn.paste(field.value);
      },
    },
    h('h1', {}, 'Your drives, laps and rides'),
    alert,
    h('label', { for: 'token' }, 'Access token'),
    field,
    h('p', { class: 'muted' }, 'It stays in this tab and is sent to the service alone.'),
    h('button', { type: 'submit', class: 'primary' }, 'Continue'),
  );
}
