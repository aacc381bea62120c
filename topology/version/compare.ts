import { hash } from "node:crypto";
import { EMPTY_CONTEXT, covers, coversAll, joinContexts } from "./context.ts";
import type { Context, Entry, Key, Sibling, Versions } from "./entry.ts";
import { mergeVersions, seen } from "./join.ts";
import { maxIdleOf } from "./max-idle.ts";

/** What two sites compare one entry by; nothing of it depends on the site that says it, but for the copy. */
export interface Comparing {
  /** The lower of the two sites' floors: what it covers both have applied in every key, so it is left out. */
  readonly level: Context;
  /** This site's time, ms since the epoch. */
  readonly now: number;
  /** Whether a site without a copy lacks one: not under `invalidate`. */
  readonly copies: boolean;
}

/** Bytes of a digest. */
export const DIGEST_BYTES = 16;

/** The lower of two floors: per site the lower dot. */
export function lowerOf(a: Context, b: Context): Context {
  if (a.size === 0 || b.size === 0) return EMPTY_CONTEXT;
  const lower = new Map<string, bigint>();
  for (const [site, dot] of a) {
    const other = b.get(site) ?? 0n;
    const least = dot < other ? dot : other;
    if (least > 0n) lower.set(site, least);
  }
  return lower;
}

/** Whether this site should hold a copy of a key and holds none. One that went idle waits for its last use to be known. */
export function lacksCopy(entry: Entry, { now, copies }: Comparing): boolean {
  if (!copies || entry.presence !== "absent" || maxIdleOf(entry) !== undefined) return false;
  return entry.siblings.some(
    ({ kind, expiresAt, offsetMs }) =>
      kind === "put" && (expiresAt === 0 || expiresAt + offsetMs > now),
  );
}

/**
 * An entry as text that is the same at two sites if and only if they hold the same versions, have seen the same of the key,
 * and both have a copy; undefined for one that digests leave out: a tombstone that both may drop.
 */
export function comparedText(key: Key, entry: Entry, by: Comparing): string | undefined {
  const { level } = by;
  const isGone = entry.presence === "tombstone" && coversAll(level, entry.context);
  if (isGone && entry.siblings.every((s) => covers(level, s.author, s.dot))) return undefined;
  let text = `${key.length} ${key}${lacksCopy(entry, by) ? "-" : "+"}`;
  for (const { author, dot, kind, hash: value } of entry.siblings) {
    text += `${author} ${dot.toString(16)} ${kind} ${value},`;
  }
  const seenAbove: string[] = [];
  for (const [site, dot] of entry.context) {
    if (!covers(level, site, dot)) seenAbove.push(`${site} ${dot.toString(16)}`);
  }
  if (seenAbove.length > 1) seenAbove.sort();
  return `${text};${seenAbove.join(",")}\n`;
}

/** 128 bits over one or many {@link comparedText}s, in the order of their keys. */
export const digestOf = (text: string): Buffer =>
  hash("sha256", text, "buffer").subarray(0, DIGEST_BYTES);

/** One site's side of a key, without its values. */
export interface Side {
  readonly versions: Versions | undefined;
  readonly floor: Context;
  /** It holds a copy. */
  readonly isLive: boolean;
  /** See {@link lacksCopy}. */
  readonly lacksCopy: boolean;
}

/** Which of two sites lacks something of a key that the other has. */
export function whoLacks(
  mine: Side,
  theirs: Side,
  level: Context,
): { readonly mine: boolean; readonly theirs: boolean } {
  const merged = mergedEntry(mine.versions, mine.floor, theirs.versions, theirs.floor);
  const lacks = (side: Side, other: Side): boolean =>
    (side.lacksCopy && other.isLive) || isBehind(side.versions, merged, level);
  return { mine: lacks(mine, theirs), theirs: lacks(theirs, mine) };
}

function isBehind(
  versions: Versions | undefined,
  merged: Versions | undefined,
  level: Context,
): boolean {
  if (merged === undefined) return false;
  if (versions === undefined) return merged.siblings.length > 0;
  if (!sameSiblings(versions.siblings, merged.siblings)) return true;
  return !coversAll(joinContexts(versions.context, level), merged.context);
}

/**
 * Two sites' entries of one key as one that has one at either: where nothing survives the key stays as a tombstone without
 * versions, which has seen what both have, until a round drops it. The site's floor may only join once the whole cache was
 * compared; undefined: neither has an entry.
 */
export function mergedEntry(
  a: Versions | undefined,
  floorA: Context,
  b: Versions | undefined,
  floorB: Context,
): Versions | undefined {
  const { versions } = mergeVersions(a, floorA, b, floorB);
  if (versions !== undefined || (a === undefined && b === undefined)) return versions;
  return { context: joinContexts(seen(a, floorA), seen(b, floorB)), siblings: [] };
}

/** A site's own entry with what a peer tells of the key; a key without an entry gets none where nothing survives. */
export function mergedWith(
  entry: Versions | undefined,
  floor: Context,
  peer: { readonly versions: Versions | undefined; readonly floor: Context },
): Versions | undefined {
  return entry === undefined
    ? mergeVersions(undefined, floor, peer.versions, peer.floor).versions
    : mergedEntry(entry, floor, peer.versions, peer.floor);
}

/** Whether two lists hold the same versions, which one order keeps comparable. */
export function sameSiblings(a: readonly Sibling[], b: readonly Sibling[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((s, i) => {
    const other = b[i];
    return s.author === other?.author && s.dot === other.dot && s.hash === other.hash;
  });
}
