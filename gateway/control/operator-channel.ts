import { gunzipSync, gzipSync } from "node:zlib";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { CONTROL_ANSWER_BYTES_MAX, CONTROL_QUESTION_BYTES_MAX } from "../../topology/limits.ts";
import { controlSubject, type SiteName } from "../../topology/names.ts";
import type { Bus } from "../../topology/ports.ts";

/** What travels: anything that JSON keeps as it is. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [k: string]: Json };

/**
 * Answers one operator verb of this site on `isthmus.ctl.SITE.VERB`: JSON in, gzipped JSON out, so that a command at any site
 * reaches every site. What `answer` throws travels back by its code and message. The returned function ends it.
 */
export function serveVerb(
  bus: Bus,
  site: SiteName,
  verb: string,
  answer: (question: Json) => Promise<object>,
): () => void {
  return bus.serve(controlSubject(site, verb), async (payload) => {
    const found = await answer(questionOf(payload));
    return gzipSync(Buffer.from(JSON.stringify(found)));
  });
}

/**
 * Asks one verb of one site.
 *
 * @throws PeerUnreachable (no active process there, or no link), the site's own error, PeerMessageInvalid,
 *   NatsUnreachable
 */
export async function askVerb(
  bus: Bus,
  site: SiteName,
  verb: string,
  question: object,
  timeoutMs: number,
): Promise<unknown> {
  const payload = Buffer.from(JSON.stringify(question));
  const answer = await request(bus, site, verb, payload, timeoutMs);
  try {
    const text = gunzipSync(answer, { maxOutputLength: CONTROL_ANSWER_BYTES_MAX }).toString("utf8");
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw unreadable(`the answer of ${site} to ${verb} cannot be read`, cause);
  }
}

async function request(
  bus: Bus,
  site: SiteName,
  verb: string,
  payload: Uint8Array,
  timeoutMs: number,
): Promise<Uint8Array> {
  try {
    return await bus.request(controlSubject(site, verb), payload, timeoutMs);
  } catch (error) {
    throw error instanceof IsthmusError ? fromSite(error, site) : error;
  }
}

const CODES: ReadonlySet<string> = new Set(Object.values(ErrorCode));

/** The error that a site answered with, as it was thrown there; or that nobody answered. */
function fromSite(error: IsthmusError, site: SiteName): IsthmusError {
  if (error.code === ErrorCode.PeerUnreachable) {
    const why = "no active process runs there, or the link between the sites' NATS servers is down";
    return new IsthmusError(error.code, `${site}: ${why}`, { cause: error });
  }
  const [, code = "", text = ""] = /^\S+ answered (IS\d{4}): (.*)$/.exec(error.message) ?? [];
  if (error.code !== ErrorCode.PeerRefused || !CODES.has(code)) return error;
  return new IsthmusError(code as ErrorCode, `${site} answered: ${text}`, { cause: error });
}

function questionOf(payload: Uint8Array): Json {
  if (payload.length > CONTROL_QUESTION_BYTES_MAX) {
    const most = `${CONTROL_QUESTION_BYTES_MAX} bytes at most`;
    throw unreadable(`a question has ${payload.length} bytes, expected ${most}`, undefined);
  }
  try {
    return JSON.parse(Buffer.from(payload).toString("utf8")) as Json;
  } catch (cause) {
    throw unreadable("a question is no JSON", cause);
  }
}

const unreadable = (what: string, cause: unknown): IsthmusError =>
  new IsthmusError(ErrorCode.PeerMessageInvalid, what, {
    hint: "Run the same version of Isthmus at every site.",
    cause,
  });

/** Reads the fields of a verb's question; whatever does not fit is refused by name. */
export class Question {
  readonly #fields: { readonly [k: string]: Json };

  constructor(question: Json) {
    const isFields = typeof question === "object" && question !== null && !Array.isArray(question);
    if (!isFields) throw unreadable("a question is to be an object", undefined);
    this.#fields = question as { readonly [k: string]: Json };
  }

  text(name: string): string {
    return this.textOrNull(name) ?? this.#refuse(name, "a text");
  }

  /** null and a missing field are undefined. */
  textOrNull(name: string): string | undefined {
    const value = this.#fields[name] ?? null;
    if (value === null) return undefined;
    return typeof value === "string" ? value : this.#refuse(name, "a text");
  }

  whole(name: string): number {
    return this.wholeOrNull(name) ?? this.#refuse(name, "a whole number");
  }

  wholeOrNull(name: string): number | undefined {
    const value = this.#fields[name] ?? null;
    if (value === null) return undefined;
    return Number.isSafeInteger(value) ? (value as number) : this.#refuse(name, "a whole number");
  }

  flag(name: string): boolean {
    const value = this.#fields[name];
    return typeof value === "boolean" ? value : this.#refuse(name, "true or false");
  }

  /** A missing field is false. */
  flagOrFalse(name: string): boolean {
    return this.#fields[name] === undefined ? false : this.flag(name);
  }

  list(name: string): readonly Json[] {
    const value = this.#fields[name];
    return Array.isArray(value) ? value : this.#refuse(name, "a list");
  }

  #refuse(name: string, expected: string): never {
    throw unreadable(`a question's ${name} is to be ${expected}`, undefined);
  }
}
