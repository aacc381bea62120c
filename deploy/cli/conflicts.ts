import type { Config } from "../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { CONTROL_TIMEOUT_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { Bus } from "../../topology/ports.ts";
import { askVerb } from "../../gateway/control/operator-channel.ts";
import type { ConflictView, VersionView } from "../operator/journal-lists.ts";
import { policyText } from "../operator/key-way.ts";
import type { RestoreAnswer } from "../operator/operator-verbs.ts";
import { keyName, optionText, parseRowId, timeText, prepareSites } from "./ask-sites.ts";
import { journalOptions, listJournal, type JournalListing } from "./journal-list.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";
import { bytesText } from "../status/bytes-text.ts";

/** `isthmus conflicts`: the sites' journals of concurrent writes, and what lost put back. */
export const conflicts: Verb = {
  name: "conflicts",
  summary:
    "keys that were written at two sites at once: what showed, what lost; restore puts it back",
  args: "[restore ID]",
  json:
    '{"conflicts": [{id, cache, key, keyText, foundAt, policy, shows, versions: [{author, dot, at, kind, hash, bytes, expiresAt, ' +
    'maxIdleMs}], lost, restored}], "kept": [{site, rows, rowsMax, bytes, bytesMax, dropped, isCut}], "unanswered": ' +
    "[{site, reason}]}; restore: {id, outcome, cache, key, version, dot, before}",
  options: {
    ...journalOptions,
    author: { value: "SITE", summary: "restore: whose version, where several lost" },
    confirm: {
      value: "SITE",
      summary: "restore: also over what was written since; the site of the ID",
    },
  },
  run: (context: VerbContext): Promise<Exit> =>
    prepareSites(context, (config) => {
      const [action, id, ...more] = context.args;
      if (action === undefined) return listJournal(config, context, LISTING);
      if (action === "restore" && id !== undefined && more.length === 0)
        return restore(config, context, id);
      throw new IsthmusError(
        ErrorCode.UsageInvalid,
        `expected "conflicts" or "conflicts restore ID", got ${JSON.stringify(context.args.join(" "))}`,
      );
    }),
};

const LISTING: JournalListing<ConflictView> = {
  verb: "conflicts",
  field: "conflicts",
  what: "conflicts",
  header: ["ID", "FOUND", "CACHE", "KEY", "SHOWS", "LOST"],
  cells,
};

function cells(conflict: ConflictView): string[] {
  const { id, foundAt, cache, key, keyText, shows, policy, versions, lost, restored } = conflict;
  const losers = versions.filter(({ author }) => lost.includes(author));
  const text = losers.map((v) => `${v.author} ${versionText(v)}`).join(", ");
  const mark = restored === null ? "" : ` (restored ${restored.author}'s)`;
  const why = `${shows ?? "nothing"} by ${policyText(policy)}`;
  return [id, timeText(foundAt), cache, keyText ?? key, why, text + mark];
}

/** A version's kind, size and time. */
const versionText = ({ kind, bytes, at }: VersionView): string =>
  kind === "remove"
    ? `remove of ${timeText(at)}`
    : `put of ${bytes === null ? "? B" : bytesText(bytes)} of ${timeText(at)}`;

function restore(config: Config, context: VerbContext, text: string): (bus: Bus) => Promise<Exit> {
  const { site, id } = parseRowId(config, text);
  const confirm = optionText(context, "confirm");
  if (confirm !== undefined && confirm !== site)
    throw new IsthmusError(
      ErrorCode.UsageInvalid,
      `--confirm: expected ${site}, where ${text} is restored, got ${JSON.stringify(confirm)}`,
    );
  const author = optionText(context, "author") ?? null;
  const question = { id, author, overChanged: confirm !== undefined };
  return async (bus) => {
    const found = await askVerb(bus, site, "restore", question, CONTROL_TIMEOUT_MS);
    const answer = found as RestoreAnswer;
    if (context.json) context.stdout.write(`${JSON.stringify({ id: text, ...answer }, null, 2)}\n`);
    else context.stdout.write(`${restoredText(answer, site)}\n`);
    return answer.outcome === "changed" ? Exit.No : Exit.Fine;
  };
}

function restoredText(answer: RestoreAnswer, site: SiteName): string {
  const { outcome, version, dot, before } = answer;
  const what = `${version.author}'s ${versionText(version)}`;
  const where = `${answer.cache} ${keyName(answer.key)}`;
  const found = before === null ? "nothing" : `${bytesText(before.bytes)} (hash ${before.hash})`;
  switch (outcome) {
    case "restored":
      return `restored ${what} to ${where}, as a new write of ${site} with dot ${dot ?? "?"}; before: ${found}`;
    case "written":
      return `restored ${what} to ${where} at ${site}; it is not captured yet: see isthmus status; before: ${found}`;
    case "already":
      return `${where} holds ${what} already: nothing was done`;
    case "changed":
      return (
        `${where} was written since that conflict: nothing was done\n` +
        `  now: ${found}\n  would become: ${what}, at every site\n  to do it: --confirm ${site}`
      );
  }
}
