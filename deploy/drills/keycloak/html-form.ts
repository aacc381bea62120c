/** A form of a page, as it would be sent if nobody typed anything. */
export interface HtmlForm {
  readonly id: string | undefined;
  readonly action: string;
  /** By name: hidden fields and whatever else has a value. */
  readonly fields: Readonly<Record<string, string>>;
  /** The names of all fields, those without a value too. */
  readonly names: readonly string[];
}

/** The forms of a page, in its order. Understands what Keycloak's templates write, not all of HTML. */
export function htmlForms(html: string): HtmlForm[] {
  return [...withoutCode(html).matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(
    ([, opening = "", body = ""]) => {
      const fields: Record<string, string> = {};
      const names: string[] = [];
      for (const [, input = ""] of body.matchAll(/<(?:input|button)\b([^>]*)>/gi)) {
        const { name, value, type } = attributesOf(input);
        if (name === undefined) continue;
        names.push(name);
        // A box that is not ticked is not sent.
        if (value !== undefined && type !== "checkbox") fields[name] = value;
      }
      const { id, action = "" } = attributesOf(opening);
      return { id, action, fields, names };
    },
  );
}

/** Where the links of a page lead, in its order, as they are written there. */
export function htmlLinks(html: string): string[] {
  return [...withoutCode(html).matchAll(/<a\b([^>]*)>/gi)].flatMap(
    ([, opening = ""]) => attributesOf(opening)["href"] ?? [],
  );
}

const withoutCode = (html: string): string =>
  html.replace(/<(script|style)\b[\s\S]*?<\/\1>/gi, " ");

/** A page's text, without what is for machines. */
export function htmlText(html: string): string {
  return unescape(withoutCode(html).replace(/<[^>]*>/g, " "))
    .replace(/\s+/g, " ")
    .trim();
}

function attributesOf(tag: string): Partial<Record<string, string>> {
  const found: Partial<Record<string, string>> = {};
  for (const [, name = "", double, single] of tag.matchAll(
    /([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g,
  ))
    found[name.toLowerCase()] = unescape(double ?? single ?? "");
  return found;
}

const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: " ",
};

const unescape = (text: string): string =>
  text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) => {
    if (hex !== undefined) return String.fromCodePoint(Number.parseInt(String(hex), 16));
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    return ENTITIES[String(name)] ?? whole;
  });
