import { CAPTURE_IN_FLIGHT_MAX, LAGGING_READ_MS_MAX } from "../../topology/limits.ts";
import type {
  CacheConnector,
  CacheEvent,
  CacheLedger,
  CacheState,
  Clock,
  Ledger,
} from "../../topology/ports.ts";
import type { Entry, Held, Key, ValueHash, Versions } from "../../topology/version/entry.ts";
import type { CacheStats } from "../cache-stats.ts";
import type { DotReserve } from "../dot-reserve.ts";
import type { GivenCopies } from "../given-copies.ts";
import type { KeyLocks } from "../key-locks.ts";
import type { UnknownWrite, UnknownWrites } from "../apply/unknown-writes.ts";
import type { PastStates } from "../past-states.ts";
import type { LocalChanges } from "../local-changes.ts";
import { type DirtyKeys, expiredHash, type Mark } from "./dirty-keys.ts";
import { dateOf, isEchoEvent, judge, type Verdict } from "./judge.ts";

/** What {@link Capture} needs of its site. */
export interface CaptureParts {
  readonly ledger: Ledger;
  readonly rows: CacheLedger;
  readonly connector: CacheConnector;
  readonly locks: KeyLocks;
  readonly dirty: DirtyKeys;
  readonly changes: LocalChanges;
  readonly dots: DotReserve;
  readonly stats: CacheStats;
  readonly clock: Clock;
  readonly hash: (value: Uint8Array) => ValueHash;
  readonly expirySlackMs: number;
  readonly invalidate: boolean;
  /** Whether there are peers to ask for the last use of what went idle. */
  readonly asksPeers: boolean;
  /** A key went idle: it waits as `absent` until the peers were asked. */
  readonly onIdle: (key: Key) => void;
  /** The cache evicts: what an event reported may be gone before it is read, and nothing will say so. */
  readonly evicts: () => boolean;
  readonly unknownWrites: UnknownWrites;
  readonly past: PastStates;
  readonly copies: GivenCopies;
  /** Of what a scan found, or came up and is no change: it may be older than what the row, whose versions are given, shows. */
  readonly isDoubtful: (versions: Versions, hash: ValueHash) => boolean;
  /** What a key holds is not what its row says that shows: it is to be written again. */
  readonly onSuperseded: (key: Key) => void;
  /** A write of ours without an answer was done after all: the key's row is to say so. */
  readonly onStray: (
    key: Key,
    entry: Entry | undefined,
    found: { readonly read: Read; readonly write: UnknownWrite },
  ) => void;
  /** Number of the listener that is registered now. */
  readonly listener: () => number;
  /** Something may have been missed: the cache falls into a gap, for this reason. */
  readonly onGap: (reason: string) => void;
  /**
   * What was reported is gone, and in {@link LAGGING_READ_MS_MAX} no event told why. While a gap is open, that event may be
   * what was missed.
   */
  readonly onUntoldLoss: (key: Key) => void;
  /** An event told that a key is gone. */
  readonly onGone: (key: Key) => void;
  /** A scan's absence, confirmed by this read: the scan judges it and stages what follows. */
  readonly onAbsence: (key: Key, entry: Entry, mark: Mark) => void;
  /** The cache or the ledger fails, so many times in a row by now: tried again. */
  readonly onFailure: (error: unknown, failures: number) => void;
}

/**
 * Turns dirty keys into versions. Level-triggered: an event only says which key to look at, so events may be lost, doubled
 * or late, and a hot key conflates by itself.
 */
export class Capture {
  readonly #parts: CaptureParts;
  #running = false;
  /** Keys that wait for their next read, each with its mark. */
  readonly #deferred = new Map<Key, { readonly mark: Mark; readonly cancel: () => void }>();
  /** Who waits for captures of a key, each with the number that it still waits for. */
  readonly #awaited = new Map<Key, Array<{ captures: number; readonly resolve: () => void }>>();
  /** Keys that are held whose mark was put back: what is read of them does not count. */
  readonly #putBack = new Set<Key>();
  #failures = 0;
  #isPumping = false;
  #idle: Array<() => void> = [];

  constructor(parts: CaptureParts) {
    this.#parts = parts;
  }

  /** Keys that are dirty, being read or waiting for their next read. */
  get pending(): number {
    return this.#parts.dirty.size + this.#parts.dirty.held + this.#deferred.size;
  }

  /** Starts or goes on capturing; marks gather meanwhile. */
  start(): void {
    this.#running = true;
    this.#pump();
  }

  /** Takes no further key; resolves when what is in flight has ended. */
  async stop(): Promise<void> {
    this.#running = false;
    while (this.#parts.dirty.held > 0) {
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
  }

  /** Resolves when nothing is dirty any more (or capture was stopped). */
  async drained(): Promise<void> {
    while (this.#running && this.pending > 0) {
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
  }

  /** Resolves once all that was reported of these keys by now has been captured; of all keys if none are named. */
  async captured(keys?: readonly Key[]): Promise<void> {
    const { dirty } = this.#parts;
    const waits: Array<Promise<void>> = [];
    for (const key of keys ?? [...dirty.keys(), ...this.#deferred.keys()]) {
      // What is being read may have been read before its newest mark came.
      const captures = Number(dirty.isHeld(key)) + Number(dirty.peek(key) !== undefined);
      if (captures === 0 && !this.#deferred.has(key)) continue;
      const resolved = new Promise<void>((resolve) => {
        const awaited = this.#awaited.get(key) ?? [];
        awaited.push({ captures: Math.max(1, captures), resolve });
        this.#awaited.set(key, awaited);
      });
      waits.push(resolved);
    }
    await Promise.all(waits);
  }

  /** Marks a key by a listener's event. Never blocks. */
  onEvent(reported: CacheEvent): void {
    const { dirty, rows, stats, unknownWrites, onGap } = this.#parts;
    stats.events += 1;
    // An expiry brings the token and the value that are gone: they say nothing about what is there now.
    const event = reported.cause === "expired" ? { ...reported, token: undefined } : reported;
    const { key } = event;
    if (event.cause === "removed" || event.cause === "expired") this.#parts.onGone(key);
    if (event.token !== undefined && !event.retried) {
      unknownWrites.overtaken(key, event.token);
    }
    // A read of the row for each event would cost more than the marks that it saves: capture drops a known token anyway.
    const isKnown =
      (event.retried || this.#deferred.has(key)) && this.#isKnown(event, rows.get(key));
    // A run repeated by the server may be reported late: it says nothing about the marks before it.
    if (isKnown && event.retried) return;
    const waiting = this.#takeDeferred(key);
    if (isKnown) {
      this.#pump();
      return;
    }
    if (waiting !== undefined) dirty.putBack(key, waiting);
    const isOurs = event.cause === "removed" && unknownWrites.mayRemove(key);
    if (!dirty.markEvent(event, isOurs)) onGap("more dirty keys than the bound");
    this.#pump();
  }

  /** Marks a key that a scan found different. False: the bound is reached, wait for {@link drained}. */
  onScanned(key: Key, gapStart: number, isThere: boolean): boolean {
    if (this.#deferred.has(key)) return true;
    const fits = this.#parts.dirty.markScan(key, gapStart, isThere);
    this.#pump();
    return fits;
  }

  /** An event of the very token that the ledger has, already seen by this listener: nothing to do. */
  #isKnown(event: CacheEvent, entry: Entry | undefined): boolean {
    const { dirty, listener } = this.#parts;
    return (
      event.token !== undefined &&
      event.token !== 0n &&
      entry?.held?.token === event.token &&
      isOfHash(entry.held, event.hash) &&
      entry.held.seenBy === listener() &&
      dirty.peek(event.key) === undefined &&
      !dirty.isHeld(event.key)
    );
  }

  #pump(): void {
    // What ends at once asks for the next, which the loop below takes: a stack as deep as the backlog would be none.
    if (this.#isPumping) return;
    this.#isPumping = true;
    const { dirty } = this.#parts;
    while (this.#running && dirty.held < CAPTURE_IN_FLIGHT_MAX) {
      const next = dirty.takeNext();
      if (next === undefined) break;
      const [key, mark] = next;
      this.#captureOne(key, mark);
    }
    this.#isPumping = false;
    if (dirty.held === 0 || this.pending === 0) {
      const idle = this.#idle;
      this.#idle = [];
      for (const wake of idle) wake();
    }
  }

  #captureOne(key: Key, mark: Mark): void {
    const { locks, dots } = this.#parts;
    if (dots.mayDraw && locks.tryHold(key)) this.#captureHeld(key, mark);
    else void this.#captureInTurn(key, mark);
  }

  async #captureInTurn(key: Key, mark: Mark): Promise<void> {
    const { locks, dots } = this.#parts;
    try {
      if (!dots.mayDraw) await dots.ready();
    } catch (error) {
      this.#ended(key, mark, error);
      return;
    }
    if (!locks.tryHold(key)) await locks.turn(key);
    this.#captureHeld(key, mark);
  }

  /** Captures one key, whose lock is held until what it changed is committed. */
  #captureHeld(key: Key, taken: Mark): void {
    const { rows, locks, dirty, copies } = this.#parts;
    // Another event may have come while the key waited for its lock.
    const mark = dirty.latest(key, taken);
    let failure: unknown;
    try {
      const entry = rows.get(key);
      if (this.#isAfterRemove(key, mark) || !this.#isExplained(key, mark, entry)) {
        void this.#capture(key, mark, entry);
        return;
      }
      copies.settled(key);
    } catch (error) {
      failure = error;
    }
    locks.release(key);
    this.#ended(key, mark, failure);
  }

  #ended(key: Key, mark: Mark, error: unknown): void {
    if (error === undefined) this.#failures = 0;
    else {
      this.#failures += 1;
      this.#parts.onFailure(error, this.#failures);
      // Only answers that do not fit are counted: a mark may wait for the first one for long.
      const unread = { ...mark, attempts: mark.attempts - 1 };
      this.#defer(key, unread, Math.min(2 ** Math.min(this.#failures, 10), 1_000));
    }
    const { dirty } = this.#parts;
    dirty.release(key);
    const isAgain = this.#putBack.delete(key) || this.#deferred.has(key);
    if (this.#awaited.size > 0 && !isAgain) this.#toldCaptured(key);
    this.#pump();
  }

  /** A key was read, and its mark is not put back: whoever waits for that waits for one capture less. */
  #toldCaptured(key: Key): void {
    const awaited = this.#awaited.get(key);
    if (awaited === undefined) return;
    const isPending = this.#parts.dirty.peek(key) !== undefined;
    const left = awaited.filter((one) => {
      one.captures -= 1;
      if (one.captures > 0 && isPending) return true;
      one.resolve();
      return false;
    });
    if (left.length === 0) this.#awaited.delete(key);
    else this.#awaited.set(key, left);
  }

  /** Whether a client's remove came before the copy that the key was given for want of one. */
  #isAfterRemove(key: Key, mark: Mark): boolean {
    return mark.afterRemove === true && this.#parts.copies.before(key) !== undefined;
  }

  /** Whether the mark alone says that the ledger has it: an echo, a known token, the event of our own remove. */
  #isExplained(key: Key, mark: Mark, entry: Entry | undefined): boolean {
    const { rows, stats, listener } = this.#parts;
    const held = entry?.held;
    if (entry !== undefined && held !== undefined && entry.presence === "live") {
      if (isEchoEvent(held, mark, listener())) {
        stats.echoesByEvent += 1;
        rows.put(key, { ...entry, held: { ...held, token: mark.token } });
        return true;
      }
      const isKnown = mark.token !== undefined && mark.token !== 0n && held.token === mark.token;
      if (!isKnown || !isOfHash(held, mark.hash)) return false;
      if (listener() > 0 && held.seenBy !== listener()) {
        rows.put(key, { ...entry, held: { ...held, seenBy: listener() } });
      }
      return true;
    }
    if (mark.cause !== "removed" || entry?.presence === "absent") return false;
    // Our own remove, or one of a key that was not here.
    this.#parts.unknownWrites.explain(key, undefined, "");
    return true;
  }

  /** Reads the key and stages what that says. Never rejects. */
  async #capture(key: Key, mark: Mark, entry: Entry | undefined): Promise<void> {
    const { connector, ledger, stats, locks, dots, hash } = this.#parts;
    let failure: unknown;
    try {
      stats.captureReads += 1;
      const state = await connector.read(key);
      const read = { state, hash: state === undefined ? "" : hash(state.value) };
      const verdict = this.#judge(key, mark, entry, read);
      if (!this.#isOurs(key, mark, entry, [verdict, read])) {
        // The read may have taken long: the reservation and the lease are asked for again.
        if (MAY_DRAW_A_DOT.has(verdict.is) && !dots.mayDraw) await dots.ready();
        if (this.#settle(key, mark, entry, [verdict, read])) await ledger.commit();
      }
    } catch (error) {
      failure = error;
    }
    locks.release(key);
    this.#ended(key, mark, failure);
  }

  #judge(key: Key, mark: Mark, entry: Entry | undefined, { state, hash }: Read): Verdict {
    const { clock, listener, expirySlackMs, invalidate, asksPeers, past } = this.#parts;
    return judge({
      entry,
      mark,
      state,
      hash,
      now: clock.now(),
      listener: listener(),
      expirySlackMs,
      invalidate,
      asksPeers,
      isPast: past.has(key, state, hash),
    });
  }

  /** Whether what looks like a local change is a write of ours that had no answer. */
  #isOurs(
    key: Key,
    mark: Mark,
    entry: Entry | undefined,
    [verdict, read]: [Verdict, Read],
  ): boolean {
    const { unknownWrites, stats, past, onStray } = this.#parts;
    const isChange = verdict.is === "put" || verdict.is === "remove";
    const write = isChange
      ? unknownWrites.explain(
          key,
          read.state,
          read.hash || expiredHash(mark),
          entry?.held,
          mark.retried,
        )
      : undefined;
    if (write !== undefined) {
      stats.intentsMatched += 1;
      onStray(key, entry, { read, write });
      return true;
    }
    const isGone = verdict.is === "expired" || verdict.is === "idle";
    if (isChange || isGone) past.replaced(key, entry?.held);
    return false;
  }

  /** Stages what the verdict says; true if something is to be committed before the key's lock is given up. */
  #settle(
    key: Key,
    mark: Mark,
    entry: Entry | undefined,
    [verdict, { state, hash }]: [Verdict, Read],
  ): boolean {
    const { changes, rows, stats } = this.#parts;
    if (this.#settledCopy(key, mark, entry, [verdict, state])) return true;
    switch (verdict.is) {
      case "same":
        return false;
      case "unsettled":
        stats.laggingReads += 1;
        if (mark.cause === "removed" && state === undefined && isLastRead(mark)) {
          // No replica lags for so long: what its event told of is gone.
          changes.remove(key, entry, mark.gapStart);
          return true;
        }
        if (this.#parts.evicts() && state === undefined && isLastRead(mark)) {
          if (entry?.presence === "live") this.#parts.onAbsence(key, entry, mark);
          return entry?.presence === "live";
        }
        if (state === undefined && isLastRead(mark) && wasWritten(mark))
          this.#parts.onUntoldLoss(key);
        this.#readAgain(key, mark);
        return false;
      case "token":
        if (entry?.held === undefined || state === undefined) return false;
        stats.echoesByRead += 1;
        rows.put(key, {
          ...entry,
          held: { ...entry.held, token: state.token, seenBy: verdict.seenBy },
        });
        if (!verdict.settled) this.#readAgain(key, mark);
        return false;
      case "put":
        if (state === undefined) return false;
        changes.put(key, entry, state, hash, {
          at: dateOf(state, mark.gapStart),
          seenBy: verdict.seenBy,
        });
        if (mark.cause === "scan" && entry !== undefined && this.#parts.isDoubtful(entry, hash))
          this.#parts.onSuperseded(key);
        if (!verdict.settled) this.#readAgain(key, mark);
        return true;
      case "remove":
        changes.remove(key, entry, mark.gapStart);
        return true;
      case "expired":
        if (entry === undefined) return false;
        stats.expired += 1;
        rows.put(key, { ...entry, presence: "tombstone", held: undefined });
        return true;
      case "idle":
        if (entry === undefined) return false;
        rows.put(key, { ...entry, presence: "absent", held: undefined });
        this.#parts.onIdle(key);
        return true;
      case "adopt":
        if (entry === undefined || state === undefined) return false;
        rows.put(key, { ...entry, presence: "live", held: heldOf(state, hash, verdict.seenBy) });
        if (this.#parts.isDoubtful(entry, hash)) this.#parts.onSuperseded(key);
        return true;
      case "absence":
        if (entry !== undefined) this.#parts.onAbsence(key, entry, mark);
        return entry !== undefined;
    }
  }

  /**
   * The newest event of a key was looked at: if it is of the copy that the key was given, what came before that is known by
   * now. True: a client's remove did, which the copy undid, and was staged.
   */
  #settledCopy(
    key: Key,
    mark: Mark,
    entry: Entry | undefined,
    [verdict, state]: [Verdict, CacheState | undefined],
  ): boolean {
    const { copies, changes, listener, onSuperseded } = this.#parts;
    const before = copies.before(key);
    if (before === undefined || !isSettled(verdict)) return false;
    copies.settled(key);
    const isCopy = verdict.is === "same" || verdict.is === "token";
    if (!isCopy || mark.afterRemove !== true || entry?.held === undefined || state === undefined)
      return false;
    const held = { ...entry.held, token: state.token, seenBy: Math.max(0, listener()) };
    changes.removedBefore(key, before, { ...entry, held });
    onSuperseded(key);
    return true;
  }

  /** A replica lagged, or the reason of an absence is still under way: read again, with back-off, for a bounded time. */
  #readAgain(key: Key, mark: Mark): void {
    if (isLastRead(mark)) {
      this.#parts.onGap("a key's read did not fit its events");
      return;
    }
    this.#defer(key, mark, readDelayMs(mark));
  }

  #defer(key: Key, mark: Mark, delayMs: number): void {
    const { clock, dirty } = this.#parts;
    // A newer mark came during the read: it is read at once.
    if (dirty.peek(key) !== undefined) {
      dirty.putBack(key, mark);
      this.#putBack.add(key);
      return;
    }
    const cancel = clock.after(delayMs, () => {
      this.#deferred.delete(key);
      dirty.putBack(key, mark);
      this.#pump();
    });
    this.#deferred.set(key, { mark, cancel });
    dirty.setAside(key, mark);
  }

  /** The mark of a key that waits for its next read; it waits no longer. */
  #takeDeferred(key: Key): Mark | undefined {
    const waiting = this.#deferred.get(key);
    waiting?.cancel();
    this.#deferred.delete(key);
    this.#parts.dirty.setAside(key, undefined);
    return waiting?.mark;
  }
}

/** Whether an event is of these bytes, as far as it tells: a write that draws no token (REST) leaves the entry's. */
const isOfHash = (held: Held, hash: ValueHash | undefined): boolean =>
  hash === undefined || hash === held.hash;

/** Whether a verdict is the last one for its mark. */
const isSettled = (verdict: Verdict): boolean =>
  verdict.is !== "unsettled" && (!("settled" in verdict) || verdict.settled);

/** How long a key waits for its next read; twice as long each time. */
const readDelayMs = ({ attempts }: Mark): number => 2 ** attempts * 4;

/** Verdicts that may end as a local change. */
const MAY_DRAW_A_DOT: ReadonlySet<Verdict["is"]> = new Set([
  "put",
  "remove",
  "absence",
  "unsettled",
]);

const isLastRead = (mark: Mark): boolean => readDelayMs(mark) > LAGGING_READ_MS_MAX;

/** Whether the newest event tells of a write, and no older one may have come after it. */
const wasWritten = ({ cause, retried, afterRemove }: Mark): boolean =>
  (cause === "created" || cause === "modified") && !retried && afterRemove !== true;

/** What a key held when it was read. */
export interface Read {
  readonly state: CacheState | undefined;
  readonly hash: ValueHash;
}

function heldOf(state: CacheState, hash: ValueHash, seenBy: number): Held {
  const { token, expiresAt, maxIdleMs } = state;
  return { hash, token, seenBy, expiresAt, maxIdleMs };
}
