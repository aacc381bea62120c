import { backOffMs } from "../../topology/back-off.ts";
import { setMaxListeners } from "node:events";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { MIRROR_STALL_MS, RETRY_MS_MAX } from "../../topology/limits.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type {
  Clock,
  Ledger,
  LogMirror,
  LogState,
  Logger,
  MirrorState,
  Random,
} from "../../topology/ports.ts";
import {
  isStalled,
  judgeMirror,
  progressed,
  trimmedPast,
  type MirrorProgress,
} from "../link/mirror-watch.ts";
import type { PositionStore } from "./position-store.ts";
import type { Receiver } from "./receiver.ts";

/** What {@link Inbound} needs of its site. */
export interface InboundParts {
  readonly origin: SiteName;
  readonly mirror: LogMirror;
  readonly ledger: Ledger;
  readonly positions: PositionStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The origin's log as its last heartbeat announced it; undefined: none was heard. */
  readonly announced: () => LogState | undefined;
  /** Sequence of a cache's newest record as announced, 0: it has none; undefined: nothing was heard of it. */
  readonly announcedEnd: (cache: CacheName) => number | undefined;
  /** Changes of these caches may have been missed. */
  readonly onGap: (caches: readonly CacheName[], reason: string) => void;
}

/** How far the mirror of one origin has come. */
export type InboundState = "waiting for the mirror" | "receiving" | "stalled" | "blocked";

/**
 * One origin's mirror and all that is read from it. It makes the mirror, notices when the origin's log was made anew or lost
 * its end, when the mirror stands still, and when either was trimmed past a position (I7).
 */
export class Inbound {
  readonly #parts: InboundParts;
  #state: InboundState = "waiting for the mirror";
  #problem: string | undefined;
  #progress: MirrorProgress | undefined;
  #mirror: MirrorState | undefined;
  readonly #receivers: Receiver[] = [];
  /** Caches that seem to miss records, with the position where they stand and since when, monotonic ms. */
  readonly #standing = new Map<CacheName, { readonly seq: number; readonly since: number }>();
  #restart: (() => void) | undefined;

  constructor(parts: InboundParts) {
    this.#parts = parts;
  }

  get origin(): SiteName {
    return this.#parts.origin;
  }

  get state(): InboundState {
    return this.#state;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** The mirror as it was last seen. */
  get mirror(): MirrorState | undefined {
    return this.#mirror;
  }

  get receivers(): readonly Receiver[] {
    return this.#receivers;
  }

  /** One more cache of this origin: begins with the next round, which begins at once. */
  add(receiver: Receiver): void {
    this.#receivers.push(receiver);
    this.#restart?.();
  }

  /** Receives until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#parts;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const mirror = await this.#ready();
        this.#problem = undefined;
        attempt = 0;
        await this.#receive(mirror, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#failed(error, logger);
      }
      const waits = { firstMs: 50, mostMs: RETRY_MS_MAX };
      await clock.sleep(backOffMs(attempt, waits, random), signal);
    }
  }

  #failed(error: unknown, logger: Logger): void {
    const isIsthmus = error instanceof IsthmusError;
    if (isIsthmus && error.code === ErrorCode.MirrorReplaced) {
      logger.info({ code: error.code }, error.message);
      return;
    }
    const reason = error instanceof Error ? error.message : String(error);
    const stops = isIsthmus && error.code === ErrorCode.WireVersionUnknown;
    this.#state = stops ? "blocked" : "waiting for the mirror";
    if (this.#problem !== reason) {
      const code = isIsthmus ? error.code : undefined;
      logger.error({ err: error, code }, "not receiving, tried again until it works");
    }
    this.#problem = reason;
  }

  /** The mirror, made if there is none; positions are put back if it follows another log than they count in. */
  async #ready(): Promise<MirrorState> {
    const { mirror, ledger, origin, positions, onGap } = this.#parts;
    let state = await mirror.state();
    if (state === undefined) {
      await mirror.recreate(this.#lowestPosition());
      state = await mirror.state();
    }
    if (state === undefined) {
      throw new IsthmusError(ErrorCode.MirrorReplaced, `the mirror of ${origin} is not there yet`);
    }
    const fact = `log/of/${origin}`;
    const known = ledger.fact(fact);
    const caches = this.#receivers.map((receiver) => receiver.cache);
    if (known !== state.originCreated) {
      // Before the commit: a crash must not keep the new positions and forget the gap.
      if (known !== undefined) onGap(caches, `the log of ${origin} was made anew`);
      for (const cache of caches) positions.restart(origin, cache);
      ledger.setFact(fact, state.originCreated);
      await ledger.commit();
    }
    this.#tellTrimmed(state.originCreated, state, 0);
    this.#mirror = state;
    return state;
  }

  #lowestPosition(): number {
    const { positions, origin } = this.#parts;
    return Math.min(...this.#receivers.map((r) => positions.get(origin, r.cache).seq));
  }

  async #receive(mirror: MirrorState, signal: AbortSignal): Promise<void> {
    const ended = new AbortController();
    // Every apply that waits for its next try listens to it: bounded by the receivers' windows, not by Node's default of ten.
    setMaxListeners(0, ended.signal);
    const stop = () => ended.abort();
    signal.addEventListener("abort", stop);
    // It may have aborted while the mirror was made ready.
    if (signal.aborted) stop();
    this.#restart = stop;
    this.#state = "receiving";
    let failure: unknown;
    const guard = async (work: Promise<void>) => {
      try {
        await work;
      } catch (error) {
        failure ??= error;
        stop();
      }
    };
    try {
      await Promise.all([
        guard(this.#watch(ended.signal)),
        ...this.receivers.map((r) => guard(r.run(mirror.created, ended.signal))),
      ]);
    } finally {
      signal.removeEventListener("abort", stop);
      this.#restart = undefined;
    }
    if (failure !== undefined) throw failure;
  }

  /**
   * Opens a gap, once, for each cache with records that were trimmed before they were read. Records of other caches leave
   * holes too: a cache without a record beyond what it has misses nothing.
   *
   * @param log the mirror, or the origin's log: what that trimmed before it was mirrored is skipped without a word
   * @param heldUpTo what was trimmed up to here is held elsewhere
   */
  #tellTrimmed(created: string, log: LogState, heldUpTo: number): void {
    const { origin, positions, onGap, announcedEnd } = this.#parts;
    for (const { cache } of this.#receivers) {
      const seq = Math.max(heldUpTo, positions.knownUpTo(origin, cache, created));
      const end = announcedEnd(cache) ?? log.lastSeq;
      if (!trimmedPast(log, seq, end)) continue;
      positions.setToldMissing(origin, cache, { created, seq: end });
      onGap([cache], `the log of ${origin} was trimmed before it was read here`);
    }
  }

  /**
   * A mirror that was away while its origin trimmed goes to the origin's end all the same, with holes that nothing tells of; and
   * where a log lost an end that the mirror has, what the origin writes in its place never comes. All is read, and the cache's
   * newest record was not among it.
   */
  #tellSkipped(mirror: MirrorState, log: LogState): void {
    const { origin, positions, onGap, announcedEnd, clock } = this.#parts;
    for (const receiver of this.#receivers) {
      const { cache } = receiver;
      const known = positions.knownUpTo(origin, cache, log.created);
      const seq = Math.max(receiver.applied().seq, known);
      const end = announcedEnd(cache) ?? 0;
      const isRead = receiver.isIdle && receiver.blocked === undefined && mirror.lastSeq >= end;
      const stands = this.#standing.get(cache);
      if (!isRead || seq >= end) this.#standing.delete(cache);
      else if (stands?.seq !== seq) this.#standing.set(cache, { seq, since: clock.monotonic() });
      else if (clock.monotonic() - stands.since >= MIRROR_STALL_MS) {
        positions.setToldMissing(origin, cache, { created: log.created, seq: end });
        const why = trimmedPast(log, seq, end)
          ? "was trimmed while its mirror was away"
          : "has other records than its mirror";
        onGap([cache], `the log of ${origin} ${why}`);
      }
    }
  }

  /** Compares the mirror with what the origin announces, and makes it anew when it follows a log that is gone. */
  async #watch(signal: AbortSignal): Promise<void> {
    const { mirror, clock, announced, logger, origin } = this.#parts;
    let batchesBefore = -1;
    while (!signal.aborted) {
      await clock.sleep(1_000, signal);
      if (signal.aborted) return;
      const state = await mirror.state();
      this.#mirror = state;
      const end = announced();
      if (state === undefined || end === undefined) continue;
      const verdict = judgeMirror(state, end);
      if (verdict === "ok") {
        this.#tellTrimmed(end.created, state, 0);
        this.#tellTrimmed(end.created, end, state.lastSeq);
        this.#tellSkipped(state, end);
      }
      const batches = this.receivers.reduce((sum, r) => sum + r.stats.batches, 0);
      const isApplied = batches === batchesBefore && this.receivers.every((r) => r.isIdle);
      batchesBefore = batches;
      if (verdict === "recreated" && isApplied) {
        logger.warn({}, `the log of ${origin} was made anew: making its mirror anew`);
        await mirror.recreate(0);
        return;
      }
      this.#progress = progressed(this.#progress, state.lastSeq, end.lastSeq, clock.monotonic());
      const stalled = verdict === "ok" && isStalled(this.#progress, clock.monotonic());
      if (stalled && this.#state === "receiving") {
        logger.warn(
          { at: state.lastSeq, announced: end.lastSeq, code: ErrorCode.MirrorStalled },
          `the mirror of ${origin} stands still though there is more to fetch`,
        );
      }
      this.#state = stalled ? "stalled" : "receiving";
    }
  }
}
