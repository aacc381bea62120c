import { CookieJar } from "./cookie-jar.ts";
import { htmlForms, htmlLinks, htmlText } from "./html-form.ts";
import type { HtmlForm } from "./html-form.ts";
import type { KeycloakSite } from "./keycloak-site.ts";

/** Keycloak leads on at most this often. */
const REDIRECTS_MAX = 8;

/** An answer as a person sees it; it is never followed by itself. */
export interface Page {
  readonly status: number;
  /** Where a redirect leads. */
  readonly location: URL | undefined;
  readonly forms: readonly HtmlForm[];
  /** Where its links lead, as they are written there. */
  readonly links: readonly string[];
  /** What there is to read. */
  readonly text: string;
}

/**
 * A person's browser, whose balancer is the test: each request says which site it comes to. Cookies go to every site, since
 * all go by one name.
 */
export class Browser {
  readonly cookies: CookieJar;

  constructor(cookies = new CookieJar()) {
    this.cookies = cookies;
  }

  /** Another tab, or another window, of the same person: the same cookies from here on, each with their own later. */
  split(): Browser {
    return new Browser(this.cookies.copy());
  }

  /** `url` is one of Keycloak's own, whichever site it names. */
  get(site: KeycloakSite, url: string | URL): Promise<Page> {
    return this.#send(site, url, { method: "GET" });
  }

  /** Sends a form with what was typed, over what the form holds. */
  submit(
    site: KeycloakSite,
    form: HtmlForm,
    typed: Readonly<Record<string, string>>,
  ): Promise<Page> {
    const body = new URLSearchParams({ ...form.fields, ...typed });
    return this.#send(site, form.action, { method: "POST", body });
  }

  /** Goes where a page leads, and on, as long as that is Keycloak; the page at which it ends. @throws Error for a circle */
  async follow(site: KeycloakSite, page: Page): Promise<Page> {
    let at = page;
    for (let i = 0; i < REDIRECTS_MAX; i++) {
      if (at.location === undefined || at.location.origin !== new URL(site.publicUrl).origin)
        return at;
      at = await this.get(site, at.location);
    }
    throw new Error(
      `${REDIRECTS_MAX} redirects at ${site.name}, the last to ${String(at.location)}`,
    );
  }

  async #send(site: KeycloakSite, url: string | URL, request: RequestInit): Promise<Page> {
    const target = site.at(url);
    const cookie = this.cookies.header(target.pathname);
    const headers = { Accept: "text/html", ...(cookie !== undefined && { Cookie: cookie }) };
    const response = await site.fetch(target, { ...request, headers, redirect: "manual" });
    this.cookies.take(response.headers);
    const html = await response.text();
    const location = response.headers.get("location");
    return {
      status: response.status,
      location: location === null ? undefined : new URL(location, site.publicUrl),
      forms: htmlForms(html),
      links: htmlLinks(html),
      text: htmlText(html),
    };
  }
}
