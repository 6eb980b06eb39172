// @ts-check
/** Builds elements, and speaks to screen readers. Holds no state of the product. */

const SVG = 'http://www.w3.org/2000/svg';

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element. Properties whose names begin with `on` are listeners, `class` and `aria-*` attributes are taken as they
 * are written in HTML; true writes an empty attribute, false and null none.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value' || name === 'checked' || name === 'disabled' || name === 'hidden') {
      /** @type {any} */ (element)[name] = value;
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  element.append(...nodes(children.flat()));
  return element;
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function nodes(children) {
  return children
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/**
 * Gives an element other children.
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children.flat()));
}

/**
 * Writes text only when it changes, so that a screen reader does not repeat it.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const ICONS = {
  upload: 'M12 16V5m0 0L7.5 9.500M12 5l4.5 4.500M5 15v3a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-3',
  download: 'M12 5v11m0 0 4.5-4.500M12 16l-4.5-4.500M5 19h14',
  plus: 'M12 6v12M6 12h12',
  minus: 'M6 12h12',
  fit: 'M5 9V5h4M15 5h4v4M19 15v4h-4M9 19H5v-4',
  close: 'M7 7l10 10M17 7L7 17',
  left: 'M14.5 6L8.5 12l6 6',
  right: 'M9.5 6l6 6-6 6',
  good: 'M5.5 12.500l4 4 9-9.5',
  notice: 'M12 4v9.500m0 6v.1',
  wrong: 'M7 7l10 10M17 7L7 17',
};

/**
 * A line icon, hidden from screen readers: the button that holds it has the words.
 * @param {keyof typeof ICONS} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * A button that is only an icon; its name is read and shown as a hint.
 * @param {keyof typeof ICONS} name
 * @param {string} label
 * @param {(event: MouseEvent) => void} onclick
 */
export function iconButton(name, label, onclick) {
  return h('button', { type: 'button', class: 'icon-button', 'aria-label': label, title: label, onclick }, icon(name));
}

/**
 * Says something to screen readers.
 * @param {string} text
 */
export function announce(text) {
  const place = document.getElementById('announcer');
  if (place) place.append(h('p', {}, text));
  while (place && place.childElementCount > 3) place.firstElementChild?.remove();
}

/** @typedef {{title: string, text?: Child[], content?: HTMLElement, confirm: string, danger?: boolean}} Question */

/**
 * Asks in a modal dialog. Gives true when it was confirmed.
 * @param {Question} question
 * @returns {Promise<boolean>}
 */
export function ask(question) {
  const form = h(
    'form',
    { method: 'dialog' },
    h('h2', { id: 'dialog-title' }, question.title),
    question.text && h('p', {}, ...question.text),
    question.content,
    h(
      'div',
      { class: 'dialog-buttons' },
      h('button', { type: 'submit', value: 'no', formnovalidate: true }, 'Cancel'),
      h('button', { type: 'submit', value: 'yes', class: question.danger ? 'danger' : 'primary' }, question.confirm),
    ),
  );
  const dialog = h('dialog', { 'aria-labelledby': 'dialog-title' }, form);
  document.body.append(dialog);
  // Enter in a field means the confirming button, which is not the first in order.
  form.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.target instanceof HTMLInputElement)) return;
    event.preventDefault();
    if (form.reportValidity()) dialog.close('yes');
  });
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    dialog.showModal();
  });
}

/**
 * Lets the browser save an address under a name.
 * @param {string} url
 * @param {string} [fileName]
 */
export function save(url, fileName = '') {
  const link = h('a', { href: url, download: fileName });
  document.body.append(link);
  link.click();
  link.remove();
}
