import type { ConflictPolicy } from "../policy/conflict.ts";
import type { Sibling, Versions } from "./entry.ts";
import { type MergeRegistry, shown, valuesNeeded } from "./show.ts";

/** The longest max-idle of a key's puts, ms; undefined if one of them has none: the key never goes idle. */
export function maxIdleOf({ siblings }: Pick<Versions, "siblings">): number | undefined {
  let longest: number | undefined;
  for (const { kind, maxIdleMs } of siblings) {
    if (kind !== "put") continue;
    if (maxIdleMs === 0) return undefined;
    longest = Math.max(longest ?? 0, maxIdleMs);
  }
  return longest;
}

/**
 * The max-idle of what a key shows, ms; undefined if that has none. Where a merge is to make it, the longest of its inputs:
 * the copies at all sites are of one and the same, whatever concurrent versions do not show.
 */
export function maxIdleShown(
  siblings: readonly Sibling[],
  policy: ConflictPolicy,
  merges: MergeRegistry,
): number | undefined {
  if (valuesNeeded(siblings, policy).length > 0) return maxIdleOf({ siblings });
  const shows = shown(siblings, policy, merges);
  return shows?.kind === "put" && shows.maxIdleMs > 0 ? shows.maxIdleMs : undefined;
}

/** When a client last put the key, at any site, ms since the epoch in this site's clock; 0: never. */
export function writtenAt({ siblings }: Versions): number {
  let latest = 0;
  for (const { kind, at, offsetMs } of siblings) {
    if (kind === "put") latest = Math.max(latest, at + offsetMs);
  }
  return latest;
}
