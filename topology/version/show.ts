import { assert } from "../errors.ts";
import type { SiteName } from "../names.ts";
import type { ConflictPolicy } from "../policy/conflict.ts";
import type { Dot, Expiry, Sibling } from "./entry.ts";

/** One put as a merge sees it. Expiry is in its author's clock, so that every site computes from the same numbers. */
export interface MergeInput {
  readonly value: Uint8Array;
  readonly site: SiteName;
  readonly dot: Dot;
  /** What the policies by time compare, ms since the epoch in the author's clock. */
  readonly at: number;
  readonly expiry: Expiry;
}

/**
 * Makes one value of two or more concurrent puts, given in order of (site, dot). Must be pure: the same inputs make the same
 * bytes at every site, whatever the time, the machine or the calls before.
 */
export type MergeFunction = (values: readonly MergeInput[]) => {
  readonly value: Uint8Array;
  readonly expiry: Expiry;
};

/** The merges that the policies of a site may name. */
export type MergeRegistry = ReadonlyMap<string, MergeFunction>;

/** What shows when a merge decided between two or more puts; never fed back as a version. */
export interface MergedValue extends Expiry {
  readonly kind: "merged";
  readonly value: Uint8Array;
  /** The puts it was made of, in order of (site, dot). */
  readonly of: readonly Sibling[];
  /** This site's clock minus that of the put whose expiry the merge took (else of the newest put), ms. */
  readonly offsetMs: number;
}

/** What shows under a policy: a put or a remove, a merged value, or nothing for a key without versions. */
export type Shown = Sibling | MergedValue | undefined;

const NO_MERGES: MergeRegistry = new Map();

/**
 * What shows, as a pure function of the siblings: the same at every site that holds the same siblings. Under a merge each
 * sibling of {@link valuesNeeded} must carry its value.
 *
 * @throws whatever the merge throws.
 */
export function shown(
  siblings: readonly Sibling[],
  policy: ConflictPolicy,
  merges: MergeRegistry = NO_MERGES,
): Shown {
  if (siblings.length < 2) return siblings[0];
  const puts = siblings.filter((s) => s.kind === "put");
  const removes = siblings.filter((s) => s.kind === "remove");
  switch (policy) {
    case "last-writer-wins":
      return latest(siblings);
    case "first-writer-wins":
      return siblings.reduce((best, s) => (byAge(s, best) < 0 ? s : best));
    case "prefer-put":
      return latest(puts) ?? latest(removes);
    case "prefer-remove":
      return latest(removes) ?? latest(puts);
    default:
      if ("preferSite" in policy) return preferred(siblings, policy.preferSite);
      return needsMerge(siblings) ? merged(puts, policy.merge, merges) : latest(siblings);
  }
}

/** The version that shows; under a merge, which reads values, the newest of what it is made of. */
export function versionShown(
  siblings: readonly Sibling[],
  policy: ConflictPolicy,
): Sibling | undefined {
  if (typeof policy === "object" && "merge" in policy) return latest(siblings);
  const shows = shown(siblings, policy);
  return shows?.kind === "merged" ? undefined : shows;
}

/** The siblings whose values {@link shown} reads: the puts that a merge is about to make one of. */
export function valuesNeeded(
  siblings: readonly Sibling[],
  policy: ConflictPolicy,
): readonly Sibling[] {
  const merges = typeof policy === "object" && "merge" in policy;
  return merges && needsMerge(siblings) ? siblings.filter((s) => s.kind === "put") : [];
}

/** The siblings whose value the ledger keeps: the puts that the cache itself does not hold, because they do not show. */
export function valuesToKeep(siblings: readonly Sibling[], shows: Shown): readonly Sibling[] {
  return siblings.filter((s) => s.kind === "put" && s !== shows);
}

/** Two or more puts, the newest of which is newer than every remove. */
function needsMerge(siblings: readonly Sibling[]): boolean {
  return siblings.filter((s) => s.kind === "put").length > 1 && latest(siblings)?.kind === "put";
}

function merged(puts: readonly Sibling[], name: string, merges: MergeRegistry): MergedValue {
  const merge = merges.get(name);
  assert(merge, () => `merge ${JSON.stringify(name)} is not registered`);
  const of = [...puts].sort((x, y) => compare(x.author, y.author) || compare(x.dot, y.dot));
  const { value, expiry } = merge(
    of.map(({ value: bytes, author: site, dot, at, expiresAt, maxIdleMs }) => {
      assert(bytes, () => `merge ${JSON.stringify(name)} without the value of ${site}'s version`);
      return { value: bytes, site, dot, at, expiry: { expiresAt, maxIdleMs } };
    }),
  );
  const source = of.find((s) => s.expiresAt === expiry.expiresAt) ?? latest(of);
  return {
    kind: "merged",
    value,
    expiresAt: expiry.expiresAt,
    maxIdleMs: expiry.maxIdleMs,
    of,
    offsetMs: source?.offsetMs ?? 0,
  };
}

function preferred(siblings: readonly Sibling[], order: readonly SiteName[]): Sibling | undefined {
  const rank = (s: Sibling) => {
    const index = order.indexOf(s.author);
    return index < 0 ? order.length : index;
  };
  return siblings.reduce((best, s) =>
    (rank(s) - rank(best) || compare(s.author, best.author) || byAge(best, s)) < 0 ? s : best,
  );
}

function latest(siblings: readonly Sibling[]): Sibling | undefined {
  let best = siblings[0];
  for (const s of siblings) if (best && byAge(s, best) > 0) best = s;
  return best;
}

/** Older first; ties fall to dot, site name, value hash, so that no two versions are equal. */
function byAge(x: Sibling, y: Sibling): number {
  return (
    x.at - y.at || compare(x.dot, y.dot) || compare(x.author, y.author) || compare(x.hash, y.hash)
  );
}

function compare<T extends bigint | string>(x: T, y: T): number {
  return x < y ? -1 : x > y ? 1 : 0;
}
