import type { JournalList } from "../operator/journal-lists.ts";
import { systemClock } from "../site/system.ts";
import { bytesText, optionText, parseSince } from "./ask-sites.ts";
import type { OptionSpec, VerbContext } from "./verb.ts";

/** Options of the verbs that list the sites' journals. */
export const journalOptions = {
  cache: { value: "NAME", summary: "only of this cache, by its name in the file" },
  since: { value: "T", summary: "only from then on: an age such as 1h, or 2026-11-21T12:00:00Z" },
} as const satisfies Readonly<Record<string, OptionSpec>>;

/** The question that these options make. @throws UsageInvalid */
export function journalFilter(context: VerbContext): {
  cache: string | null;
  since: number | null;
} {
  const since = optionText(context, "since");
  return {
    cache: optionText(context, "cache") ?? null,
    since: since === undefined ? null : parseSince(since, systemClock.now()),
  };
}

/** What each site's journal keeps, a line a site. */
export function keptLines(
  answers: ReadonlyArray<JournalList<unknown>>,
  what: string,
): readonly string[] {
  return answers.map(({ site, kept, isCut, rows }) => {
    const { rows: count, rowsMax, bytes, bytesMax, dropped } = kept;
    const size = `${bytesText(bytes)} of ${bytesText(bytesMax)}`;
    const lost = dropped === 0 ? "none dropped" : `${dropped} dropped for newer ones`;
    const cut = isCut ? `; the newest ${rows.length} are shown, --cache and --since narrow it` : "";
    return `${site} keeps ${count} of ${rowsMax} ${what} (${size}), ${lost}${cut}`;
  });
}
