import { MIRROR_STALL_MS } from "../../topology/limits.ts";
import type { LogState, MirrorState } from "../../topology/ports.ts";

/** What a mirror looks like against what its origin announces. */
export type MirrorVerdict =
  | "ok"
  | "missing"
  /** The origin's log was made anew: apply this mirror to its end, then `recreate`. */
  | "recreated"
  /** The mirror has more than the log: the log lost its end, and its site will make it anew. */
  | "ahead";

/**
 * Judges a mirror against its origin's heartbeat. `mirror` must have been read before the origin wrote that heartbeat (two
 * beats and a round trip are plenty): a mirror that is read later may rightly have more than was announced.
 */
export function judgeMirror(mirror: MirrorState | undefined, announced: LogState): MirrorVerdict {
  if (mirror === undefined) return "missing";
  if (mirror.originCreated !== announced.created) return "recreated";
  return mirror.lastSeq > announced.lastSeq ? "ahead" : "ok";
}

/**
 * Whether records of a cache were trimmed from a log or a mirror before they were read: a gap.
 *
 * `position` is the last sequence applied, `end` the sequence of the newest record of this cache that the origin confirmed;
 * a cache that nobody writes to has an old position and misses nothing.
 *
 * Of a mirror's own state `position` is the ledger's. Of the origin's announced state it is the mirror's last sequence, if
 * that is higher: what goes before it was mirrored is skipped by the mirror without a word, and its `firstSeq` stays.
 */
export function trimmedPast(state: LogState, position: number, end: number): boolean {
  return position < end && state.firstSeq > position + 1;
}

/** How far a mirror has come, and since when it stands there with something left to fetch. */
export interface MirrorProgress {
  readonly lastSeq: number;
  /** On the monotonic clock; undefined: there is nothing to fetch. */
  readonly waitingSinceMs: number | undefined;
}

/** The progress after one more look at `lastSeq`, toward the end that the origin last announced. */
export function progressed(
  before: MirrorProgress | undefined,
  lastSeq: number,
  announcedSeq: number,
  nowMs: number,
): MirrorProgress {
  if (lastSeq >= announcedSeq) return { lastSeq, waitingSinceMs: undefined };
  const stands = before?.lastSeq === lastSeq;
  return { lastSeq, waitingSinceMs: (stands ? before.waitingSinceMs : undefined) ?? nowMs };
}

/** A mirror that stands still for `MIRROR_STALL_MS` with something left to fetch, whatever its own `lag` says. */
export const isStalled = (progress: MirrorProgress, nowMs: number): boolean =>
  progress.waitingSinceMs !== undefined && nowMs - progress.waitingSinceMs >= MIRROR_STALL_MS;
