import { assert } from "../errors.ts";
import type { SiteName } from "../names.ts";
import { covers, EMPTY_CONTEXT, joinContexts, withDot } from "./context.ts";
import type { Context, Dot, Expiry, Sibling, ValueHash, Versions } from "./entry.ts";

/** A change made at this site, with the dot that it was given. */
export interface LocalWrite extends Expiry {
  readonly site: SiteName;
  readonly dot: Dot;
  readonly at: number;
  readonly kind: "put" | "remove";
  readonly hash: ValueHash;
}

/** A version that came from its author's log: the sibling that it makes, and all that its writer had seen of the key. */
export type Arrival = Sibling & { readonly context: Context };

/** What a key has seen: its entry's context; without an entry, the cache's floor. */
export function seen(entry: Versions | undefined, floor: Context): Context {
  return entry === undefined ? floor : entry.context;
}

/**
 * A new local mutation: takes the whole context, replaces all siblings, adds its dot. The mutation to publish carries
 * {@link seen} of the entry as it was before.
 */
export function localWrite(
  entry: Versions | undefined,
  floor: Context,
  write: LocalWrite,
): Versions {
  const { site: author, dot, at, kind, hash, expiresAt, maxIdleMs } = write;
  const context = seen(entry, floor);
  assert(!covers(context, author, write.dot), () => `local dot ${write.dot} was seen before`);
  return {
    context: withDot(context, author, write.dot),
    siblings: [{ author, dot, at, kind, hash, expiresAt, maxIdleMs, offsetMs: 0 }],
  };
}

/**
 * A local mutation whose writer had seen no other site's version, though the entry holds some: the site has just begun to
 * look at a cache that was filled before. The mutation to publish carries an empty context.
 */
export function besideOthers(entry: Versions, { site: author, ...write }: LocalWrite): Versions {
  const arrival = { ...write, author, offsetMs: 0, context: EMPTY_CONTEXT };
  const { versions } = joinVersion(entry, EMPTY_CONTEXT, arrival);
  assert(versions !== undefined, "a version was joined");
  return versions;
}

/**
 * Joins one arriving version; `changed` is false if it was seen before (it is dropped, `versions` are the entry's). Any
 * order of arrival, with any repeats, ends in the same versions.
 */
export function joinVersion(
  entry: Versions | undefined,
  floor: Context,
  arrival: Arrival,
): { versions: Versions | undefined; changed: boolean } {
  const { author, dot } = arrival;
  const context = seen(entry, floor);
  if (covers(context, author, dot)) {
    return {
      versions: entry && { context: entry.context, siblings: entry.siblings },
      changed: false,
    };
  }
  // The writer's own earlier version is superseded even if an author that lost its ledger did not list it.
  const superseding = withDot(arrival.context, author, dot);
  const survivors = (entry?.siblings ?? []).filter((s) => !covers(superseding, s.author, s.dot));
  return {
    versions: {
      context: joinContexts(context, superseding),
      siblings: inAuthorOrder([...survivors, siblingOf(arrival)]),
    },
    changed: true,
  };
}

/**
 * Joins two sites' whole entries of one key (resync): a sibling survives if both hold it, or if the other's context does
 * not cover its dot. Commutative, associative and idempotent, but for `offsetMs` and kept values, which are taken from `a`,
 * the local side, where both hold a sibling.
 *
 * Without survivors neither side keeps an entry, and the floors join. A floor says "I applied all of this, in every key",
 * so a site with an open gap must not keep the joined floor before its resync of the whole cache has ended: keys that it has
 * not exchanged yet would look dropped.
 */
export function mergeVersions(
  a: Versions | undefined,
  floorA: Context,
  b: Versions | undefined,
  floorB: Context,
): { versions: Versions | undefined; floor: Context } {
  const [seenA, seenB] = [seen(a, floorA), seen(b, floorB)];
  const siblings: Sibling[] = [];
  for (const mine of a?.siblings ?? []) {
    const theirs = b?.siblings.find((s) => s.author === mine.author && s.dot === mine.dot);
    if (theirs) siblings.push(oneOf(mine, theirs));
    else if (!covers(seenB, mine.author, mine.dot)) siblings.push(mine);
  }
  for (const theirs of b?.siblings ?? []) {
    if (!covers(seenA, theirs.author, theirs.dot)) siblings.push(theirs);
  }
  if (siblings.length === 0) return { versions: undefined, floor: joinContexts(floorA, floorB) };
  return {
    versions: { context: joinContexts(seenA, seenB), siblings: inAuthorOrder(siblings) },
    floor: floorA,
  };
}

/**
 * Whether `other` claims to be a version that `entry` holds, with another hash: a fault of ours, to be journalled and
 * alarmed.
 */
export function contradicts(entry: Versions | undefined, other: Sibling): boolean {
  const mine = entry?.siblings.find((s) => s.author === other.author && s.dot === other.dot);
  return mine !== undefined && mine.hash !== other.hash;
}

/** Both sides hold the version: the local copy, with the value from whichever side kept it. */
function oneOf(mine: Sibling, theirs: Sibling): Sibling {
  if (mine.hash !== theirs.hash) return mine.hash > theirs.hash ? mine : theirs;
  if (mine.value !== undefined || theirs.value === undefined) return mine;
  return { ...mine, value: theirs.value };
}

/** The sibling that an arrival makes. Named field by field: this is run for each mutation, and a rest costs five times as much. */
function siblingOf(arrival: Arrival): Sibling {
  const { author, dot, at, kind, hash, expiresAt, maxIdleMs, offsetMs, value } = arrival;
  const sibling = { author, dot, at, kind, hash, expiresAt, maxIdleMs, offsetMs };
  return value === undefined ? sibling : { ...sibling, value };
}

/** One order whatever the arrival, so that equal versions are equal byte for byte in rows and digests. */
function inAuthorOrder(siblings: Sibling[]): readonly Sibling[] {
  return siblings.sort((x, y) => (x.author < y.author ? -1 : x.author > y.author ? 1 : 0));
}
