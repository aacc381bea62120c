import { backOffMs } from "../../topology/back-off.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import {
  FETCH_BYTES_MAX,
  RESYNC_BYTES_PER_S_MAX,
  RESYNC_ENTRIES_PER_S_MAX,
  RESYNC_KEYS_MAX,
  RESYNC_LEFT_MAX,
  RESYNC_LEFT_ROUNDS,
  RESYNC_LIST_BYTES_MAX,
  RESYNC_RANGES_MAX,
  RESYNC_RANGE_ROWS,
  RESYNC_TIMEOUT_MS,
} from "../../topology/limits.ts";
import { controlSubject, type SiteName } from "../../topology/names.ts";
import type { Bus, Clock, PeerEntry, Random } from "../../topology/ports.ts";
import { bucketDigests, bucketOf, bucketsFor } from "./buckets.ts";
import { type Comparing, lowerOf } from "../../topology/version/compare.ts";
import { coversAll, EMPTY_CONTEXT } from "../../topology/version/context.ts";
import type { Context, Dot, Key } from "../../topology/version/entry.ts";
import {
  inOurClock,
  keyDigests,
  mergeAll,
  pageDigest,
  rangeDigest,
  type ResyncCache,
  sideOf,
  entryBytes,
} from "./resync-cache.ts";
import {
  type Asking,
  decodeDigestAnswer,
  decodeExchangeAnswer,
  decodeKeysAnswer,
  decodePushAnswer,
  type DigestAnswer,
  type LogEnd,
  encodeDigestQuestion,
  encodeDoneQuestion,
  encodeExchangeQuestion,
  encodeKeysQuestion,
  encodePushQuestion,
  type Wanted,
} from "./resync-messages.ts";
import { RESYNC_VERBS } from "./serve-resync.ts";

/** Which way entries go. */
export interface Directions {
  /** From the peer to this site: nothing, or versions, or values too. */
  readonly pull: Wanted;
  readonly push: boolean;
}

/** How far a resync is: enough to go on after a restart of this process. */
export interface ResyncProgress {
  /** The keys up to here are level; undefined: none yet. */
  readonly after: Key | undefined;
  /** The lower of the floors when it began. */
  readonly level: Context;
  /** What the peer said of itself when it began. */
  readonly peerFloor: Context;
  readonly peerDot: Dot;
  /** It missed nothing that it knew of, but perhaps of this site. */
  readonly isPeerLevel: boolean;
  readonly peerLogEnd: LogEnd;
  /** ms since the epoch. */
  readonly begunAt: number;
}

/** What a resync did so far. */
export interface ResyncCounts {
  /** Keys that differed. */
  differing: number;
  /** Entries that came and went. */
  received: number;
  sent: number;
  /** Bytes of keys and values in them. */
  bytes: number;
  /** Bytes of all questions and answers. */
  wireBytes: number;
}

/** How a resync ended: every key of the cache at either site was compared, and what differed exchanged. */
export interface ResyncResult extends Readonly<ResyncCounts> {
  readonly peerFloor: Context;
  readonly peerDot: Dot;
  /** Whether the peer missed nothing that it knew of when this began, but perhaps of this site. */
  readonly isPeerLevel: boolean;
}

/** What {@link Resync} needs of its site. */
export interface ResyncParts {
  readonly site: SiteName;
  readonly peer: SiteName;
  readonly here: ResyncCache;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  /** This site's clock minus the peer's, ms. */
  readonly offsetMs: () => number;
  /** Called with each step; to be stored with what was merged before it. */
  readonly onProgress: (progress: ResyncProgress) => void;
  /** Called with each key that differs, in a comparison that exchanges nothing. */
  readonly onDiffering?: (key: Key) => void;
}

/**
 * Compares one cache with a peer, range by range in the order of keys, and exchanges what differs, deletes included, through
 * the apply path. It moves no applied position. Where both ledgers are equal it costs a digest for each range of keys; a key
 * that differs travels at most once each way.
 */
export class Resync {
  readonly counts: ResyncCounts = { differing: 0, received: 0, sent: 0, bytes: 0, wireBytes: 0 };
  /** Rows of this site that were compared. */
  compared = 0;
  readonly #parts: ResyncParts;
  readonly #directions: Directions;
  #progress: ResyncProgress | undefined;
  /** Keys whose value was being written. */
  #left = new Set<Key>();
  /** Why the last entry that failed could not be merged here. */
  #failure: unknown;
  #signal = new AbortController().signal;

  /** `resume`: where an earlier run stood. */
  constructor(parts: ResyncParts, directions: Directions, resume?: ResyncProgress) {
    this.#parts = parts;
    this.#directions = directions;
    this.#progress = resume;
  }

  /**
   * Runs to the end. After an error run another one with the last progress.
   *
   * @throws PeerUnreachable, PeerRefused, NatsUnreachable, PeerMessageInvalid; ResyncUnsettled if keys were written so often
   *   that they could not be compared; the signal's reason
   */
  async run(signal: AbortSignal): Promise<ResyncResult> {
    this.#signal = signal;
    const hello = await this.#digests(undefined, [], EMPTY_CONTEXT);
    const known = this.#progress;
    if (known === undefined || !coversAll(hello.floor, known.level)) this.#begin(hello);
    for (let isEnd = false; !isEnd;) {
      signal.throwIfAborted();
      isEnd = await this.#step(signal);
    }
    await this.#settleLeft(signal);
    const { peerFloor, peerDot, isPeerLevel } = this.#now;
    return { ...this.counts, peerFloor, peerDot, isPeerLevel };
  }

  /** Tells the peer that this site has all of the peer's log up to where it ended when this began. @throws as `run` */
  async tellDone(): Promise<void> {
    const question = encodeDoneQuestion({ ...this.#asking, logEnd: this.#now.peerLogEnd });
    await this.#ask(RESYNC_VERBS.done, question);
  }

  get #now(): ResyncProgress {
    if (this.#progress === undefined) throw new Error("isthmus bug: a resync that has not begun");
    return this.#progress;
  }

  #begin({ floor, dot, isLevel, logEnd }: DigestAnswer): void {
    const { here, clock } = this.#parts;
    this.#move({
      after: undefined,
      level: lowerOf(here.floor, floor),
      peerFloor: floor,
      peerDot: dot,
      isPeerLevel: isLevel,
      peerLogEnd: logEnd,
      begunAt: clock.now(),
    });
  }

  #move(progress: ResyncProgress): void {
    this.#progress = progress;
    this.#parts.onProgress(progress);
  }

  /** Compares the next ranges, and exchanges what differs in them; true at the end of the cache. */
  async #step(signal: AbortSignal): Promise<boolean> {
    const { here, clock, peer } = this.#parts;
    const { after, level } = this.#now;
    const ranges = await this.#ranges(after);
    const answer = await this.#digests(
      after,
      ranges.map(({ upTo }) => upTo),
      level,
    );
    if (answer.digests.length === 0) {
      throw new IsthmusError(ErrorCode.PeerMessageInvalid, `no digests came from ${peer}`);
    }
    let from = after;
    for (const [i, theirs] of answer.digests.entries()) {
      const range = ranges[i];
      if (range === undefined) break;
      const isCut = answer.cutAt !== undefined && i === answer.digests.length - 1;
      const upTo = isCut ? answer.cutAt : range.upTo;
      const mine = isCut
        ? (
            await rangeDigest(here.rows, { after: from, upTo }, this.#by, {
              clock,
              rowsMax: Infinity,
            })
          ).digest
        : range.digest;
      if (!mine.equals(theirs)) await this.#exchangeRange(from, upTo, signal);
      this.compared += range.rows;
      from = upTo;
    }
    if (from === undefined) return true;
    this.#move({ ...this.#now, after: from });
    return false;
  }

  /** The next ranges of this site's own rows, with their digests; the last one may be open. */
  async #ranges(
    after: Key | undefined,
  ): Promise<Array<{ upTo: Key | undefined; digest: Buffer; rows: number }>> {
    const { here, clock } = this.#parts;
    const ranges: Array<{ upTo: Key | undefined; digest: Buffer; rows: number }> = [];
    let from = after;
    while (ranges.length < RESYNC_RANGES_MAX) {
      const page = here.rows.page(from, RESYNC_RANGE_ROWS);
      const upTo = page.length < RESYNC_RANGE_ROWS ? undefined : page.at(-1)?.[0];
      ranges.push({ upTo, digest: pageDigest(page, this.#by), rows: page.length });
      if (upTo === undefined) break;
      from = upTo;
      await clock.sleep(0);
    }
    return ranges;
  }

  /** Finds the keys that differ between after `after` and `upTo`, and exchanges them. */
  async #exchangeRange(
    after: Key | undefined,
    upTo: Key | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { here, clock } = this.#parts;
    const { level } = this.#now;
    let from = after;
    for (;;) {
      signal.throwIfAborted();
      // A range has few rows here, whatever the peer has.
      const limits = { clock, bytesMax: Infinity };
      const whole = await keyDigests(here.rows, { after: from, upTo }, this.#by, limits);
      const count = bucketsFor(whole.keys.size);
      const buckets = bucketDigests(whole.keys, count);
      const question = encodeKeysQuestion({ ...this.#asking, level, after: from, upTo, buckets });
      const theirs = decodeKeysAnswer(await this.#ask(RESYNC_VERBS.keys, question));
      const range = { after: from, upTo: theirs.cutAt };
      const mine =
        theirs.cutAt === undefined ? whole : await keyDigests(here.rows, range, this.#by, limits);
      const told = theirs.buckets && new Set(theirs.buckets);
      const differing: Key[] = [];
      for (const [key, digest] of mine.keys) {
        const isTold = told === undefined || told.has(bucketOf(key, count));
        if (isTold && theirs.keys.get(key) !== digest) differing.push(key);
      }
      for (const key of theirs.keys.keys()) if (!mine.keys.has(key)) differing.push(key);
      for (const page of pagesOfKeys(differing)) await this.#exchange(page, signal);
      if (theirs.cutAt === undefined) return;
      from = theirs.cutAt;
    }
  }

  async #exchange(keys: readonly Key[], signal: AbortSignal): Promise<void> {
    this.counts.differing += keys.length;
    const { onDiffering, clock } = this.#parts;
    if (onDiffering !== undefined) for (const key of keys) onDiffering(key);
    const { pull, push } = this.#directions;
    if (pull === "number" && !push) return;
    let asked = keys;
    while (asked.length > 0) {
      signal.throwIfAborted();
      const begun = clock.monotonic();
      const { bytes, entries } = this.#moved;
      asked = asked.slice(await this.#exchangeSome(asked));
      const seconds = Math.max(
        (this.#moved.bytes - bytes) / RESYNC_BYTES_PER_S_MAX,
        (this.#moved.entries - entries) / RESYNC_ENTRIES_PER_S_MAX,
      );
      await clock.sleep(Math.max(0, seconds * 1_000 - (clock.monotonic() - begun)), signal);
    }
  }

  get #moved(): { readonly bytes: number; readonly entries: number } {
    const { bytes, received, sent } = this.counts;
    return { bytes, entries: received + sent };
  }

  /** Resolves with how many of the keys were exchanged, at least one. */
  async #exchangeSome(keys: readonly Key[]): Promise<number> {
    const { here } = this.#parts;
    const { level } = this.#now;
    const { floor } = here;
    const sides = keys.map((key) => [key, sideOf(here, key, this.#by)] as const);
    const wanted = this.#directions.pull;
    const question = { ...this.#asking, level, floor, wanted, sides };
    const payload = await this.#ask(RESYNC_VERBS.exchange, encodeExchangeQuestion(question));
    const answer = decodeExchangeAnswer(payload);
    // Only what was asked for.
    const asked = new Set(keys);
    const entries = answer.entries.filter(({ key }) => asked.has(key));
    for (const entry of entries) this.counts.bytes += entryBytes(entry);
    this.counts.received += entries.length;
    const offsetMs = this.#parts.offsetMs();
    const ours = entries.map((entry) => inOurClock(entry, offsetMs));
    const { failed, error } = await mergeAll(here.hands, ours);
    this.#failure = error ?? this.#failure;
    this.#leave(failed);
    this.#leave(answer.unsettled);
    if (this.#directions.push) await this.#push(answer.wants.filter((key) => asked.has(key)));
    return Math.max(1, answer.done);
  }

  async #push(keys: readonly Key[]): Promise<void> {
    const { hands } = this.#parts.here;
    const told = keys.length === 0 ? [] : await hands.tell(keys);
    const known = new Set(told.map(({ key }) => key));
    this.#leave(keys.filter((key) => !known.has(key)));
    let entries: PeerEntry[] = [];
    let bytes = 0;
    for (const [i, entry] of told.entries()) {
      entries.push(entry);
      bytes += entryBytes(entry);
      if (bytes < FETCH_BYTES_MAX && i < told.length - 1) continue;
      const question = encodePushQuestion({ ...this.#asking, entries });
      this.#leave(decodePushAnswer(await this.#ask(RESYNC_VERBS.push, question)));
      this.counts.sent += entries.length;
      this.counts.bytes += bytes;
      entries = [];
      bytes = 0;
    }
  }

  #leave(keys: readonly Key[]): void {
    for (const key of keys) if (this.#left.size < RESYNC_LEFT_MAX) this.#left.add(key);
  }

  /** Looks again at the keys that were being written. @throws ResyncUnsettled */
  async #settleLeft(signal: AbortSignal): Promise<void> {
    const { clock, random, peer, here } = this.#parts;
    const rounds = this.#left.size < RESYNC_LEFT_MAX ? RESYNC_LEFT_ROUNDS : 0;
    for (let round = 0; this.#left.size > 0 && round < rounds; round++) {
      await clock.sleep(backOffMs(round, { firstMs: 100, mostMs: 5_000 }, random), signal);
      signal.throwIfAborted();
      const keys = [...this.#left];
      this.#left = new Set();
      for (let asked of pagesOfKeys(keys)) {
        while (asked.length > 0) asked = asked.slice(await this.#exchangeSome(asked));
      }
    }
    if (this.#left.size === 0) return;
    this.#move({ ...this.#now, after: undefined });
    throw new IsthmusError(
      ErrorCode.ResyncUnsettled,
      `${this.#left.size} keys of ${here.cache} could not be compared with ${peer}`,
      {
        cause: this.#failure,
        hint: "They are written all the time, or their cache fails; it is tried again by itself.",
      },
    );
  }

  get #asking(): Asking {
    const { site, here } = this.#parts;
    const { cache, policyHash, mediaType } = here;
    if (mediaType === undefined) {
      throw new IsthmusError(ErrorCode.PeerRefused, `${cache} at ${site} is not ready`);
    }
    const isRebuilding = this.#directions.pull === "versions";
    return { site, cache, policyHash, mediaType, isRebuilding };
  }

  get #by(): Comparing {
    const { here, clock } = this.#parts;
    return { level: this.#now.level, now: clock.now(), copies: here.copies };
  }

  async #digests(
    after: Key | undefined,
    bounds: ReadonlyArray<Key | undefined>,
    level: Context,
  ): Promise<DigestAnswer> {
    const question = encodeDigestQuestion({ ...this.#asking, level, after, bounds });
    return decodeDigestAnswer(await this.#ask(RESYNC_VERBS.digest, question));
  }

  async #ask(verb: string, question: Uint8Array): Promise<Uint8Array> {
    const { bus, peer } = this.#parts;
    const asked = bus.request(controlSubject(peer, verb), question, RESYNC_TIMEOUT_MS);
    const answer = await unlessAborted(asked, this.#signal);
    this.counts.wireBytes += question.length + answer.length;
    return answer;
  }
}

/** Keys as one question can carry them. */
function* pagesOfKeys(keys: readonly Key[]): Generator<readonly Key[]> {
  let page: Key[] = [];
  let bytes = 0;
  for (const key of keys) {
    page.push(key);
    bytes += key.length;
    if (page.length < RESYNC_KEYS_MAX && bytes < RESYNC_LIST_BYTES_MAX) continue;
    yield page;
    page = [];
    bytes = 0;
  }
  if (page.length > 0) yield page;
}

/** Whoever stops does not wait for a peer that does not answer. */
function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    const end = (): void => signal.removeEventListener("abort", stop);
    void answer.then(resolve, reject).finally(end);
  });
}
