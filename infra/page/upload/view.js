// @ts-check
/** Choosing, dropping and following uploads: the elements for uploads.js. */

import { partial } from '../damage.js';
import { announce, fill, h, icon, iconButton, setText } from '../dom.js';
import { counted, distance, lapTime, size } from '../format.js';
import { sessionLink } from '../router.js';
import { prose, STEPS, stepWords } from '../words.js';

/**
 * @typedef {import('./uploads.js').Uploads} Uploads
 * @typedef {import('./uploads.js').UploadItem} UploadItem
 */

/**
 * The card with the button and the list. It listens until `signal`.
 * @param {Uploads} uploads @param {AbortSignal} signal
 */
export function uploadCard(uploads, signal) {
  const input = h('input', {
    type: 'file',
    multiple: true,
    id: 'files',
    class: 'visually-hidden',
    'aria-describedby': 'files-hint',
    onchange: () => {
      uploads.add(input.files ?? []);
      input.value = '';
    },
  });
  const join = h('input', {
    type: 'checkbox',
    id: 'join',
    checked: uploads.joining,
    onchange: () => {
      uploads.joining = join.checked;
    },
  });
  const list = h('ul', { class: 'uploads', 'aria-label': 'Uploads' });
  /** @type {Map<UploadItem, ReturnType<typeof row>>} */
  const rows = new Map();
  /** @param {UploadItem} item */
  const add = (item) => {
    const made = row(uploads, item);
    rows.set(item, made);
    list.append(made.element);
    list.hidden = false;
  };
  const clear = h(
    'button',
    {
      type: 'button',
      class: 'link',
      onclick: () => [...uploads.items].filter((item) => item.finished).forEach((item) => uploads.remove(item)),
    },
    'Clear the finished ones',
  );
  const clearable = () => {
    clear.hidden = uploads.items.filter((item) => item.finished).length < 2;
  };
  list.hidden = true;
  uploads.items.forEach(add);
  clearable();
  uploads.addEventListener('added', (event) => add(/** @type {CustomEvent} */ (event).detail), { signal });
  uploads.addEventListener(
    'changed',
    (event) => {
      rows.get(/** @type {CustomEvent} */ (event).detail)?.update();
      clearable();
    },
    { signal },
  );
  uploads.addEventListener(
    'removed',
    (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      rows.get(detail)?.element.remove();
      rows.delete(detail);
      list.hidden = rows.size === 0;
      clearable();
      if (document.activeElement === document.body) input.focus();
    },
    { signal },
  );
  return h(
    'section',
    { class: 'card upload-card', 'aria-labelledby': 'upload-title' },
    h(
      'div',
      { class: 'drop-zone' },
      h('span', { class: 'drop-icon' }, icon('upload')),
      h(
        'div',
        {},
        h('h2', { id: 'upload-title' }, 'Upload recordings'),
        h(
          'p',
          { id: 'files-hint', class: 'muted' },
          h('span', { class: 'with-mouse' }, 'Drop files anywhere on this page. '),
          'CSV, GPX, TCX, FIT, NMEA, UBX, VBO, KML or IGC, also zipped.',
        ),
      ),
      h(
        'div',
        { class: 'file-choice' },
        input,
        h('label', { for: 'files', class: 'button primary' }, 'Choose recordings'),
      ),
      h('div', { class: 'choice joining' }, join, h('label', { for: 'join' }, 'Make one session of several files')),
    ),
    list,
    clear,
  );
}

/** @param {Uploads} uploads @param {UploadItem} item */
function row(uploads, item) {
  const status = h('p', { class: 'upload-status' });
  const bar = h('progress', { max: 1, 'aria-label': `Progress of ${item.file.name}` });
  const steps = h('ol', { class: 'steps', 'aria-label': 'Steps' });
  const buttons = h('div', { class: 'upload-buttons' });
  const stop = iconButton('close', `Remove ${item.file.name} from the list`, () => uploads.remove(item));
  const element = h(
    'li',
    { class: 'upload', 'aria-label': item.file.name },
    h(
      'div',
      { class: 'upload-text' },
      h(
        'p',
        {},
        h('span', { class: 'upload-name' }, item.file.name),
        ' ',
        h('span', { class: 'muted' }, size(item.file.size)),
      ),
      status,
      bar,
      steps,
    ),
    buttons,
    stop,
  );
  let spoken = '';
  let shownStage = '';

  function update() {
    const told = tell(item);
    element.dataset.stage = item.stage;
    element.toggleAttribute('data-partial', item.stage === 'ready' && Boolean(partOf(item)));
    setText(status, told.text);
    status.hidden = told.text === '';
    bar.hidden = !['checksum', 'sending'].includes(item.stage);
    bar.value = item.file.size ? item.done / item.file.size : 0;
    fill(steps, ...stepper(item));
    steps.hidden = item.stage !== 'processing' || !item.session?.progress;
    const stage = item.stage + item.failure;
    if (stage !== shownStage) {
      fill(buttons, ...actions(uploads, item));
      buttons.hidden = buttons.childElementCount === 0;
      const verb = item.settled ? 'Remove' : 'Stop';
      stop.title = item.settled ? 'Remove from the list' : 'Stop';
      stop.setAttribute(
        'aria-label',
        item.settled ? `${verb} ${item.file.name} from the list` : `${verb} ${item.file.name}`,
      );
    }
    shownStage = stage;
    if (told.say && told.say !== spoken) {
      spoken = told.say;
      announce(`${item.file.name}: ${told.say}`);
    }
  }
  update();
  return { element, update };
}

/**
 * What is shown, and what is also said to a screen reader.
 * @param {UploadItem} item @returns {{text: string, say: string}}
 */
function tell(item) {
  const share = item.file.size ? Math.floor((100 * item.done) / item.file.size) : 0;
  const same = (/** @type {string} */ text) => ({ text, say: text });
  if (item.note) return { text: item.note, say: 'Paused. It goes on by itself.' };
  switch (item.stage) {
    case 'waiting':
      return { text: 'Waiting', say: '' };
    case 'checksum':
      return { text: `Reading the file, ${share} %`, say: 'Reading the file' };
    case 'announcing':
      return { text: 'Announcing', say: '' };
    case 'duplicate':
      return same('These bytes were uploaded before.');
    case 'sending':
      return {
        text: `${item.resumed ? 'Going on with the upload' : 'Uploading'}, ${share} % (${size(item.done)} of ${size(item.file.size)})`,
        say: item.resumed ? 'Going on with the upload' : 'Uploading',
      };
    case 'arrived':
      return same('Uploaded. The session begins when all of its files are here; remove those it should do without.');
    case 'finalising':
      return same('Uploaded');
    // The steps show it, unless there is more to say.
    case 'processing':
      return { text: stepsSuffice(item) ? '' : progressWords(item), say: progressWords(item) };
    case 'ready':
      return same(`Ready${readyButPartial(item)}${readyFacts(item)}`);
    case 'cancelled':
      return same('Cancelled');
    case 'failed':
      return same(prose(item.failure));
    default:
      return same('');
  }
}

/** @param {UploadItem} item */
const stepsSuffice = ({ session }) => Boolean(session?.progress && session.progress.attempt < 2);

/** @param {UploadItem} item */
function progressWords(item) {
  const progress = item.session?.progress;
  if (!progress) return 'Waiting to be processed';
  const retry = progress.attempt > 1 ? `, attempt ${progress.attempt} of ${progress.maxAttempts}` : '';
  return `${stepWords(progress.job)}${retry}`;
}

/** @param {UploadItem} item */
const partOf = (item) =>
  item.session ? partial(item.session).find(({ uploadId }) => uploadId === item.uploadId) : null;

/** @param {UploadItem} item */
function readyButPartial(item) {
  const part = partOf(item);
  return part ? `, but the file is ${part.words}` : '';
}

/** @param {UploadItem} item */
function readyFacts(item) {
  const summary = item.session?.summary;
  if (!summary) return '';
  const facts = [counted(summary.points ?? 0, 'point', 'points'), distance(summary.distanceM)];
  if (summary.lapCount) facts.push(counted(summary.lapCount, 'lap', 'laps'));
  if (summary.bestLapMs) facts.push(`best ${lapTime(summary.bestLapMs)}`);
  return `: ${facts.filter(Boolean).join(', ')}`;
}

/** @param {UploadItem} item */
function stepper(item) {
  const at = STEPS.findIndex(([job]) => job === item.session?.progress?.job);
  return STEPS.map(([, words], k) =>
    h(
      'li',
      { class: k < at ? 'step-done' : k === at ? 'step-now' : '', 'aria-current': k === at ? 'step' : false },
      words,
    ),
  );
}

/** @param {Uploads} uploads @param {UploadItem} item */
function actions(uploads, item) {
  if (item.stage === 'duplicate' && item.duplicateOf) {
    return [
      h('a', { class: 'button primary', href: sessionLink(item.duplicateOf) }, 'Open the earlier session'),
      h('button', { type: 'button', onclick: () => uploads.sendAgain(item) }, 'Upload again anyway'),
    ];
  }
  if (item.mayGoOn)
    return [h('button', { type: 'button', class: 'primary', onclick: () => uploads.goOn(item) }, 'Try again')];
  if (item.sessionId && item.stage !== 'finalising') {
    const words = item.stage === 'ready' ? 'Open' : 'Details';
    return [
      h('a', { class: 'button', href: sessionLink(item.sessionId), 'aria-label': `${words} ${item.file.name}` }, words),
    ];
  }
  return [];
}

/**
 * Makes the whole page a place to drop files on.
 * @param {() => Uploads | null} uploads @param {() => void} dropped
 */
export function acceptDrops(uploads, dropped) {
  const veil = document.getElementById('drop-veil');
  let depth = 0;
  const has = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files') ?? false;
  const show = () => {
    if (veil) veil.hidden = depth === 0;
  };
  window.addEventListener('dragenter', (event) => {
    if (!has(event) || !uploads()) return;
    event.preventDefault();
    depth += 1;
    show();
  });
  window.addEventListener('dragleave', (event) => {
    if (!has(event) || !uploads()) return;
    depth = Math.max(0, depth - 1);
    show();
  });
  window.addEventListener('dragover', (event) => {
    if (has(event)) event.preventDefault();
  });
  window.addEventListener('drop', (event) => {
    if (!has(event)) return;
    event.preventDefault();
    depth = 0;
    show();
    const files = event.dataTransfer?.files;
    if (files?.length) {
      uploads()?.add(files);
      dropped();
    }
  });
}
