import type { Config } from "../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { CONTROL_TIMEOUT_MS } from "../../topology/limits.ts";
import type { Bus } from "../../topology/ports.ts";
import { askVerb } from "../../gateway/control/operator-channel.ts";
import type { DeadLetterView, JournalList } from "../operator/journal-lists.ts";
import type { RetryAnswer } from "../operator/operator-verbs.ts";
import {
  askSites,
  bytesText,
  keyName,
  parseRowId,
  tellUnanswered,
  timeText,
  withSites,
} from "./ask-sites.ts";
import { journalFilter, journalOptions, keptLines } from "./journal-options.ts";
import { textTable } from "./text-table.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

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
    withSites(context, async (config, bus) => {
      const [action, id, ...more] = context.args;
      if (action === undefined) return list(config, bus, context);
      if (action === "retry" && id !== undefined && more.length === 0)
        return retry(config, bus, context, id);
      throw new IsthmusError(
        ErrorCode.UsageInvalid,
        `expected "dead-letters" or "dead-letters retry ID", got ${JSON.stringify(context.args.join(" "))}`,
      );
    }),
};

async function list(config: Config, bus: Bus, context: VerbContext): Promise<Exit> {
  const asked = await askSites<JournalList<DeadLetterView>>(
    config,
    bus,
    "dead-letters",
    journalFilter(context),
  );
  const rows = asked.answers.flatMap((a) => a.rows).sort((a, b) => b.foundAt - a.foundAt);
  if (context.json) {
    const kept = asked.answers.map(({ site, kept: k, isCut }) => ({ site, ...k, isCut }));
    const { unanswered } = asked;
    context.stdout.write(`${JSON.stringify({ deadLetters: rows, kept, unanswered }, null, 2)}\n`);
  } else {
    if (rows.length > 0) context.stdout.write(textTable([HEADER, ...rows.map(cells)]));
    for (const line of keptLines(asked.answers, "dead letters")) context.stdout.write(`${line}\n`);
  }
  return tellUnanswered(asked.unanswered, context);
}

const HEADER = ["ID", "FOUND", "CACHE", "KEY", "FROM", "SIZE", "REASON"];

function cells(letter: DeadLetterView): string[] {
  const { id, foundAt, cache, key, keyText, origin, seq, bytes, reason } = letter;
  const from = origin === null ? "this site, not sent" : `${origin} #${seq ?? "?"}`;
  const size = bytes === 0 ? "-" : bytesText(bytes);
  return [id, timeText(foundAt), cache, keyText ?? key ?? "(a whole batch)", from, size, reason];
}

async function retry(config: Config, bus: Bus, context: VerbContext, text: string): Promise<Exit> {
  const { site, id } = parseRowId(config, text);
  const answer = (await askVerb(bus, site, "retry", { id }, CONTROL_TIMEOUT_MS)) as RetryAnswer;
  if (context.json) {
    context.stdout.write(`${JSON.stringify({ id: text, ...answer }, null, 2)}\n`);
    return Exit.Fine;
  }
  for (const { key, outcome } of answer.outcomes)
    context.stdout.write(`${answer.cache} ${keyName(key)}: ${OUTCOMES[outcome]}\n`);
  return Exit.Fine;
}

const OUTCOMES: Readonly<Record<RetryAnswer["outcomes"][number]["outcome"], string>> = {
  written: "written to the cache",
  kept: "known now; the cache needed no write, because another version shows",
  covered: "seen before, or superseded meanwhile: nothing was done",
  sent: "sent, as the cache holds it now",
  gone: "no longer in the cache: nothing was left to send",
};
