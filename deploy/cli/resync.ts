import type { Config } from "../../topology/config/config.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type { Bus } from "../../topology/ports.ts";
import { followJob } from "../operator/follow-job.ts";
import type { ResyncedCache } from "../operator/sync-verbs.ts";
import { systemClock } from "../site/system.ts";
import { keyName, optionText, prepareSites } from "./ask-sites.ts";
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
    reseed: {
      summary: "replace what the site holds, after it was away too long (IS3037)",
    },
    confirm: { value: "SITE", summary: "with --reseed: the site whose content is replaced" },
    "dry-run": { summary: "count and name the keys that differ, and send nothing; exit 1 if any" },
  },
  run: (context: VerbContext): Promise<Exit> =>
    prepareSites(context, (config) => {
      const asked = askedOf(config, context);
      return (bus) => run(bus, asked, context);
    }),
};

/** A command line, taken apart. */
interface Asked {
  readonly from: SiteName;
  readonly to: SiteName;
  readonly cache: CacheName | undefined;
  /** Nothing is to be done. */
  readonly isDry: boolean;
  readonly isReseeding: boolean;
  /** A re-seeding that was not confirmed: only told. */
  readonly isPlan: boolean;
}

function askedOf(config: Config, context: VerbContext): Asked {
  const [from, to] = [siteOption(config, context, "from"), siteOption(config, context, "to")];
  if (from === to) throw usage(`--from and --to both name ${from}`);
  const isReseeding = context.options["reseed"] === true;
  const confirm = optionText(context, "confirm");
  if (confirm !== undefined && (!isReseeding || confirm !== to))
    throw usage(`--confirm: expected ${to} beside --reseed, got ${JSON.stringify(confirm)}`);
  const isPlan = isReseeding && confirm === undefined;
  const isDry = isPlan || context.options["dry-run"] === true;
  return { from, to, cache: optionText(context, "cache"), isDry, isReseeding, isPlan };
}

async function run(
  bus: Bus,
  { from, to, cache, isDry, isReseeding, isPlan }: Asked,
  context: VerbContext,
): Promise<Exit> {
  const question = { from, cache: cache ?? null, dryRun: isDry, reseed: isReseeding };
  const progress = new Progress(context, () => systemClock.monotonic());
  const asker = { bus, clock: systemClock };
  const job = { site: to, verb: "resync", question };
  let found: { readonly caches: readonly ResyncedCache[] };
  try {
    found = await followJob(asker, job, (counts) => {
      const { compared = 0, differing = 0, received = 0 } = counts;
      progress.show(`${compared} keys compared, ${differing} differ, ${received} came to ${to}`);
    });
  } finally {
    progress.end();
  }
  const json = `${JSON.stringify(found, null, 2)}\n`;
  context.stdout.write(context.json ? json : textOf(found.caches, { to, isDry }));
  if (isPlan) {
    context.stderr.write(
      `isthmus: these keys of ${to} would become what ${from} holds; what ${to} alone has would go to isthmus conflicts\n` +
        `  to do it: --confirm ${to}\n`,
    );
    return Exit.No;
  }
  const differ = found.caches.some(({ differing }) => differing > 0);
  return isDry && differ ? Exit.No : Exit.Fine;
}

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
