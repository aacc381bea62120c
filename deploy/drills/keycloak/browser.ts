import { CookieJar } from "./cookie-jar.ts";
import { htmlForms, htmlText } from "./html-form.ts";
import type { HtmlForm } from "./html-form.ts";
import type { KeycloakSite } from "./keycloak-site.ts";

/** An answer as a person sees it; it is never followed by itself. */
export interface Page {
  readonly status: number;
  /** Where a redirect leads. */
  readonly location: URL | undefined;
  readonly forms: readonly HtmlForm[];
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
      text: htmlText(html),
    };
  }
}
