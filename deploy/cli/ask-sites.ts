import type { Config } from "../../topology/config/config.ts";
import { didYouMean } from "../../topology/config/suggest.ts";
import { DURATION_UNITS } from "../../topology/config/value-readers.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { parseKey, protostreamText } from "../../topology/key-text.ts";
import { CONTROL_TIMEOUT_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { Bus } from "../../topology/ports.ts";
import { askVerb } from "../../gateway/control/operator-channel.ts";
import { NatsBus } from "../../gateway/link/bus.ts";
import { connectAny } from "./connect-any.ts";
import { loadConfig } from "./load-config.ts";
import { Exit, type VerbContext } from "./verb.ts";

/** A site that did not answer, or not as it should. */
export interface Unanswered {
  readonly site: SiteName;
  readonly reason: string;
}

/** What all sites answered to one question, in the file's order. */
export interface Answers<T> {
  readonly answers: readonly T[];
  readonly unanswered: readonly Unanswered[];
}

/**
 * Runs a verb over a connection to the NATS of `--site`, or of the first site that can be reached. `prepare` judges the command
 * line beside the file before anything is connected.
 */
export async function prepareSites(
  context: VerbContext,
  prepare: (config: Config) => (bus: Bus) => Promise<Exit>,
): Promise<Exit> {
  const config = await loadConfig(context);
  const work = prepare(config);
  const link = await connectAny(config, context);
  try {
    return await work(new NatsBus(link));
  } finally {
    await link.close();
  }
}

/** As {@link prepareSites}, for a verb whose command line needs no look at the file. */
export const withSites = (
  context: VerbContext,
  work: (config: Config, bus: Bus) => Promise<Exit>,
): Promise<Exit> => prepareSites(context, (config) => (bus) => work(config, bus));

/** Asks every site of the file the same question. */
export async function askSites<T>(
  config: Config,
  bus: Bus,
  verb: string,
  question: object,
): Promise<Answers<T>> {
  const asked = await Promise.all(
    config.sites.map(async ({ name: site }): Promise<{ answer: T } | Unanswered> => {
      try {
        return { answer: (await askVerb(bus, site, verb, question, CONTROL_TIMEOUT_MS)) as T };
      } catch (error) {
        if (!(error instanceof IsthmusError)) throw error;
        return { site, reason: `${error.code} ${error.message}` };
      }
    }),
  );
  return {
    answers: asked.flatMap((found) => ("answer" in found ? [found.answer] : [])),
    unanswered: asked.flatMap((found) => ("answer" in found ? [] : [found])),
  };
}

/** Tells on stderr who did not answer, and what the verb ends with for that. */
export function tellUnanswered(unanswered: readonly Unanswered[], context: VerbContext): Exit {
  for (const { site, reason } of unanswered)
    context.stderr.write(`isthmus: ${site} did not answer: ${reason}\n`);
  return unanswered.length === 0 ? Exit.Fine : Exit.Unreachable;
}

/** A row of a site's journal, as `SITE:NUMBER` on the command line. @throws UsageInvalid */
export function parseRowId(config: Config, text: string): { site: SiteName; id: number } {
  const [, site, digits] = /^(.+):(\d{1,15})$/.exec(text) ?? [];
  const names = config.sites.map(({ name }) => name);
  if (site === undefined || digits === undefined)
    throw new IsthmusError(
      ErrorCode.UsageInvalid,
      `expected an ID such as ${names[0] ?? "nyc"}:12, got ${JSON.stringify(text)}`,
    );
  if (names.includes(site)) return { site, id: Number(digits) };
  throw new IsthmusError(
    ErrorCode.UsageInvalid,
    `the file has no site ${JSON.stringify(site)}${didYouMean(site, names) || `; sites: ${names.join(", ")}`}`,
  );
}

/** A time on the command line, as ms since the epoch: `1h` is an hour before `now`, else as ISO 8601 has it. @throws UsageInvalid */
export function parseSince(text: string, now: number): number {
  const units: Readonly<Record<string, number>> = DURATION_UNITS;
  const [, digits, unit = ""] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  if (digits !== undefined) return now - Number(digits) * (units[unit] ?? 1);
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isFinite(time)) return time;
  throw new IsthmusError(
    ErrorCode.UsageInvalid,
    `--since: expected an age such as 1h, or a time such as 2026-11-21T12:00:00Z, got ${JSON.stringify(text)}`,
  );
}

/** The text of an option, undefined when it was not given. */
export function optionText({ options }: VerbContext, name: string): string | undefined {
  const value = options[name];
  return typeof value === "string" ? value : undefined;
}

/** A key of an answer as people know it: its text where it is a string. */
export const keyName = (key: string): string => protostreamText(parseKey(key)) ?? key;

/** ms since the epoch as people read it, in UTC. */
export const timeText = (ms: number): string => new Date(ms).toISOString().replace("T", " ");
