import type { Config } from "../../topology/config/config.ts";
import type { SiteName } from "../../topology/names.ts";
import type { TargetAnswer } from "../operator/target-verbs.ts";
import { textTable } from "../status/text-table.ts";
import { askSites, prepareSites, tellUnanswered, type Answers } from "./ask-sites.ts";
import { cacheOption, siteOption } from "./site-option.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** `isthmus offline`: nobody waits for a target any more. */
export const offline: Verb = verbOf(
  "offline",
  "nobody waits for a target any more, until isthmus online; it applies what it can",
);

/** `isthmus online`: a target counts again once it is level. */
export const online: Verb = verbOf(
  "online",
  "a target counts again, as soon as it is level and without a gap",
);

function verbOf(name: "offline" | "online", summary: string): Verb {
  return {
    name,
    summary,
    json: '{"target", "sites": [{site, caches: [{cache, changed, state, lacks, atRisk}]}], "unanswered": [{site, reason}]}',
    options: {
      target: { value: "SITE", summary: "the site that others wait for, or not" },
      cache: { value: "NAME", summary: "only this cache, by its name in the file; else all" },
    },
    run: (context: VerbContext): Promise<Exit> =>
      prepareSites(context, (config) => {
        const target = siteOption(config, context, "target");
        const cache = cacheOption(config, context) ?? null;
        const others = { ...config, sites: config.sites.filter((site) => site.name !== target) };
        return async (bus) => {
          const asked = await askSites<TargetAnswer>(others, bus, name, { target, cache });
          return tell(others, target, asked, context);
        };
      }),
  };
}

function tell(
  config: Config,
  target: SiteName,
  { answers, unanswered }: Answers<TargetAnswer>,
  context: VerbContext,
): Exit {
  if (context.json)
    context.stdout.write(`${JSON.stringify({ target, sites: answers, unanswered }, null, 2)}\n`);
  else context.stdout.write(targetText(target, answers));
  // A site that was not reached waits for the target as before.
  const exit = tellUnanswered(unanswered, context);
  return config.sites.length === unanswered.length ? Exit.Unreachable : exit;
}

/** The answers for people: a line for each site and cache. */
export function targetText(target: SiteName, answers: readonly TargetAnswer[]): string {
  const rows = answers.flatMap(({ site, caches }) =>
    caches.map(({ cache, changed, state, lacks, atRisk }) => [
      site,
      cache,
      `${target} ${changed ? "is" : "was already"} ${state}`,
      `${atRisk} at risk`,
      state === "returning" && lacks !== null ? lacks : "",
    ]),
  );
  return rows.length === 0 ? `no site sends ${target} anything\n` : textTable(rows);
}
