import { randomBytes } from "node:crypto";
import { Browser } from "./browser.ts";
import type { Page } from "./browser.ts";
import type { Answer, KeycloakSite, Tokens } from "./keycloak-site.ts";

/** Where Keycloak sends people back to; nobody listens there, and nobody goes. */
export const REDIRECT = "http://app.example/back";

/** Who logs in to what. */
export interface Login {
  readonly realm: string;
  readonly client: string;
  readonly username: string;
  readonly password: string;
  /** `openid` by default. */
  readonly scope?: string;
}

/** The steps of logging in, each at the site that the caller names. */
export class LoginFlow {
  readonly browser: Browser;
  readonly login: Login;

  constructor(login: Login, browser = new Browser()) {
    this.login = login;
    this.browser = browser;
  }

  /** Another flow of the same person in the same browser. */
  for(client: string): LoginFlow {
    return new LoginFlow({ ...this.login, client }, this.browser);
  }

  /** Where a code is asked for, at the public address. */
  startUrl({ publicUrl }: KeycloakSite): URL {
    const { realm, client, scope = "openid" } = this.login;
    const query = new URLSearchParams({
      client_id: client,
      redirect_uri: REDIRECT,
      response_type: "code",
      scope,
      state: randomBytes(8).toString("hex"),
    });
    return new URL(`/realms/${realm}/protocol/openid-connect/auth?${query.toString()}`, publicUrl);
  }

  /** Asks for a code: the page is the login form, or for one who is known a redirect with the code. */
  open(site: KeycloakSite): Promise<Page> {
    return this.browser.get(site, this.startUrl(site));
  }

  /** Sends the login form of a page. @throws Error for a page without one */
  submit(site: KeycloakSite, page: Page, password = this.login.password): Promise<Page> {
    const form = page.forms.find(({ names }) => names.includes("password"));
    if (form === undefined)
      throw new Error(`no login form at ${site.name}: ${page.status} ${page.text}`);
    return this.browser.submit(site, form, { username: this.login.username, password });
  }

  /** Trades a code for tokens. */
  exchange(site: KeycloakSite, code: string): Promise<Answer<Tokens>> {
    const { realm, client } = this.login;
    const grant = { grant_type: "authorization_code", code, redirect_uri: REDIRECT };
    return site.post(realm, "token", { ...grant, client_id: client });
  }

  /** All three steps at one site. @throws Error when one of them fails */
  async enter(site: KeycloakSite): Promise<Tokens> {
    const page = await this.submit(site, await this.open(site));
    return tokensOf(await this.exchange(site, codeOf(page)));
  }

  /** Tokens for the password itself, without a browser. */
  grant(site: KeycloakSite): Promise<Answer<Tokens>> {
    const { realm, client, username, password, scope = "openid" } = this.login;
    const grant = { grant_type: "password", username, password, scope };
    return site.post(realm, "token", { ...grant, client_id: client });
  }

  refresh(site: KeycloakSite, { refresh_token: token = "" }: Tokens): Promise<Answer<Tokens>> {
    const grant = { grant_type: "refresh_token", refresh_token: token };
    return site.post(this.login.realm, "token", { ...grant, client_id: this.login.client });
  }

  /** Ends the session, as an application's server does. */
  logout(site: KeycloakSite, { refresh_token: token = "" }: Tokens): Promise<Answer> {
    const { realm, client } = this.login;
    return site.post(realm, "logout", { client_id: client, refresh_token: token });
  }

  /** Where a person goes to end the session, at the public address. */
  leaveUrl({ publicUrl }: KeycloakSite, { id_token: token = "" }: Tokens): URL {
    const query = new URLSearchParams({ id_token_hint: token, post_logout_redirect_uri: REDIRECT });
    const { realm } = this.login;
    const path = `/realms/${realm}/protocol/openid-connect/logout?${query.toString()}`;
    return new URL(path, publicUrl);
  }

  /** Ends the session, as a person does: by the browser. */
  leave(site: KeycloakSite, tokens: Tokens): Promise<Page> {
    return this.browser.get(site, this.leaveUrl(site, tokens));
  }
}

/** The code that a page leads back with; undefined: it leads elsewhere, or is a form. */
export function codeIn({ location }: Page): string | undefined {
  if (location === undefined || !location.href.startsWith(REDIRECT)) return undefined;
  return location.searchParams.get("code") ?? undefined;
}

/** See {@link codeIn}. @throws Error that says what came instead */
export function codeOf(page: Page): string {
  const code = codeIn(page);
  if (code !== undefined) return code;
  throw new Error(`no code: ${page.status} ${page.location?.href ?? page.text}`);
}

/** @throws Error when there are none */
export function tokensOf({ status, json, text }: Answer<Tokens>): Tokens {
  if (status === 200 && json?.access_token !== undefined) return json;
  throw new Error(`no tokens: ${status} ${text}`);
}
