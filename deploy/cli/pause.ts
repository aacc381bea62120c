import { CONTROL_TIMEOUT_MS } from "../../topology/limits.ts";
import { askVerb } from "../../gateway/control/operator-channel.ts";
import type { PauseAnswer } from "../operator/target-verbs.ts";
import { prepareSites, timeText } from "./ask-sites.ts";
import { cacheOption, siteOption, usage } from "./site-option.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** `isthmus pause`: a target stops applying a cache. */
export const pause: Verb = verbOf(
  "pause",
  "a target stops applying a cache; the logs keep what it misses, up to their limits",
);

/** `isthmus resume`: a target goes on where it stopped. */
export const resume: Verb = verbOf(
  "resume",
  "a paused target goes on where it stopped; what the logs did not keep is repaired",
);

function verbOf(name: "pause" | "resume", summary: string): Verb {
  return {
    name,
    summary,
    json: "{site, cache, changed, pausedSince, begun}; begun: mutations that were begun before the pause",
    options: {
      cache: { value: "NAME", summary: "the cache, by its name in the file" },
      target: { value: "SITE", summary: "the site that stops, or goes on" },
    },
    run: (context: VerbContext): Promise<Exit> =>
      prepareSites(context, (config) => {
        const target = siteOption(config, context, "target");
        const cache = cacheOption(config, context);
        if (cache === undefined)
          throw usage("--cache is missing: the cache by its name in the file");
        return async (bus) => {
          const found = await askVerb(bus, target, name, { cache }, CONTROL_TIMEOUT_MS);
          const answer = found as PauseAnswer;
          const text = context.json ? JSON.stringify(answer, null, 2) : pauseText(answer);
          context.stdout.write(`${text}\n`);
          return Exit.Fine;
        };
      }),
  };
}

/** The answer for people. */
export function pauseText({ site, cache, changed, pausedSince, begun }: PauseAnswer): string {
  if (pausedSince === null)
    return `${cache} at ${site} ${changed ? "goes on where it stopped" : "was not paused"}`;
  const since = timeText(pausedSince);
  const left = begun === 0 ? "" : `; ${begun} changes that were begun are still being applied`;
  return `${cache} at ${site} ${changed ? "is" : "was already"} paused since ${since}${left}`;
}
