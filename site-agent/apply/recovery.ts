import { RECOVERED_STATES_MAX } from "../../topology/limits.ts";
import type { ConflictPolicy } from "../../topology/policy/conflict.ts";
import type { CacheLedger, PeerEntry } from "../../topology/ports.ts";
import { EMPTY_CONTEXT } from "../../topology/version/context.ts";
import type {
  Context,
  Entry,
  Held,
  Key,
  Sibling,
  ValueHash,
  Versions,
} from "../../topology/version/entry.ts";
import { mergedWith } from "../../topology/version/compare.ts";
import { type Arrival, joinVersion } from "../../topology/version/join.ts";
import { shown, valuesNeeded, type MergeRegistry } from "../../topology/version/show.ts";

/** What an unclean end may have left out of the ledger, by key: own versions, and those of the other sites. */
export interface Uncommitted {
  readonly published: ReadonlyMap<Key, readonly Arrival[]>;
  readonly arrivals: ReadonlyMap<Key, readonly Arrival[]>;
}

/**
 * Every value that an apply of the last run may have left in the cache: any arriving version of a key, or what showed after
 * any prefix of each log. A state with such a hash is that state, never a local change (I6). "" among them: an apply may have
 * removed the key.
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
    const entry = rows.get(key);
    const hashes = new Set<ValueHash>();
    for (const { kind, hash: version } of [...(entry?.siblings ?? []), ...arrivals]) {
      if (kind === "put") hashes.add(version);
    }
    let states = 0;
    for (const versions of statesBetween(entry, logsOf(arrivals))) {
      states += 1;
      // What an apply removed a client cannot have removed: only what may really have shown counts.
      const shows = shownHash(versions?.siblings ?? [], entry?.held, policy, merges, hash);
      for (const each of shows) hashes.add(each);
      if (states < RECOVERED_STATES_MAX) continue;
      hashes.add("");
      break;
    }
    known.set(key, hashes);
  }
  return known;
}

/** What the cache held of a key, by hash, once an apply had brought it to what `siblings` show; "": no copy. */
function shownHash(
  siblings: readonly Sibling[],
  held: Held | undefined,
  policy: ConflictPolicy,
  merges: MergeRegistry,
  hash: (value: Uint8Array) => ValueHash,
): readonly ValueHash[] {
  const needed = valuesNeeded(siblings, policy).filter((s) => s.value === undefined);
  // A merge whose inputs are not all at hand was not computed before either: until they come there is no copy. One that the
  // cache alone holds is committed before it is overwritten.
  if (needed.length > 0) return needed.every((s) => s.hash === held?.hash) ? [] : [""];
  const shows = shown(siblings, policy, merges);
  if (shows === undefined || shows.kind === "remove") return [""];
  const mayHaveExpired = shows.expiresAt > 0 ? [""] : [];
  if (shows.kind === "merged") return [hash(shows.value), ...mayHaveExpired];
  const isElsewhere = shows.value === undefined && shows.hash !== held?.hash;
  return isElsewhere ? [""] : [shows.hash, ...mayHaveExpired];
}

/** Each author's versions, in the order of its log. */
function logsOf(arrivals: readonly Arrival[]): Arrival[][] {
  const logs = new Map<string, Arrival[]>();
  for (const arrival of arrivals) {
    const log = logs.get(arrival.author);
    if (log === undefined) logs.set(arrival.author, [arrival]);
    else log.push(arrival);
  }
  return [...logs.values()];
}

/** What a key's versions may have been: after any prefix of each log, because the logs are read side by side. */
function* statesBetween(
  versions: Versions | undefined,
  [log, ...others]: ReadonlyArray<readonly Arrival[]>,
): Generator<Versions | undefined> {
  if (log === undefined) {
    yield versions;
    return;
  }
  let joined = versions;
  yield* statesBetween(joined, others);
  for (const arrival of log) {
    joined = joinVersion(joined, EMPTY_CONTEXT, arrival).versions;
    yield* statesBetween(joined, others);
  }
}

/**
 * The row of a key with this site's own versions that an unclean end left out of the ledger; undefined: it has them. The cache
 * held each of them when it was captured. What it holds by now was written by one who saw them, so that is captured, if at
 * all, behind all of them.
 */
export function rejoined(
  entry: Entry | undefined,
  floor: Context,
  own: readonly Arrival[],
): Entry | undefined {
  let versions: Versions | undefined = entry;
  let newest: Arrival | undefined;
  for (const version of own) {
    const joined = joinVersion(versions, floor, version);
    versions = joined.versions;
    if (joined.changed) newest = version;
  }
  if (versions === undefined || newest === undefined) return undefined;
  const { kind, hash, expiresAt, maxIdleMs } = newest;
  const { context, siblings } = versions;
  const outboxSeq = entry?.outboxSeq ?? 0;
  if (kind === "remove") {
    return { context, siblings, presence: "tombstone", held: undefined, outboxSeq };
  }
  const held = { hash, token: undefined, seenBy: 0, expiresAt, maxIdleMs };
  return { context, siblings, presence: "live", held, outboxSeq };
}

/**
 * The row of a key in a ledger that was lost, with versions as the logs, or a peer, tell them; a scan learns which of them the
 * cache holds. What it held for certain the row calls live: if the scan does not find it, that is an absence to be judged.
 *
 * @param wasHeld whether the cache held this version in its present run
 */
export function rebuilt(
  entry: Entry | undefined,
  floor: Context,
  told: readonly Arrival[] | PeerEntry,
  wasHeld: (version: Sibling) => boolean,
): Entry | undefined {
  let versions: Versions | undefined = entry;
  if ("floor" in told) versions = mergedWith(entry, floor, told);
  else for (const arrival of told) versions = joinVersion(versions, floor, arrival).versions;
  if (versions === undefined) return undefined;
  const { context, siblings } = versions;
  const isGone = siblings.every((s) => s.kind === "remove");
  const [only, ...others] = siblings;
  if (!isGone && only !== undefined && others.length === 0 && wasHeld(only)) {
    const { hash, maxIdleMs, offsetMs } = only;
    const expiresAt = only.expiresAt === 0 ? 0 : only.expiresAt + offsetMs;
    const held = { hash, token: undefined, seenBy: 0, expiresAt, maxIdleMs };
    return { context, siblings, presence: "live", held, outboxSeq: 0 };
  }
  const presence = isGone ? "tombstone" : "absent";
  return { context, siblings, presence, held: undefined, outboxSeq: 0 };
}
