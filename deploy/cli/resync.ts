import type { SiteName } from "../../topology/names.ts";
import { followJob } from "../operator/follow-job.ts";
import type { ResyncedCache } from "../operator/sync-verbs.ts";
import { systemClock } from "../site/system.ts";
import { keyName, optionText, withSites } from "./ask-sites.ts";
import { Progress } from "./progress.ts";
import { siteOption, usage } from "./site-option.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";
import { bytesText } from "../status/bytes-text.ts";

/** Keys of a dry run that are told on a terminal; `--json` tells all. */
const TOLD_MAX = 20;

/** `isthmus resync`: sends what differs from one site to another. */
export const resync: Verb = {
  name: "resync",
  summary:
    "sends what differs from one site to another, deletes included; gaps are repaired by themselves",
  json: '{"caches": [{cache, differing, received, bytes, keys}]}; keys: of a dry run, those that differ',
  options: {
    from: { value: "SITE", summary: "the site that has what the other one lacks" },
    to: { value: "SITE", summary: "the site that gets it; nothing goes back" },
    cache: { value: "NAME", summary: "only this cache, by its name in the file" },
    "dry-run": { summary: "count and name the keys that differ, and send nothing; exit 1 if any" },
  },
  run: (context: VerbContext): Promise<Exit> =>
    withSites(context, async (config, bus) => {
      const [from, to] = [siteOption(config, context, "from"), siteOption(config, context, "to")];
      if (from === to) throw usage(`--from and --to both name ${from}`);
      const isDry = context.options["dry-run"] === true;
      const question = { from, cache: optionText(context, "cache") ?? null, dryRun: isDry };
      const progress = new Progress(context, () => systemClock.monotonic());
      const asker = { bus, clock: systemClock };
      const job = { site: to, verb: "resync", question };
      let found: { readonly caches: readonly ResyncedCache[] };
      try {
        found = await followJob(asker, job, (counts) => {
          const { compared = 0, differing = 0, received = 0 } = counts;
          progress.show(
            `${compared} keys compared, ${differing} differ, ${received} came to ${to}`,
          );
        });
      } finally {
        progress.end();
      }
      const json = `${JSON.stringify(found, null, 2)}\n`;
      context.stdout.write(context.json ? json : textOf(found.caches, { to, isDry }));
      const differ = found.caches.some(({ differing }) => differing > 0);
      return isDry && differ ? Exit.No : Exit.Fine;
    }),
};

function textOf(
  caches: readonly ResyncedCache[],
  { to, isDry }: { to: SiteName; isDry: boolean },
): string {
  const lines = caches.flatMap(({ cache, differing, received, bytes, keys }) => {
    const done = `${received} entries (${bytesText(bytes)}) came to ${to}`;
    const told = keys.slice(0, TOLD_MAX).map((key) => `  ${keyName(key)}`);
    const more = keys.length > TOLD_MAX ? [`  and ${keys.length - TOLD_MAX} more`] : [];
    return [`${cache}: ${differing} keys differ${isDry ? "" : `, ${done}`}`, ...told, ...more];
  });
  if (lines.length === 0) lines.push("no cache is sent that way");
  return lines.map((line) => `${line}\n`).join("");
}
