import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { parseKey, protostreamKey, showKey } from "../../topology/key-text.ts";
import { type VersionWay, versionsOf, type WayAtSite, waysOf } from "../operator/key-way.ts";
import type { SiteTrace, VersionName } from "../operator/trace-key.ts";
import { askSites, keyName, tellUnanswered, timeText, withSites } from "./ask-sites.ts";
import { textTable } from "../status/text-table.ts";
import type { Exit, Verb, VerbContext } from "./verb.ts";
import { bytesText } from "../status/bytes-text.ts";

/** `isthmus trace CACHE KEY`: one key's way. */
export const trace: Verb = {
  name: "trace",
  summary: "one key's way: written, logged, mirrored, applied or discarded at each site, and why",
  args: "CACHE KEY",
  json:
    '{cache, key, "versions": [{author, dot, version, log: {seq, storedAt}, sites: [{site, is, why, appliedBy}]}], "sites": ' +
    '[what each site knows], "unanswered": [{site, reason}]}',
  options: {},
  async run(context: VerbContext): Promise<Exit> {
    const [cache, text, ...more] = context.args;
    if (cache === undefined || text === undefined || more.length > 0)
      throw new IsthmusError(
        ErrorCode.UsageInvalid,
        "trace needs a cache, by its name in the file, and a key: as text, or as hex:... of its bytes",
      );
    const bytes = parseKey(text);
    return withSites(context, async (config, bus) => {
      const ask = (key: string, versions: readonly VersionName[]) =>
        askSites<SiteTrace>(config, bus, "trace", { cache, key, versions });
      let key = showKey(bytes);
      // Which versions there are shows only when all have answered: then each looks for all of them.
      let first = await ask(key, []);
      let versions = versionsOf(first.answers);
      if (versions.length === 0) {
        // A text is mostly the string of an application, which many caches keep as ProtoStream has it.
        const string = showKey(protostreamKey(text));
        const asString = await ask(string, []);
        if (versionsOf(asString.answers).length > 0) {
          [key, first, versions] = [string, asString, versionsOf(asString.answers)];
          context.stderr.write(`isthmus: the key is the ProtoStream string ${key}\n`);
        }
      }
      const { answers, unanswered } = versions.length === 0 ? first : await ask(key, versions);
      const sites = answers.toSorted((a, b) => (a.site < b.site ? -1 : 1));
      const ways = waysOf(sites);
      if (context.json) {
        const found = { cache, key, versions: ways, sites, unanswered };
        context.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
      } else context.stdout.write(traceText(cache, key, ways, sites));
      return tellUnanswered(unanswered, context);
    });
  },
};

/** A trace for people. */
export function traceText(
  cache: string,
  key: string,
  ways: readonly VersionWay[],
  sites: readonly SiteTrace[],
): string {
  const blocks = ways.map((way) => wayText(way));
  if (ways.length === 0) blocks.push(`no site that answered has a version of it\n`);
  return `${cache} ${keyName(key)}\n${blocks.join("")}${textTable(sites.map(siteCells))}`;
}

function wayText({ author, dot, version, log, sites }: VersionWay): string {
  const bytes = version?.bytes ?? null;
  const size = bytes === null ? "" : ` of ${bytesText(bytes)}`;
  const what = version === null ? "a version" : `${version.kind}${size}`;
  const at = version === null ? "" : `, written ${timeText(version.at)}`;
  const logged = log === null ? "" : `, logged ${timeText(log.storedAt)} as #${log.seq}`;
  const rows = sites.map((way) => ["   ", way.site, wayAtText(way)]);
  return `  ${author}'s ${what} (dot ${dot})${at}${logged}\n${textTable(rows)}`;
}

function wayAtText({ is, why, appliedBy }: WayAtSite): string {
  const when = appliedBy === null ? "" : `, applied by ${timeText(appliedBy)}`;
  return `${is}${why === null ? "" : ` (${why})`}${when}`;
}

function siteCells({ site, mode, state, presence, held, gap, deadLetters, conflict }: SiteTrace) {
  const notes = [
    ...(gap === null ? [] : [`gap: ${gap}`]),
    ...deadLetters.map(({ id }) => `dead letter ${id}`),
    ...(conflict === null ? [] : [`newest conflict ${conflict}`]),
  ];
  const has = presence === null ? "no row" : presence;
  const hash = held === null ? "" : `hash ${held}`;
  return [`  ${site}:`, `mode ${mode}`, state ?? "not handled", has, hash, notes.join(", ")];
}
