// @ts-check
/** Hash routes, so that links, reload and the back button work. Touches only the address. */

/** @typedef {{name: 'home', query: URLSearchParams} | {name: 'session', id: string, query: URLSearchParams}} Route */

/** @param {string} [hash] @returns {Route} */
export function route(hash = location.hash) {
  const [path, query = ''] = hash.replace(/^#/, '').split('?');
  const session = /^\/sessions\/([0-9a-f-]{36})$/i.exec(path);
  if (session) return { name: 'session', id: session[1], query: new URLSearchParams(query) };
  return { name: 'home', query: new URLSearchParams(query) };
}

/** @param {string} id */
export const sessionLink = (id) => `#/sessions/${id}`;

/** @param {Record<string, string | null | undefined>} query */
export function homeLink(query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const text = new URLSearchParams(/** @type {[string, string][]} */ (given)).toString();
  return text ? `#/?${text}` : '#/';
}
