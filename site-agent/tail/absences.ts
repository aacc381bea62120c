import { ABSENCES_MAX, ABSENCES_RATIO_MAX } from "../../topology/limits.ts";
import type { ServerRuns } from "../../topology/ports.ts";
import { sameRun } from "../connector/server-run.ts";

/** What keys are that a scan did not find though the ledger says the cache holds them. */
export type AbsenceVerdict =
  /** Deleted while nobody listened: they become removes, dated by the start of the gap. */
  | "removed"
  /** The cache lost its copies: they are fetched from the peers, and no remove is published. */
  | "absent";

/**
 * Judges the absences of one scan (design section 7). A restarted in-memory cache must never empty the other sites, so
 * whatever looks like one is `absent`.
 */
export function judgeAbsences(found: {
  /** Keys that the ledger calls live, and how many of them the scan did not find. */
  readonly live: number;
  readonly missing: number;
  /** No server of the last known set still runs since before the gap. */
  readonly cacheRestarted: boolean;
  /** The cache evicts by size. */
  readonly evicts: boolean;
  /** It was seen to lose entries without an event. */
  readonly losesEntries: boolean;
}): { verdict: AbsenceVerdict; reason: string } {
  const { live, missing, cacheRestarted, evicts, losesEntries } = found;
  if (cacheRestarted) return { verdict: "absent", reason: "the cache was restarted" };
  if (evicts) return { verdict: "absent", reason: "the cache evicts" };
  if (losesEntries)
    return { verdict: "absent", reason: "the cache loses entries without an event" };
  const most = Math.max(ABSENCES_MAX, live * ABSENCES_RATIO_MAX);
  if (missing > most) {
    return { verdict: "absent", reason: `${missing} of ${live} keys are gone at once` };
  }
  return { verdict: "removed", reason: `${missing} of ${live} keys were removed meanwhile` };
}

/**
 * Whether two looks at a cache's servers have no run in common: then all that they held in memory is gone. Also when the
 * second look could tell nothing: an absence that nobody can explain must not become a remove.
 */
export function isRestarted(before: ServerRuns | undefined, now: ServerRuns): boolean {
  if (before === undefined || before.size === 0) return false;
  for (const [server, run] of now) if (sameRun(before.get(server), run)) return false;
  return true;
}

/**
 * The known runs with those of servers that joined, or came back, while one of the known ones ran on; undefined: nothing new,
 * or none of them runs on. One that is away now may run on all the same: it stays.
 */
export function withNewRuns(known: ServerRuns, now: ServerRuns): ServerRuns | undefined {
  const isNew = [...now].some(([server, run]) => known.get(server) !== run);
  return isNew && !isRestarted(known, now) ? new Map([...known, ...now]) : undefined;
}
