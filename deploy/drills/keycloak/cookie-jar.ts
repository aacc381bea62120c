interface Cookie {
  readonly value: string;
  readonly path: string;
  /** ms since the epoch; undefined: when the browser is closed. */
  readonly expiresAt: number | undefined;
}

/**
 * The cookies of one host, all of its ports: browsers do not tell ports apart. What `Secure` forbids over HTTP is sent all the
 * same, as browsers do to the machine that they run on.
 */
export class CookieJar {
  readonly #cookies = new Map<string, Cookie>();

  /** Takes an answer's `Set-Cookie` headers. */
  take(headers: Headers): void {
    for (const line of headers.getSetCookie()) this.#takeOne(line);
  }

  /** The header `Cookie` for a path; undefined: there is none to send. */
  header(path: string): string | undefined {
    const pairs: string[] = [];
    for (const [name, { value, path: at, expiresAt }] of this.#cookies)
      if (isBelow(path, at) && (expiresAt === undefined || expiresAt > Date.now()))
        pairs.push(`${name}=${value}`);
    return pairs.length === 0 ? undefined : pairs.join("; ");
  }

  /** A cookie's value. */
  value(name: string): string | undefined {
    return this.#cookies.get(name)?.value;
  }

  /** Another jar with the same cookies, for what goes on beside this one. */
  copy(): CookieJar {
    const jar = new CookieJar();
    for (const [name, cookie] of this.#cookies) jar.#cookies.set(name, cookie);
    return jar;
  }

  #takeOne(line: string): void {
    const [pair = "", ...attributes] = line.split(";").map((part) => part.trim());
    const [name, value] = halves(pair);
    const said = new Map(
      attributes.map((attribute) => {
        const [key, text] = halves(attribute);
        return [key.toLowerCase(), text] as const;
      }),
    );
    const maxAge = said.get("max-age");
    const expires = said.get("expires");
    let expiresAt: number | undefined;
    if (maxAge !== undefined) expiresAt = Date.now() + Number(maxAge) * 1_000;
    else if (expires !== undefined) expiresAt = Date.parse(expires);
    if (value === "" || (expiresAt !== undefined && expiresAt <= Date.now()))
      this.#cookies.delete(name);
    else this.#cookies.set(name, { value, path: said.get("path") ?? "/", expiresAt });
  }
}

function halves(text: string): [string, string] {
  const at = text.indexOf("=");
  return at === -1 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

const isBelow = (path: string, folder: string): boolean =>
  path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);
