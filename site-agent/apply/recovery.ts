import type { ConflictPolicy } from "../../topology/policy/conflict.ts";
import type { CacheLedger } from "../../topology/ports.ts";
import { EMPTY_CONTEXT } from "../../topology/version/context.ts";
import type { Key, ValueHash, Versions } from "../../topology/version/entry.ts";
import { type Arrival, joinVersion } from "../../topology/version/join.ts";
import { shown, valuesNeeded, type MergeRegistry } from "../../topology/version/show.ts";

/**
 * Every value that an apply of the last run may have left in the cache: any arriving version of a key, or what showed after
 * any prefix of them. A state with such a hash is that state, never a local change (I6).
 */
export function knownHashes(
  window: ReadonlyMap<Key, readonly Arrival[]>,
  rows: CacheLedger,
  policy: ConflictPolicy,
  merges: MergeRegistry,
  hash: (value: Uint8Array) => ValueHash,
): ReadonlyMap<Key, ReadonlySet<ValueHash>> {
  const known = new Map<Key, Set<ValueHash>>();
  for (const [key, arrivals] of window) {
    const hashes = new Set<ValueHash>();
    let versions: Versions | undefined = rows.get(key);
    for (const sibling of versions?.siblings ?? []) hashes.add(sibling.hash);
    for (const arrival of arrivals) {
      hashes.add(arrival.hash);
      versions = joinVersion(versions, EMPTY_CONTEXT, arrival).versions;
      const siblings = versions?.siblings ?? [];
      // A merge whose inputs are not all at hand was not computed before either.
      if (valuesNeeded(siblings, policy).some((s) => s.value === undefined)) continue;
      const shows = shown(siblings, policy, merges);
      if (shows?.kind === "merged") hashes.add(hash(shows.value));
    }
    hashes.delete("");
    known.set(key, hashes);
  }
  return known;
}
