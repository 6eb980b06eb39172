// @ts-check
/** Where the API is and how to sign in: config.json beside the page. Reads that one file. */

/**
 * @typedef {{issuer: string, clientId: string, scope?: string, audience?: string}} SignIn
 * @typedef {{url: string, attribution?: string, maxZoom?: number}} Tiles
 * @typedef {{api: string, token?: string, signIn?: SignIn, tiles?: Tiles}} Config
 */

/** @returns {Promise<Config>} with an absolute address of the API, without a slash at its end */
export async function loadConfig() {
  const answer = await fetch('config.json', { cache: 'no-store' });
  if (!answer.ok) throw new Error(`config.json answers ${answer.status}.`);
  const config = await answer.json();
  return { ...config, api: new URL(config.api, document.baseURI).href.replace(/\/+$/, '') };
}
