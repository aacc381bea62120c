import type { Entry, Expiry, Sibling, ValueHash, Versions } from "../../topology/version/entry.ts";
import { withoutValue } from "../../topology/version/entry.ts";
import type { Shown } from "../../topology/version/show.ts";

/** What the local cache should hold for a key; expiry in this site's clock. */
export interface Wanted extends Expiry {
  readonly hash: ValueHash;
  /** undefined: the bytes are not at this site (the cache holds them, or a peer does). */
  readonly value: Uint8Array | undefined;
  /** The version that it is; undefined for a merged value. */
  readonly of: Pick<Sibling, "author" | "dot"> | undefined;
}

/** How the cache is brought to what should show. */
export type Plan =
  /** The cache is right already. */
  | { readonly write: "none"; readonly presence: Entry["presence"] }
  | { readonly write: "put"; readonly wanted: Wanted }
  | { readonly write: "remove"; readonly presence: "tombstone" | "absent" };

/**
 * Decides the write for a key whose versions are `versions`. Total.
 *
 * @param shows what shows of the versions; `mergedHash` is its hash if a merge computed it
 * @param now this site's wall time in ms
 */
export function planWrite(
  entry: Entry | undefined,
  shows: Shown,
  options: { now: number; invalidate: boolean; mergedHash: ValueHash | undefined },
): Plan {
  const held = entry?.presence === "live" ? entry.held : undefined;
  if (options.invalidate) return withoutCopy(entry);
  const wanted = wantedOf(shows, options);
  if (wanted === undefined) {
    return held === undefined
      ? { write: "none", presence: "tombstone" }
      : { write: "remove", presence: "tombstone" };
  }
  const isHeld =
    held !== undefined &&
    held.hash === wanted.hash &&
    held.expiresAt === wanted.expiresAt &&
    held.maxIdleMs === wanted.maxIdleMs;
  return isHeld ? { write: "none", presence: "live" } : { write: "put", wanted };
}

/** How a key comes to have no copy here, with its versions known. */
export function withoutCopy(entry: Entry | undefined): Plan {
  const isHeld = entry?.presence === "live" && entry.held !== undefined;
  return { write: isHeld ? "remove" : "none", presence: "absent" };
}

function wantedOf(
  shows: Shown,
  { now, mergedHash }: { now: number; mergedHash: ValueHash | undefined },
): Wanted | undefined {
  if (shows === undefined || shows.kind === "remove") return undefined;
  const expiresAt = shows.expiresAt === 0 ? 0 : shows.expiresAt + shows.offsetMs;
  // What arrives past its expiry still superseded what was here.
  if (expiresAt !== 0 && expiresAt <= now) return undefined;
  const hash = shows.kind === "merged" ? (mergedHash ?? "") : shows.hash;
  const of = shows.kind === "merged" ? undefined : { author: shows.author, dot: shows.dot };
  return { hash, value: shows.value, expiresAt, maxIdleMs: shows.maxIdleMs, of };
}

/** The versions as the ledger keeps them: value bytes only with the siblings in `keep`. */
export function withKeptValues(versions: Versions, keep: readonly Sibling[]): Versions {
  const siblings = versions.siblings.map((sibling) =>
    sibling.value === undefined || keep.includes(sibling) ? sibling : withoutValue(sibling),
  );
  return { context: versions.context, siblings };
}

/** The same siblings, each with `value` if it has `hash` and no bytes yet. */
export function withValue(versions: Versions, hash: ValueHash, value: Uint8Array): Versions {
  const siblings = versions.siblings.map((s) =>
    s.kind === "put" && s.hash === hash && s.value === undefined ? { ...s, value } : s,
  );
  return { context: versions.context, siblings };
}

/** What shows of a key's versions, and whose values the ledger keeps. */
export interface Resolved {
  readonly versions: Versions;
  readonly shows: Shown;
  readonly keep: readonly Sibling[];
  /** Whether all values that a merge reads are at hand. */
  readonly isKnown: boolean;
}

/** One version alone shows, and its value is in the cache. */
export const resolvedAlone = (versions: Versions): Resolved => ({
  versions: withKeptValues(versions, []),
  shows: versions.siblings[0],
  keep: [],
  isKnown: true,
});

/** Nothing shows, whatever the versions are. */
export const resolvedNowhere = (versions: Versions): Resolved => ({
  ...resolvedAlone(versions),
  shows: undefined,
});
