// @ts-check
/** Who the viewer is: a token of config.json, a sign-in at the OIDC issuer, or a token that is pasted.
 *  Tokens live in memory and in this tab's session storage, nowhere else. */

/** Only for who signs in at an issuer. */
const library = () => import('./vendor/oauth4webapi/build/index.js');

const KEY = 'telemetry.access';
const PENDING = 'telemetry.sign-in';
const EARLY_MS = 30000;

/**
 * @typedef {import('./config.js').Config} Config
 * @typedef {{accessToken: string, expiresAt: number, refreshToken?: string}} Tokens
 */

export class SignIn extends EventTarget {
  /** @param {Config} config */
  constructor(config) {
    super();
    this.config = config;
    /** Why the viewer must sign in again; empty at first. */
    this.trouble = '';
    /** @type {Promise<boolean> | null} */
    this.refreshing = null;
    /** @type {Tokens | null} */
    this.tokens = config.token ? { accessToken: config.token, expiresAt: Infinity } : kept();
  }

  /** `given` needs no action of the viewer, `oidc` a sign-in, `paste` a token. */
  get way() {
    return this.config.token ? 'given' : this.config.signIn ? 'oidc' : 'paste';
  }

  get signedIn() {
    return this.tokens !== null;
  }

  /** @returns {Promise<string>} */
  async token() {
    if (this.tokens && this.tokens.expiresAt < Date.now() + EARLY_MS) await this.refresh();
    return this.tokens?.accessToken ?? '';
  }

  /** The service refused the token for good. */
  lost() {
    if (this.way !== 'given' && this.signedIn)
      this.signOut('The service does not accept this sign-in, or it is over. Sign in again.');
  }

  signOut(trouble = '') {
    this.trouble = trouble;
    this.tokens = null;
    sessionStorage.removeItem(KEY);
    this.dispatchEvent(new Event('change'));
  }

  /** @param {string} token */
  paste(token) {
    this.#keep({ accessToken: token.trim().replace(/^bearer\s+/i, ''), expiresAt: Infinity });
  }

  /** Leaves the page for the issuer. */
  async begin() {
    const { oauth, server, client, settings } = await this.#issuer();
    const verifier = oauth.generateRandomCodeVerifier();
    const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
    sessionStorage.setItem(PENDING, JSON.stringify({ verifier, state, nonce, hash: location.hash }));
    const address = new URL(server.authorization_endpoint ?? '');
    const parameters = {
      client_id: client.client_id,
      redirect_uri: redirectUri(),
      response_type: 'code',
      scope: settings.scope ?? 'openid telemetry',
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
      ...(settings.audience ? { audience: settings.audience } : {}),
    };
    for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value);
    location.assign(address);
  }

  /** Takes the issuer's answer out of the address, when the viewer comes back with one. */
  async complete() {
    const address = new URL(location.href);
    const pending = sessionStorage.getItem(PENDING);
    if (!pending || !(address.searchParams.has('code') || address.searchParams.has('error'))) return;
    sessionStorage.removeItem(PENDING);
    const { verifier, state, nonce, hash } = JSON.parse(pending);
    history.replaceState(null, '', redirectUri() + hash);
    const { oauth, server, client, options } = await this.#issuer();
    const parameters = oauth.validateAuthResponse(server, client, address, state);
    const answer = await oauth.authorizationCodeGrantRequest(
      server,
      client,
      oauth.None(),
      parameters,
      redirectUri(),
      verifier,
      options,
    );
    const found = await oauth.processAuthorizationCodeResponse(server, client, answer, { expectedNonce: nonce });
    this.#keep(tokensOf(found));
  }

  /**
   * Calls at the same time share one refresh: a refresh token may be good for one only.
   * @returns {Promise<boolean>} whether there is a new token
   */
  refresh() {
    this.refreshing ??= this.#refresh().finally(() => {
      this.refreshing = null;
    });
    return this.refreshing;
  }

  async #refresh() {
    const refreshToken = this.tokens?.refreshToken;
    if (!refreshToken) return false;
    try {
      const { oauth, server, client, options } = await this.#issuer();
      const answer = await oauth.refreshTokenGrantRequest(server, client, oauth.None(), refreshToken, options);
      this.#keep({ refreshToken, ...tokensOf(await oauth.processRefreshTokenResponse(server, client, answer)) });
      return true;
    } catch {
      return false;
    }
  }

  async #issuer() {
    const settings = this.config.signIn;
    if (!settings) throw new Error('config.json names no issuer.');
    const oauth = await library();
    const issuer = new URL(settings.issuer);
    // Plain HTTP is for an issuer on this machine.
    const options = { [oauth.allowInsecureRequests]: ['localhost', '127.0.0.1', '[::1]'].includes(issuer.hostname) };
    const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
    return { oauth, server, client: { client_id: settings.clientId }, settings, options };
  }

  /** @param {Tokens} tokens */
  #keep(tokens) {
    const first = !this.signedIn;
    this.trouble = '';
    this.tokens = tokens;
    sessionStorage.setItem(
      KEY,
      JSON.stringify({ ...tokens, expiresAt: Math.min(tokens.expiresAt, Number.MAX_SAFE_INTEGER) }),
    );
    // A fresh token changes nothing that is to be seen.
    if (first) this.dispatchEvent(new Event('change'));
  }
}

const redirectUri = () => location.origin + location.pathname;

/** @param {any} found @returns {Tokens} */
function tokensOf(found) {
  return {
    accessToken: found.access_token,
    expiresAt: found.expires_in ? Date.now() + found.expires_in * 1000 : Infinity,
    ...(found.refresh_token ? { refreshToken: found.refresh_token } : {}),
  };
}

/** @returns {Tokens | null} */
function kept() {
  const text = sessionStorage.getItem(KEY);
  return text ? JSON.parse(text) : null;
}
