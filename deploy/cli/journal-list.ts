import type { Config } from "../../topology/config/config.ts";
import type { Bus } from "../../topology/ports.ts";
import type { JournalList } from "../operator/journal-lists.ts";
import { systemClock } from "../site/system.ts";
import { askSites, optionText, parseSince, tellUnanswered } from "./ask-sites.ts";
import { textTable } from "../status/text-table.ts";
import type { Exit, OptionSpec, VerbContext } from "./verb.ts";
import { bytesText } from "../status/bytes-text.ts";

/** Options of the verbs that list the sites' journals. */
export const journalOptions = {
  cache: { value: "NAME", summary: "only of this cache, by its name in the file" },
  since: { value: "T", summary: "only from then on: an age such as 1h, or 2026-11-21T12:00:00Z" },
} as const satisfies Readonly<Record<string, OptionSpec>>;

/** The question that these options make. @throws UsageInvalid */
function journalFilter(context: VerbContext): {
  cache: string | null;
  since: number | null;
} {
  const since = optionText(context, "since");
  return {
    cache: optionText(context, "cache") ?? null,
    since: since === undefined ? null : parseSince(since, systemClock.now()),
  };
}

/** What a verb lists of the journals, and how. */
export interface JournalListing<View> {
  /** Of the operator's channel. */
  readonly verb: string;
  /** The rows' name in the JSON, and for people. */
  readonly field: string;
  readonly what: string;
  readonly header: readonly string[];
  readonly cells: (view: View) => readonly string[];
}

/** Lists the rows of all sites' journals, newest first. @throws UsageInvalid, before the returned work is called */
export function listJournal<View extends { readonly foundAt: number }>(
  config: Config,
  context: VerbContext,
  { verb, field, what, header, cells }: JournalListing<View>,
): (bus: Bus) => Promise<Exit> {
  const filter = journalFilter(context);
  return async (bus) => {
    const asked = await askSites<JournalList<View>>(config, bus, verb, filter);
    const rows = asked.answers.flatMap((a) => a.rows).sort((a, b) => b.foundAt - a.foundAt);
    if (context.json) {
      const kept = asked.answers.map(({ site, kept: k, isCut }) => ({ site, ...k, isCut }));
      const found = { [field]: rows, kept, unanswered: asked.unanswered };
      context.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
    } else {
      if (rows.length > 0) context.stdout.write(textTable([header, ...rows.map(cells)]));
      for (const line of keptLines(asked.answers, what)) context.stdout.write(`${line}\n`);
    }
    return tellUnanswered(asked.unanswered, context);
  };
}

/** What each site's journal keeps, a line a site. */
function keptLines(answers: ReadonlyArray<JournalList<unknown>>, what: string): readonly string[] {
  return answers.map(({ site, kept, isCut, rows }) => {
    const { rows: count, rowsMax, bytes, bytesMax, dropped } = kept;
    const size = `${bytesText(bytes)} of ${bytesText(bytesMax)}`;
    const lost = dropped === 0 ? "none dropped" : `${dropped} dropped for newer ones`;
    const cut = isCut ? `; the newest ${rows.length} are shown, --cache and --since narrow it` : "";
    return `${site} keeps ${count} of ${rowsMax} ${what} (${size}), ${lost}${cut}`;
  });
}
