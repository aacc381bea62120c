import { SiteCache } from "./site-cache.ts";

/** Keycloak answers within this, ms, or not at all: above its own time-out for a remote cache. */
const ANSWER_MS_MAX = 20_000;

/** A token of the administrator is taken for so long, ms: it is good for 60 s. */
const ADMIN_TOKEN_MS = 40_000;

/** Where a site's Keycloak is, and who may do everything there. */
export interface KeycloakAddress {
  readonly name: string;
  /** Its own address, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** The address that it gives itself: the balancer's, the same at all sites. */
  readonly publicUrl: string;
  /** Where Infinispan of the same site speaks Hot Rod, on 127.0.0.1. */
  readonly cachePort: number;
  readonly admin: { readonly username: string; readonly password: string };
}

/** What an endpoint for programs answered. */
export interface Answer<T = unknown> {
  readonly status: number;
  /** undefined: there was none, or it is no JSON. */
  readonly json: T | undefined;
  readonly text: string;
}

/** The tokens of a login, or why there are none. */
export interface Tokens {
  readonly access_token?: string;
  readonly refresh_token?: string;
  readonly id_token?: string;
  readonly session_state?: string;
  readonly error?: string;
  readonly error_description?: string;
}

/** One site's Keycloak: its endpoints for programs, and its administration. */
export class KeycloakSite {
  readonly name: string;
  readonly publicUrl: string;
  /** The Infinispan of the same site. */
  readonly cache: SiteCache;
  readonly #address: KeycloakAddress;
  #admin: { readonly token: string; readonly until: number } | undefined;

  constructor(address: KeycloakAddress) {
    this.name = address.name;
    this.publicUrl = address.publicUrl;
    this.cache = new SiteCache(address.cachePort);
    this.#address = address;
  }

  /** A URL that Keycloak gave, or a path, brought to this site: what a balancer does. */
  at(url: string | URL): URL {
    const { pathname, search } = new URL(url, this.publicUrl);
    return new URL(`${pathname}${search}`, this.#address.url);
  }

  /** Nothing is followed or kept; a site that does not answer ends with an error. */
  fetch(url: URL, request: RequestInit): Promise<Response> {
    return fetch(url, { signal: AbortSignal.timeout(ANSWER_MS_MAX), ...request });
  }

  /** Whether a balancer may send clients here; its answer's status. */
  async lbCheck(): Promise<number> {
    const response = await this.fetch(this.at("/lb-check"), {});
    await response.text();
    return response.status;
  }

  /** A realm's endpoint of OpenID Connect, such as `token`. */
  post(
    realm: string,
    endpoint: "token" | "logout" | "revoke" | "token/introspect",
    form: Readonly<Record<string, string>>,
  ): Promise<Answer<Tokens>> {
    const body = new URLSearchParams(form);
    return this.#ask(`/realms/${realm}/protocol/openid-connect/${endpoint}`, {
      method: "POST",
      body,
    });
  }

  /** What the realm says of the bearer of a token. */
  userInfo(realm: string, accessToken: string): Promise<Answer<{ readonly sub?: string }>> {
    const headers = { Authorization: `Bearer ${accessToken}` };
    return this.#ask(`/realms/${realm}/protocol/openid-connect/userinfo`, { headers });
  }

  /** A call of the administration, below `/admin/realms`; an empty path is that of all realms. @throws Error when it is refused */
  async admin<T = unknown>(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    body?: object,
  ): Promise<T> {
    let answer = await this.#administer<T>(method, path, body);
    // A token's session may have gone with a cache that was lost.
    if (answer.status === 401 && this.#admin !== undefined) {
      this.#admin = undefined;
      answer = await this.#administer<T>(method, path, body);
    }
    if (answer.status < 300) return answer.json as T;
    throw new Error(`${this.name}: ${method} ${path}: ${answer.status} ${answer.text}`);
  }

  async #administer<T>(method: string, path: string, body: object | undefined): Promise<Answer<T>> {
    const headers = {
      Authorization: `Bearer ${await this.#adminToken()}`,
      ...(body !== undefined && { "Content-Type": "application/json" }),
    };
    const request = { method, headers, ...(body && { body: JSON.stringify(body) }) };
    return this.#ask<T>(`/admin/realms${path === "" ? "" : `/${path}`}`, request);
  }

  async #adminToken(): Promise<string> {
    if (this.#admin !== undefined && this.#admin.until > Date.now()) return this.#admin.token;
    const { admin } = this.#address;
    const login = { grant_type: "password", client_id: "admin-cli", ...admin };
    const { json, text } = await this.post("master", "token", login);
    if (json?.access_token === undefined) throw new Error(`${this.name}: no admin token: ${text}`);
    this.#admin = { token: json.access_token, until: Date.now() + ADMIN_TOKEN_MS };
    return json.access_token;
  }

  async #ask<T>(path: string, request: RequestInit): Promise<Answer<T>> {
    const response = await this.fetch(this.at(path), { ...request, redirect: "manual" });
    const text = await response.text();
    let json: T | undefined;
    try {
      json = JSON.parse(text) as T;
    } catch {
      // A page, or nothing: the text says so.
    }
    return { status: response.status, json, text };
  }
}
