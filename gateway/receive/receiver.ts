import { backOffMs } from "../../topology/back-off.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import {
  APPLY_BOUND_BATCHES,
  APPLY_ITEMS_MAX,
  APPLY_KEYS_MAX,
  POSITION_ASIDE_MAX,
  RETRY_MS_MAX,
} from "../../topology/limits.ts";
import {
  decodeBatch,
  encodeBatch,
  type Batch,
  type BatchHeader,
} from "../../topology/mutation/batch.ts";
import type { Mutation } from "../../topology/mutation/mutation.ts";
import { type CacheName, logSubject, type SiteName } from "../../topology/names.ts";
import type {
  CacheHands,
  Clock,
  Ledger,
  LogMirror,
  Logger,
  Random,
  StoredMessage,
} from "../../topology/ports.ts";
import { dotMs } from "../../topology/version/dot.ts";
import type { Dot, Key } from "../../topology/version/entry.ts";
import type { Arrival } from "../../topology/version/join.ts";
import { acceptBatch, type Receiving } from "./accept.ts";
import { CacheSuccesses, DeadLetterRule } from "./dead-letter-rule.ts";
import { KeyedQueue } from "./keyed-queue.ts";
import type { PositionStore } from "./position-store.ts";
import { type Applied, type Aside, NOTHING_ASIDE, PositionTracker } from "./position-tracker.ts";
import { ReceiverStats } from "./receiver-stats.ts";

/** What {@link Receiver} needs of its site. */
export interface ReceiverParts {
  readonly site: SiteName;
  readonly origin: SiteName;
  readonly cache: CacheName;
  readonly mirror: LogMirror;
  readonly ledger: Ledger;
  readonly positions: PositionStore;
  /** undefined for caches that are not handled here (off, never). */
  readonly hands: CacheHands | undefined;
  readonly receiving: () => Receiving;
  /** This site's clock minus the origin's, ms, as estimated here; used if the batch brings no estimate. */
  readonly offsetMs: () => number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /**
   * Whether what was applied may leave the window that an unclean start looks at: not while a write of this cache has no
   * answer, because the server may still do it.
   */
  readonly mayForget: () => boolean;
  /** The applied position moved; `urgent` if the batch says that a writer waits. */
  readonly onApplied: (urgent: boolean) => void;
  /** Batches are missing from the log. */
  readonly onGap: (reason: string) => void;
  readonly onDeadLetter: (letter: DeadLetter) => void;
}

/** Between two looks whether a batch that waits may be applied by now. */
const WAIT_LOOK_MS = 250;

/** A mutation or batch that cannot be applied, kept for the operator. */
export interface DeadLetter {
  readonly origin: SiteName;
  readonly cache: CacheName;
  readonly seq: number;
  /** undefined: the whole batch could not be decoded. */
  readonly key: Key | undefined;
  /** Its version's, by the log's origin. */
  readonly dot: Dot | undefined;
  readonly reason: string;
  /** A batch of nothing else; the whole batch if it could not be decoded. */
  readonly payload: Uint8Array;
}

interface Item {
  readonly arrival: Arrival;
  readonly batch: OpenBatch;
}

interface OpenBatch {
  readonly seq: number;
  readonly held: boolean;
  readonly header: BatchHeader;
  left: number;
}

/**
 * Reads one cache of one origin's mirror from the position that the ledger holds, applies it in a bounded window, and moves
 * the position behind what is committed. So a crash repeats, and never skips (I1, I6).
 */
export class Receiver {
  readonly stats = new ReceiverStats();
  readonly #parts: ReceiverParts;
  readonly #queue: KeyedQueue<Item>;
  readonly #subject: string;
  readonly #successes = new CacheSuccesses();
  #tracker = new PositionTracker(0);
  #incarnation = "";
  /** The ledger is to know that what is applied from now on comes from this mirror. */
  #mirrorToNote: string | undefined;
  #counter = 0;
  #bound = 0;
  #isReserving = false;
  #dot: Dot = 0n;
  /** Newest dots of the batches that are begun, until the prefix covers them. */
  readonly #openDots = new Map<number, Dot>();
  /** Something is missing here for good: what came after it counts as applied no more (tombstones wait). */
  #isIncomplete = false;
  /** How often something was found missing. */
  #losses = 0;
  #aside: Aside = NOTHING_ASIDE;
  #blocked: string | undefined;
  #signal: AbortSignal | undefined;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
    this.#subject = logSubject(parts.origin, parts.cache);
    this.#queue = new KeyedQueue(
      (key, items) => this.#applyKey(key, items),
      APPLY_KEYS_MAX,
      APPLY_ITEMS_MAX,
    );
  }

  get origin(): SiteName {
    return this.#parts.origin;
  }

  get cache(): CacheName {
    return this.#parts.cache;
  }

  /** Why nothing is applied, if so. */
  get blocked(): string | undefined {
    return this.#blocked;
  }

  /** Nothing is open: all that was read is applied. */
  get isIdle(): boolean {
    return this.#tracker.open === 0 && this.#queue.size === 0;
  }

  /** Mutations that were begun and are not applied yet. */
  get begun(): number {
    return this.#queue.size;
  }

  /** The incarnation of the log that {@link applied} counts in; "" before the first batch. */
  get incarnation(): string {
    return this.#incarnation;
  }

  /** The origin's newest dot such that this site applied it and all before it: what tombstones wait for. */
  get appliedDot(): Dot {
    return this.#dot;
  }

  applied(): Applied {
    return this.#tracker.applied();
  }

  /** What the position passed and was not applied here: a writer who waits is to be told. */
  get aside(): Aside {
    return this.#aside;
  }

  /** Changes whenever something is found missing here. */
  get losses(): number {
    return this.#losses;
  }

  /** A resync brought what the origin had up to `dot`. It began at `losses`: what was lost since is not made up for. Staged. */
  repaired(dot: Dot, losses: number): void {
    const { positions, origin, cache } = this.#parts;
    if (losses === this.#losses) this.#isIncomplete = false;
    const { bound: _bound, ...stored } = positions.get(origin, cache);
    for (const known of [stored.dot, dot]) if (known > this.#dot) this.#dot = known;
    const isIncomplete = this.#isIncomplete;
    positions.set(origin, cache, { ...stored, dot: this.#dot, isIncomplete });
  }

  /** The contiguous prefix alone. */
  get appliedSeq(): number {
    return this.#tracker.seq;
  }

  /** Reads and applies until the signal aborts or the mirror is replaced underneath. @throws MirrorReplaced */
  async run(mirrorCreated: string, signal: AbortSignal): Promise<void> {
    const { mirror, positions, origin, cache } = this.#parts;
    const position = positions.get(origin, cache);
    this.#signal = signal;
    const isNoted = positions.mirrorOf(origin, cache) === mirrorCreated;
    this.#mirrorToNote = isNoted ? undefined : mirrorCreated;
    this.#tracker = new PositionTracker(position.seq);
    this.#incarnation = position.incarnation;
    this.#counter = position.counter;
    this.#bound = position.bound;
    this.#dot = position.dot;
    this.#isIncomplete = position.isIncomplete;
    this.#openDots.clear();
    try {
      for await (const chunk of mirror.read(this.#subject, position.seq, mirrorCreated, signal)) {
        for (const message of chunk) await this.#receive(message, signal);
        if (signal.aborted) break;
      }
    } finally {
      // What is not applied by now is read again by the next run: nothing of this one may reach its tracker.
      this.#signal = AbortSignal.abort();
      await this.#queue.drained();
      this.#store();
    }
  }

  async #receive(message: StoredMessage, signal: AbortSignal): Promise<void> {
    const { stats } = this;
    const batch = this.#decode(message);
    this.#tracker.begin(message.seq);
    if (batch !== undefined) this.#openDots.set(message.seq, newestDot(batch));
    stats.batches += 1;
    stats.bytes += message.payload.length;
    if (batch === undefined) return this.#passed(message.seq, "");
    if (!(await this.#accepted(batch, message, signal))) return;
    if (this.#mirrorToNote !== undefined) await this.#noteMirror(this.#mirrorToNote, message.seq);
    if (message.seq > this.#bound) await this.#reserve(message.seq);
    else if (message.seq > this.#bound - APPLY_BOUND_BATCHES / 2)
      void this.#reserveAhead(message.seq);
    this.#note(batch.header);
    stats.mutations += batch.mutations.length;
    const mutations = this.#valid(batch);
    if (mutations.length === 0) return this.#passed(message.seq, batch.header.incarnation);
    const open: OpenBatch = {
      seq: message.seq,
      held: batch.header.held,
      header: batch.header,
      left: mutations.length,
    };
    const offsetMs = batch.header.offsets.get(this.#parts.site) ?? this.#parts.offsetMs();
    for (const mutation of mutations) {
      if (!this.#queue.hasRoom) await this.#queue.room();
      const arrival = arrivalOf(mutation, this.origin, offsetMs);
      this.#queue.push(mutation.key, { arrival, batch: open });
    }
  }

  /** Without what its author made before it was re-seeded: it has that no more. */
  #valid({ mutations }: Batch): readonly Mutation[] {
    const { voidUpTo = 0n } = this.#parts.receiving();
    if (voidUpTo === 0n) return mutations;
    const valid = mutations.filter(({ dot }) => dot > voidUpTo);
    this.stats.voided += mutations.length - valid.length;
    return valid;
  }

  /** undefined: it cannot be decoded and became a dead letter. @throws WireVersionUnknown, which stops the link */
  #decode(message: StoredMessage): Batch | undefined {
    try {
      return decodeBatch(message.payload);
    } catch (error) {
      if (!(error instanceof IsthmusError) || error.code === ErrorCode.WireVersionUnknown) {
        throw error;
      }
      this.#bury(
        { seq: message.seq, key: undefined, dot: undefined },
        error.message,
        message.payload,
      );
      return undefined;
    }
  }

  /** True: to be applied. Waits while the batch is blocked: its position must not pass. */
  async #accepted(batch: Batch, message: StoredMessage, signal: AbortSignal): Promise<boolean> {
    const { receiving, clock, logger } = this.#parts;
    for (;;) {
      const acceptance = acceptBatch(batch, receiving());
      if (acceptance.is !== "block") {
        if (this.#blocked !== undefined) logger.info({}, "receiving goes on");
        this.#blocked = undefined;
      }
      switch (acceptance.is) {
        case "apply":
          return true;
        case "pass":
          this.stats.passed += 1;
          this.#setAside(message.seq);
          this.#passed(message.seq, batch.header.incarnation);
          return false;
        case "refuse":
          this.stats.refused += 1;
          logger.error(
            { seq: message.seq, code: ErrorCode.BatchRefused },
            `batch refused: ${acceptance.why}`,
          );
          this.#setAside(message.seq);
          // Not of this log: its header says nothing about it.
          this.#passed(message.seq, "");
          return false;
        case "pause":
          await this.#standStill(message.seq - 1);
          await clock.sleep(WAIT_LOOK_MS, signal);
          if (signal.aborted) return false;
          break;
        case "block":
          if (this.#blocked !== acceptance.why) {
            logger.error({ seq: message.seq, code: ErrorCode.ReceiverBlocked }, acceptance.why);
          }
          this.#blocked = acceptance.why;
          if (receiving().refusal !== undefined) await this.#standStill(message.seq - 1);
          await clock.sleep(WAIT_LOOK_MS, signal);
          if (signal.aborted) return false;
      }
    }
  }

  #passed(seq: number, incarnation: string): void {
    if (incarnation !== "") this.#enter(incarnation);
    if (this.#tracker.done(seq)) this.#store();
  }

  /** Before the first apply from a mirror that was made anew: on disk with the bound. */
  async #noteMirror(created: string, seq: number): Promise<void> {
    const { positions, origin, cache } = this.#parts;
    positions.setMirror(origin, cache, created);
    this.#mirrorToNote = undefined;
    await this.#reserve(seq);
  }

  /** No apply starts beyond the bound, which is on disk first: what an unclean start has to look at (I6). */
  async #reserve(seq: number): Promise<void> {
    const { positions, ledger, origin, cache } = this.#parts;
    const bound = seq + APPLY_BOUND_BATCHES;
    positions.setBound(origin, cache, bound);
    await ledger.sync();
    this.#bound = Math.max(this.#bound, bound);
  }

  /**
   * Nothing is to be applied for a while: an unclean start is to bring in no more than was begun by now. To be called when
   * nothing more is begun.
   */
  async rest(): Promise<void> {
    const { seq, ranges } = this.#tracker.applied();
    // What was read and waits has not begun.
    if (this.#signal !== undefined)
      await this.#standStill(Math.max(seq, ...ranges.map(([, to]) => to)));
  }

  /** Nothing beyond `seq` was begun. */
  async #standStill(seq: number): Promise<void> {
    const { positions, ledger, origin, cache } = this.#parts;
    if (this.#bound <= seq || this.#queue.size > 0 || this.#isReserving) return;
    positions.setBound(origin, cache, seq);
    await ledger.sync();
    this.#bound = seq;
  }

  /** The next block, while half of this one is left: nothing waits for the disk. A failure shows when the block is used up. */
  async #reserveAhead(seq: number): Promise<void> {
    if (this.#isReserving) return;
    this.#isReserving = true;
    try {
      await this.#reserve(seq);
    } catch {
      // The ledger refuses everything from now on: the next commit tells.
    } finally {
      this.#isReserving = false;
    }
  }

  /** Each incarnation counts from one. */
  #enter(incarnation: string): void {
    if (incarnation === this.#incarnation) return;
    this.#incarnation = incarnation;
    this.#counter = 0;
  }

  #note(header: BatchHeader): void {
    this.#enter(header.incarnation);
    if (header.counter > this.#counter + 1) {
      this.stats.counterGaps += 1;
      this.#isIncomplete = true;
      this.#losses += 1;
      this.#missed(this.#counter + 1, header.counter - 1);
      this.#parts.onGap(
        `batches ${this.#counter + 1} to ${header.counter - 1} were not applied here`,
      );
    }
    this.#counter = Math.max(this.#counter, header.counter);
  }

  async #applyKey(key: Key, items: readonly Item[]): Promise<void> {
    const { hands, clock, random, logger } = this.#parts;
    const rule = new DeadLetterRule(clock, this.#successes);
    const arrivals = items.map((item) => item.arrival);
    for (let attempt = 0; this.#signal?.aborted !== true; attempt++) {
      try {
        await hands?.apply(key, arrivals);
        rule.succeeded();
        return this.#appliedKey(items);
      } catch (error) {
        this.stats.retries += 1;
        const reason = error instanceof Error ? error.message : String(error);
        if (rule.failed(error)) {
          for (const { batch, arrival } of items) {
            const { seq, header } = batch;
            const payload = encodeBatch(header, [{ ...arrival, key }]);
            this.#bury({ seq, key, dot: arrival.dot }, reason, payload);
          }
          return this.#appliedKey(items);
        }
        if (attempt === 0) logger.debug({ err: error }, "apply failed, tried again");
        const waits = { firstMs: 5, mostMs: RETRY_MS_MAX };
        await clock.sleep(backOffMs(attempt, waits, random), this.#signal);
      }
    }
  }

  #appliedKey(items: readonly Item[]): void {
    const { clock, onApplied } = this.#parts;
    const { stats } = this;
    let moved = false;
    let urgent = false;
    const now = clock.now();
    for (const { arrival, batch } of items) {
      stats.lagMsLast = Math.max(0, now - arrival.offsetMs - dotMs(arrival.dot));
      stats.lagMsSum += stats.lagMsLast;
      stats.lagCount += 1;
      batch.left -= 1;
      if (batch.left > 0) continue;
      urgent ||= batch.held;
      moved = this.#tracker.done(batch.seq) || moved;
    }
    stats.lastAppliedAt = now;
    if (moved) this.#store();
    if (moved || urgent) onApplied(urgent);
  }

  /** Stages the position: what it covers is committed already. */
  #store(): void {
    const { positions, origin, cache } = this.#parts;
    const { seq } = this.#tracker;
    for (const [begun, dot] of this.#openDots) {
      if (begun > seq) break;
      this.#openDots.delete(begun);
      if (!this.#isIncomplete && dot > this.#dot) this.#dot = dot;
    }
    if (!this.#parts.mayForget()) return;
    positions.set(origin, cache, {
      seq,
      incarnation: this.#incarnation,
      counter: this.#counter,
      dot: this.#dot,
      isIncomplete: this.#isIncomplete,
    });
  }

  #setAside(seq: number): void {
    const { seqs } = this.#aside;
    if (seqs.at(-1) === seq) return;
    this.#aside = { ...this.#aside, seqs: [...seqs, seq].slice(-POSITION_ASIDE_MAX) };
  }

  /** These batches never came. */
  #missed(from: number, to: number): void {
    const counters = [...this.#aside.counters, [from, to] as const];
    this.#aside = { ...this.#aside, counters: counters.slice(-POSITION_ASIDE_MAX) };
  }

  #bury(what: Pick<DeadLetter, "seq" | "key" | "dot">, reason: string, payload: Uint8Array): void {
    this.stats.deadLetters += 1;
    this.#isIncomplete = true;
    this.#losses += 1;
    this.#setAside(what.seq);
    const { origin, cache, onDeadLetter } = this.#parts;
    onDeadLetter({ origin, cache, ...what, reason, payload });
  }
}

const newestDot = ({ mutations }: Batch): Dot =>
  mutations.reduce((newest, { dot }) => (dot > newest ? dot : newest), 0n);

/** A mutation as its target joins it: its author is the log's origin. */
export function arrivalOf(mutation: Mutation, author: SiteName, offsetMs: number): Arrival {
  const { dot, at, kind, hash, expiresAt, maxIdleMs, context, value } = mutation;
  const version = { author, dot, at, kind, hash, expiresAt, maxIdleMs, offsetMs, context };
  return value === undefined ? version : { ...version, value };
}
