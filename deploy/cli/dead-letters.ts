import type { Config } from "../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { CONTROL_TIMEOUT_MS } from "../../topology/limits.ts";
import type { Bus } from "../../topology/ports.ts";
import { askVerb } from "../../gateway/control/operator-channel.ts";
import type { DeadLetterView } from "../operator/journal-lists.ts";
import type { RetryAnswer } from "../operator/operator-verbs.ts";
import { keyName, parseRowId, timeText, prepareSites } from "./ask-sites.ts";
import { journalOptions, listJournal, type JournalListing } from "./journal-list.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";
import { bytesText } from "../status/bytes-text.ts";

/** `isthmus dead-letters`: mutations that could not be applied, or not be sent, and one of them tried again. */
export const deadLetters: Verb = {
  name: "dead-letters",
  summary: "mutations that could not be applied or sent, with the reason; retry tries one again",
  args: "[retry ID]",
  json:
    '{"deadLetters": [{id, cache, key, keyText, foundAt, origin, seq, reason, bytes}], "kept": [{site, rows, rowsMax, bytes, ' +
    'bytesMax, dropped, isCut}], "unanswered": [{site, reason}]}; retry: {id, cache, outcomes: [{key, outcome}]}',
  options: journalOptions,
  run: (context: VerbContext): Promise<Exit> =>
    prepareSites(context, (config) => {
      const [action, id, ...more] = context.args;
      if (action === undefined) return listJournal(config, context, LISTING);
      if (action === "retry" && id !== undefined && more.length === 0)
        return retry(config, context, id);
      throw new IsthmusError(
        ErrorCode.UsageInvalid,
        `expected "dead-letters" or "dead-letters retry ID", got ${JSON.stringify(context.args.join(" "))}`,
      );
    }),
};

const LISTING: JournalListing<DeadLetterView> = {
  verb: "dead-letters",
  field: "deadLetters",
  what: "dead letters",
  header: ["ID", "FOUND", "CACHE", "KEY", "FROM", "SIZE", "REASON"],
  cells,
};

function cells(letter: DeadLetterView): string[] {
  const { id, foundAt, cache, key, keyText, origin, seq, bytes, reason } = letter;
  const from = origin === null ? "this site, not sent" : `${origin} #${seq ?? "?"}`;
  const size = bytes === 0 ? "-" : bytesText(bytes);
  return [id, timeText(foundAt), cache, keyText ?? key ?? "(a whole batch)", from, size, reason];
}

function retry(config: Config, context: VerbContext, text: string): (bus: Bus) => Promise<Exit> {
  const { site, id } = parseRowId(config, text);
  return async (bus) => {
    const answer = (await askVerb(bus, site, "retry", { id }, CONTROL_TIMEOUT_MS)) as RetryAnswer;
    if (context.json) context.stdout.write(`${JSON.stringify({ id: text, ...answer }, null, 2)}\n`);
    else
      for (const { key, outcome } of answer.outcomes)
        context.stdout.write(`${answer.cache} ${keyName(key)}: ${OUTCOMES[outcome]}\n`);
    return Exit.Fine;
  };
}

const OUTCOMES: Readonly<Record<RetryAnswer["outcomes"][number]["outcome"], string>> = {
  written: "written to the cache",
  kept: "known now; the cache needed no write, because another version shows",
  covered: "seen before, or superseded meanwhile: nothing was done",
  sent: "sent, as the cache holds it now",
  gone: "no longer in the cache: nothing was left to send",
};
