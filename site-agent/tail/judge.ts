import type { CacheState } from "../../topology/ports.ts";
import type { Entry, Held, ValueHash } from "../../topology/version/entry.ts";
import { maxIdleOf, writtenAt } from "../../topology/version/max-idle.ts";
import { type Mark, tellsOfChange } from "./dirty-keys.ts";

/** What a read of one key says beside the ledger's row and the mark that asked for it. */
export type Verdict =
  /** The ledger has it already. */
  | { readonly is: "same" }
  /** The answer is older than the event, or the reason of an absence is not known yet: read again. */
  | { readonly is: "unsettled" }
  /** The state is the one that the ledger expects; its token is now known. */
  | {
      readonly is: "token";
      readonly seenBy: number;
      /** The newest event is of another write, older or newer: read again until one comes that fits. */
      readonly settled: boolean;
    }
  /** A local change: it gets a version. */
  | {
      readonly is: "put";
      readonly seenBy: number;
      /** The newest event is of another write, older or newer: read again until one comes that fits. */
      readonly settled: boolean;
    }
  /** No local change: a known version came back to a key without a copy, or, under `invalidate`, a copy was loaded. */
  | { readonly is: "adopt"; readonly seenBy: number }
  | { readonly is: "remove" }
  /** Gone by its own expiry: versions stay, nothing is published. */
  | { readonly is: "expired" }
  /** Gone because nobody used it here: a client of a peer may have, so the peers are asked first. */
  | { readonly is: "idle" }
  /** Gone, and nothing says why: never a remove by itself (design section 7). */
  | { readonly is: "absence" };

/** All that {@link judge} looks at; pure data. */
export interface Evidence {
  readonly entry: Entry | undefined;
  readonly mark: Mark;
  /** undefined: the key is missing. */
  readonly state: CacheState | undefined;
  /** Hash of the state's value; "" when it is missing. */
  readonly hash: ValueHash;
  /** ms since the epoch. */
  readonly now: number;
  /** Number of the listener that is registered now. */
  readonly listener: number;
  /** How far an absence may lie from the ledger's expiry and still be that expiry: maxClockSkew + 2 s. */
  readonly expirySlackMs: number;
  readonly invalidate: boolean;
  /** Whether there are peers to ask for the last use of what went idle: never under `invalidate`. */
  readonly asksPeers: boolean;
  /** The key held this state a moment ago, and the ledger knows a newer one. */
  readonly isPast: boolean;
}

/** Metadata floors a lifespan to seconds, and clocks are set right by steps, so equal expiries may be read up to this far apart. */
export const EXPIRY_TOLERANCE_MS = 1_500;

/** Whether two expiries are the same write's, as far as metadata can tell. */
export function sameExpiry(
  a: { expiresAt: number; maxIdleMs: number },
  b: { expiresAt: number; maxIdleMs: number },
): boolean {
  if ((a.expiresAt === 0) !== (b.expiresAt === 0)) return false;
  if (Math.abs(a.expiresAt - b.expiresAt) > EXPIRY_TOLERANCE_MS) return false;
  return Math.abs(a.maxIdleMs - b.maxIdleMs) < 1_000;
}

/**
 * Whether an event alone shows that the token which a committed apply left unknown is this event's: it has the hash, it is
 * the only event since, it is no re-run, and the event of the state that was replaced had been seen, so that the next one
 * is ours (design section 3.9).
 */
export function isEchoEvent(held: Held | undefined, mark: Mark, listener: number): boolean {
  return (
    held !== undefined &&
    held.token === undefined &&
    held.seenBy === listener &&
    mark.events === 1 &&
    !mark.retried &&
    mark.token !== undefined &&
    mark.token !== 0n &&
    mark.hash === held.hash
  );
}

/** Decides what a read means. Total: every combination has an answer. */
export function judge(evidence: Evidence): Verdict {
  return evidence.state === undefined
    ? judgeMissing(evidence)
    : judgePresent(evidence, evidence.state);
}

function judgeMissing(evidence: Evidence): Verdict {
  const { entry, mark, invalidate, isPast } = evidence;
  // A write was reported, or a scan saw it: so a replica lags, or what took the entry away again is still to be reported.
  const isAwaited = mark.cause === "created" || mark.cause === "modified" || mark.isThere === true;
  // A remove of a key that was not here still emits an event: it changed nothing.
  if (entry === undefined || entry.presence === "tombstone") {
    return { is: isAwaited ? "unsettled" : "same" };
  }
  if (entry.presence === "absent") {
    if (isAwaited) return { is: "unsettled" };
    return mark.cause === "removed" && !invalidate ? { is: "remove" } : { is: "same" };
  }
  if (mark.cause === "removed") {
    // Events of a key come in their order, and that of what was put here last has not come: this one may be of what was here
    // before, and the answer too.
    const mayBeOlder = isPast && mark.events === 1 && entry.held?.seenBy !== evidence.listener;
    return { is: mayBeOlder ? "unsettled" : "remove" };
  }
  // What came and went since is not what the ledger has: its own end says nothing of it.
  if (isAwaited) return { is: "unsettled" };
  const end = endOf(entry, mark.cause, evidence);
  if (end !== undefined) return { is: end };
  // What expired was not what the ledger has, but a local write that came and went uncaptured: it superseded this all the same.
  if (mark.cause === "expired") return { is: "remove" };
  return mark.cause === "scan" && !isPast ? { is: "absence" } : { is: "unsettled" };
}

/**
 * How a live entry that is missing ended by itself: its lifespan, or a max-idle that may have run out here alone;
 * undefined: neither is known. `cause` is the newest event's, if there was one.
 */
export function endOf(
  { held, ...versions }: Entry,
  cause: Mark["cause"] | undefined,
  { now, expirySlackMs, asksPeers }: Pick<Evidence, "now" | "expirySlackMs" | "asksPeers">,
): "expired" | "idle" | undefined {
  const { expiresAt, maxIdleMs } = held ?? { expiresAt: 0, maxIdleMs: 0 };
  if (expiresAt > 0 && now >= expiresAt - expirySlackMs) return "expired";
  if (cause === "expired" && maxIdleMs > 0) return asksPeers ? "idle" : "expired";
  // Nobody listened: it may have been removed as well, but a peer where a client used it since says that it is wanted.
  const isUnseen = cause === "scan" || cause === undefined;
  const isOver = maxIdleMs > 0 && now >= writtenAt(versions) + maxIdleMs - expirySlackMs;
  return isUnseen && isOver && asksPeers ? "idle" : undefined;
}

function judgePresent(evidence: Evidence, state: CacheState): Verdict {
  const { entry, mark, hash, listener, invalidate } = evidence;
  // Without a listener (-1) nothing is sure to have been reported.
  const seenBy = mark.token === state.token ? Math.max(0, listener) : 0;
  const held = entry?.presence === "live" ? entry.held : undefined;
  // A write that draws no token (REST, embedded) leaves the entry's: one token may stand for several states.
  const isHeld = held?.token === state.token && held.hash === hash;
  if (evidence.isPast && !isHeld) return { is: "unsettled" };
  const isGone = mark.cause === "removed" || mark.cause === "expired";
  // The event was of another write: the answer came from a replica that lags, or an event of it is still to come. Where no
  // token was drawn the bytes alone tell.
  const isOtherToken = mark.token !== undefined && mark.token !== state.token;
  const isOtherValue = mark.hash !== undefined && mark.hash !== hash;
  const isOther = isGone || isOtherToken || isOtherValue;
  const put = { is: "put", seenBy, settled: !isOther } as const;
  if (held === undefined) {
    // Nor is what a replica still tells of a key that is gone a local change.
    if (isGone) return { is: "unsettled" };
    // What the read found came behind the load that the event tells of: its own event says whether it is a change.
    const isUntold = invalidate && entry?.presence === "absent" && mark.cause !== "scan" && isOther;
    if (isUntold && !tellsOfChange(mark)) return { is: "unsettled" };
    return isKnownCopy(entry, hash, mark, invalidate) ? { is: "adopt", seenBy } : put;
  }
  const equalState = hash === held.hash && sameExpiry(state, held);
  if (state.token === 0n) {
    // No token at all: value, expiry and nothing else can tell.
    if (!equalState) return { ...put, seenBy: 0 };
    if (isOther) return { is: "unsettled" };
    // The row must not go on with a token that an apply would be refused for: its read would look like a change of that moment.
    return held.token === 0n ? { is: "same" } : { is: "token", seenBy: 0, settled: true };
  }
  if (isHeld) return { is: isOther ? "unsettled" : "same" };
  if (held.token === undefined && equalState) return { is: "token", seenBy, settled: !isOther };
  return put;
}

/**
 * Whether what came up at a key without a copy here is no local change: a known version came back by itself, or, under
 * `invalidate`, a client loaded it and did nothing else. `mark`: what is known of the key's newest events, if anything is.
 */
export function isKnownCopy(
  entry: Entry | undefined,
  hash: ValueHash,
  mark: Mark | undefined,
  invalidate: boolean,
): boolean {
  if (entry?.presence !== "absent") return false;
  if (invalidate) return mark === undefined || !tellsOfChange(mark);
  return entry.siblings.some((s) => s.hash === hash) && !isPutAnew(entry, mark?.cause);
}

/**
 * Whether a listener saw a key that had gone idle come up again: a client put it, perhaps with the same bytes, and at the
 * peers it may have ended by now.
 */
function isPutAnew(entry: Entry, cause: Mark["cause"] | undefined): boolean {
  return cause === "created" && maxIdleOf(entry) !== undefined;
}

/**
 * The time that conflict policies compare: for a change that a live listener reported undefined (its dot's own), for one
 * that was found while changes may have been missed the entry's own time where the metadata has it, else the start of that.
 */
export function dateOf(state: CacheState, unseenSince: number | undefined): number | undefined {
  if (unseenSince === undefined) return undefined;
  return state.createdAt > 0 ? state.createdAt : unseenSince;
}

/** Beyond any clock: 2100-01-01, ms since the epoch. */
const FAR_MS = 4_102_444_800_000;

/**
 * The time of what a cache holds without a date when its site looks at it for the first time, in January 1970: older than all
 * that anybody dated, and the older the later the site came. Who joins the others last gives way.
 */
export function undatedAt(firstLookMs: number): number {
  return Math.max(0, Math.floor((FAR_MS - firstLookMs) / 1_000));
}
