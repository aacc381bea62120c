import { assert } from "../topology/errors.ts";
import { DIRTY_KEYS_MAX, DRAIN_MS_MAX } from "../topology/limits.ts";
import type { BatchHeader } from "../topology/mutation/batch.ts";
import type {
  ApplyOutcome,
  CacheHands,
  CacheInfo,
  CacheLedger,
  LastUse,
  PeerEntry,
} from "../topology/ports.ts";
import { dotMs } from "../topology/version/dot.ts";
import type { Context, Dot, Key, ValueHash } from "../topology/version/entry.ts";
import type { Arrival } from "../topology/version/join.ts";
import type { Reseeding } from "../topology/version/reseeded.ts";
import { valueHash } from "../topology/version/value-hash.ts";
import { Wakeup } from "../topology/wakeup.ts";
import { Applier } from "./apply/applier.ts";
import { Intents } from "./apply/intents.ts";
import { Rebuilding } from "./apply/rebuilding.ts";
import { UnknownWrites, wasJoined } from "./apply/unknown-writes.ts";
import { knownHashes, rejoined, type Uncommitted } from "./apply/recovery.ts";
import type { CacheAgentParts } from "./cache-agent-parts.ts";
import { CacheFacts } from "./cache-facts.ts";
import { CacheStats } from "./cache-stats.ts";
import { IdleKeys } from "./idle-keys.ts";
import { KeyLocks } from "./key-locks.ts";
import { LocalChanges } from "./local-changes.ts";
import { PolicyReview } from "./policy-review.ts";
import { GivenCopies } from "./given-copies.ts";
import { PastStates } from "./past-states.ts";
import { Offers } from "./offers.ts";
import { OwnUses } from "./own-uses.ts";
import { CaptureOutage } from "./tail/capture-outage.ts";
import { Capture } from "./tail/capture.ts";
import { CapturedWrites } from "./tail/captured-writes.ts";
import { DirtyKeys } from "./tail/dirty-keys.ts";
import { GapRepair } from "./tail/gap-repair.ts";
import { GroupCommit } from "./tail/group-commit.ts";
import { undatedAt } from "./tail/judge.ts";
import { Publisher } from "./tail/publisher.ts";
import { UntoldLosses } from "./untold-losses.ts";
import { RetryPause } from "./retry-pause.ts";
import { Tombstones } from "./tombstones.ts";

/** An interval in which changes may have been missed. */
export interface Gap {
  readonly reason: string;
  /** When it began, ms since the epoch. */
  readonly since: number;
}

/** Where one cache of one site stands. */
export type CacheState = "starting" | "recovering" | "scanning" | "live" | "blocked";

/**
 * One handled cache at one site: listens, captures, publishes, applies, repairs. It never stops for a fault of the cache or
 * the log: it says so in {@link CacheAgent.state} and tries again.
 */
export class CacheAgent implements CacheHands {
  readonly stats = new CacheStats();
  readonly rows: CacheLedger;
  readonly publisher: Publisher;
  readonly idle: IdleKeys;
  readonly tombstones: Tombstones;
  readonly writes: CapturedWrites;
  /** While it is blocked. */
  readonly pauses: RetryPause;
  readonly #parts: CacheAgentParts;
  readonly #locks = new KeyLocks();
  readonly #dirty = new DirtyKeys(DIRTY_KEYS_MAX);
  readonly #capture: Capture;
  readonly #applier: Applier;
  readonly #changes: LocalChanges;
  readonly #offers: Offers;
  readonly #invalidate: boolean;
  readonly #unknownWrites: UnknownWrites;
  readonly #past: PastStates;
  readonly #copies = new GivenCopies();
  readonly #intents: Intents;
  readonly #review: PolicyReview;
  readonly #losses: UntoldLosses;
  readonly #repairs: GapRepair;
  readonly #facts: CacheFacts;
  #info: CacheInfo | undefined;
  /** Rises with each registration, restarts included; -1 while no listener is registered. */
  #listener = -1;
  #state: CacheState = "starting";
  #problem: unknown;
  #gap: Gap | undefined;
  #isReady = false;
  /** No scan of this cache ever ended at this site: what it holds was there before anybody told of it. */
  #isNew: boolean;
  /** A scan of this run has ended: what an earlier run left without a copy was looked for. */
  #isScanned = false;
  readonly #rebuilding: Rebuilding;
  /** Recovery found keys missing: the scan judges them before the logs are applied any further. */
  #leftToScan = false;
  readonly #rescan = new Wakeup();

  constructor(parts: CacheAgentParts) {
    const connector = new OwnUses(parts.connector, parts.clock);
    this.#parts = { ...parts, connector };
    this.rows = parts.ledger.cache(parts.cache);
    assert(parts.policy.mode !== "off" && parts.policy.mode !== "never", "a cache is not handled");
    this.#invalidate = parts.policy.mode === "invalidate";
    this.#facts = new CacheFacts(parts.ledger, parts.cache);
    const { alive } = this.#facts;
    this.#isNew = alive === undefined;
    this.#gap = { reason: "not scanned since the start", since: alive ?? parts.clock.now() };
    this.#unknownWrites = new UnknownWrites(parts.clock);
    this.pauses = new RetryPause(parts.clock, parts.random);
    this.#past = new PastStates(parts.clock);
    this.#intents = new Intents(parts.ledger, parts.cache);
    this.#losses = new UntoldLosses({ ...parts, facts: this.#facts });
    const runs = () => this.#info?.runs ?? new Map<string, string>();
    const rebuilding = { site: parts.site, rows: this.rows, floor: this.floor, runs };
    this.#rebuilding = new Rebuilding(rebuilding);
    this.publisher = this.#makePublisher();
    this.#changes = this.#makeChanges();
    this.#capture = this.#makeCapture();
    this.#applier = this.#makeApplier();
    const { ledger, clock } = parts;
    const { rows, stats } = this;
    const shared = { ...parts, rows, stats, locks: this.#locks, policy: parts.policy.conflict };
    this.idle = new IdleKeys({ ...shared, uses: connector });
    this.tombstones = new Tombstones({ ...shared, cache: parts.cache });
    const local = { rows, clock, capture: this.#capture, changes: this.#changes };
    this.writes = new CapturedWrites({ ...local, isWhole: () => this.#gap === undefined });
    this.#repairs = new GapRepair({
      ...this.#parts,
      ...local,
      stats,
      losses: this.#losses,
      hash: (value) => this.#hash(value),
      evicts: () => this.evicts,
    });
    this.#review = new PolicyReview({ ...parts, rows, applier: this.#applier });
    this.#offers = new Offers(rows, connector, this.floor, {
      ledger,
      hash: (value) => this.#hash(value),
      withoutValues: this.#invalidate,
    });
  }

  get state(): CacheState {
    return this.#state;
  }

  /** Why the cache is blocked, if it is, or what else is wrong with it. */
  get problem(): unknown {
    return this.#problem ?? this.#losses.problem;
  }

  get gap(): Gap | undefined {
    return this.#gap;
  }

  /** The newest dot that this cache's changes here were given. */
  get lastDot(): Dot {
    return this.#facts.lastDot;
  }

  /** Mutations that wait to be published. */
  get outboxRows(): number {
    return this.rows.outboxSize().rows;
  }

  /** Keys that are known to differ from the ledger right now. */
  get dirty(): number {
    return this.#capture.pending;
  }

  /** The conflict policy as the peers must have it too. */
  get policyHash(): string {
    return this.#parts.policyHash;
  }

  /**
   * Whether versions may arrive: not before what an unclean end left is brought in, nor, when the ledger was lost or the
   * recovery found keys missing, before a scan has learned what the cache holds.
   */
  get isReady(): boolean {
    return this.#isReady;
  }

  get mediaType(): string | undefined {
    return this.#info?.mediaType;
  }

  /** Whether a write of this run may be done yet, unseen by it: then its end is not a clean one. */
  get hasUnknownWrites(): boolean {
    return this.#unknownWrites.mayBeOpen;
  }

  /** Whether what is missing may have been evicted: the file says so, or it was found out. */
  get evicts(): boolean {
    return this.#parts.policy.evicts || this.#losses.problem !== undefined;
  }

  readonly floor = (): Context => this.tombstones.floor;

  apply(key: Key, arrivals: readonly Arrival[]): Promise<ApplyOutcome> {
    return this.#applier.apply(key, arrivals);
  }

  async merge(entry: PeerEntry, reseeding?: Reseeding): Promise<ApplyOutcome> {
    const { key } = entry;
    const wasAbsent = this.rows.get(key)?.presence === "absent";
    const outcome = await this.#applier.merge(key, entry, reseeding);
    if (wasAbsent && outcome === "written") this.#losses.refilled(key);
    return outcome;
  }

  offer(keys: readonly Key[]): Promise<readonly PeerEntry[]> {
    return this.#offers.of(keys, false);
  }

  tell(keys: readonly Key[]): Promise<readonly PeerEntry[]> {
    return this.#offers.of(keys, true);
  }

  lastUses(keys: readonly Key[]): Promise<readonly LastUse[]> {
    return this.idle.lastUses(keys);
  }

  /** The keys that wait for a copy from a peer, but for those of {@link CacheAgent.idle}; what ended meanwhile ends here. */
  async *absentKeys(): AsyncIterable<Key> {
    // While a lost ledger is rebuilt, rows without a copy are those that no scan has come to: the cache may hold one.
    if (this.#rebuilding.isOn || this.#losses.problem !== undefined) return;
    for await (const key of this.idle.absentKeys(false)) {
      const isOver = !this.#invalidate && this.idle.hasEnded(key);
      if (isOver || this.#parts.isLocalKey(key)) await this.#applier.settle(key);
      else yield key;
    }
  }

  /** A fault elsewhere (log trimmed, mode switched on) asks for a repair: the cache is scanned again. */
  openGap(reason: string): void {
    const { clock, logger } = this.#parts;
    this.stats.gaps += 1;
    if (this.#gap === undefined) {
      this.#gap = { reason, since: clock.now() };
      logger.warn({ reason }, "gap: changes may have been missed, the cache is scanned");
    } else {
      // Another object: a scan that is under way may have passed what is missing now, so it does not close this gap.
      this.#gap = { ...this.#gap };
    }
    this.writes.mayHaveMissed();
    this.#rescan.call();
  }

  /**
   * Opens the cache, for ever if need be; then brings in what an unclean end left in the logs, before anything is captured.
   *
   * @param window versions that the last run may have published, and applied, without committing them, by key, in the order
   *   of their logs
   */
  async recover(window: () => Promise<Uncommitted>): Promise<void> {
    const { published, arrivals } = await window();
    if (published.size + arrivals.size === 0) return;
    const { policy, merges, logger, site } = this.#parts;
    this.#state = "recovering";
    for (const [key, versions] of published) {
      const entry = rejoined(this.rows.get(key), this.floor(), versions);
      if (entry === undefined) continue;
      this.rows.put(key, entry);
      const dot = entry.context.get(site) ?? 0n;
      if (dot > this.lastDot) this.#facts.lastDot = dot;
    }
    this.#applier.recovering(
      knownHashes(arrivals, this.rows, policy.conflict, merges, (v) => this.#hash(v)),
    );
    for (const [key, versions] of arrivals) await this.#applier.apply(key, versions);
    this.#leftToScan = this.#applier.recovered().size > 0;
    logger.info(
      { published: published.size, arrived: arrivals.size },
      "recovered what the last run may have published and applied",
    );
  }

  /** To be called before `recover`. */
  async recoverIntents(): Promise<void> {
    const { connector, ledger } = this.#parts;
    const hash = (value: Uint8Array): ValueHash => this.#hash(value);
    this.stats.intentsMatched += await this.#intents.recover(this.rows, connector, hash);
    await ledger.commit();
  }

  /**
   * The ledger was lost: takes versions of one key as the logs tell them, without touching the cache. A scan then learns
   * which of them the cache holds; what it does not hold is fetched or written when the scan has ended.
   */
  rebuild(key: Key, told: readonly Arrival[] | PeerEntry): void {
    this.#rebuilding.take(key, told);
  }

  /** The ledger was lost: what the cache holds may be what this site published. */
  rebuildLost(): void {
    this.#isNew = false;
  }

  /** The logs do not tell all of a ledger that was lost: what a scan finds may be a version that they told of no more. */
  rebuildBlind(): void {
    this.#isNew = false;
    this.#rebuilding.isBlind = true;
  }

  /** Runs until the signal aborts: listens, scans, captures; begins anew whenever the listener is lost. */
  async run(signal: AbortSignal, recovered: () => Promise<void>): Promise<void> {
    const publishing = this.publisher.run(signal);
    let [failures, isRecovered] = [0, false];
    while (!signal.aborted) {
      try {
        await this.#open();
        if (!isRecovered) await recovered();
        isRecovered = true;
        if (this.#rebuilding.isOn) this.#dateLostLedger();
        this.#isReady ||= !this.#isNew && !this.#rebuilding.isOn && !this.#leftToScan;
        await this.#listenAndRepair(signal, () => {
          failures = 0;
        });
      } catch (error) {
        if (signal.aborted) break;
        this.#block(error);
      }
      await this.pauses.wait(++failures, signal);
    }
    await publishing;
  }

  /** When the ledger that was lost was last written is not known: changes may have been missed since the newest known one. */
  #dateLostLedger(): void {
    if (this.#gap === undefined || this.lastDot === 0n) return;
    this.#gap = { ...this.#gap, since: Math.min(this.#gap.since, dotMs(this.lastDot)) };
  }

  /** Captures what is dirty and publishes what is queued, within the drain budget; true if nothing was left. */
  async drain(): Promise<boolean> {
    const { clock } = this.#parts;
    const until = clock.monotonic() + DRAIN_MS_MAX;
    while (this.#capture.pending > 0 && clock.monotonic() < until) await clock.sleep(5);
    await this.#capture.stop();
    const left = Math.max(0, until - clock.monotonic());
    const isSent = await this.publisher.drained(left);
    return isSent && this.#capture.pending === 0;
  }

  /** Remembers that this process was alive now: a later scan dates what it finds by it. */
  stageAlive(): void {
    if (this.#gap === undefined) this.#facts.alive = this.#parts.clock.now();
  }

  async #open(): Promise<void> {
    this.#info = await this.#parts.connector.open();
    this.#facts.mediaType = this.#info.mediaType;
  }

  async #listenAndRepair(signal: AbortSignal, onListening: () => void): Promise<void> {
    const { connector, logger, clock } = this.#parts;
    const listener = await connector.listen((event) => this.#capture.onEvent(event));
    this.#listener = this.#facts.nextListener();
    this.writes.listener = listener;
    let lost: string | undefined;
    const ended = new AbortController();
    const stop = () => ended.abort();
    signal.addEventListener("abort", stop);
    // It may have aborted while the listener was registered.
    if (signal.aborted) stop();
    const onLost = (reason: string): void => {
      lost = reason;
      this.#listener = -1;
      this.writes.listener = undefined;
      stop();
    };
    void listener.lost.then(onLost);
    try {
      onListening();
      this.#capture.start();
      const watching = this.#repairs.watchRuns(() => this.#gap === undefined, ended.signal);
      watching.catch((error: unknown) => this.#block(error));
      while (!ended.signal.aborted) {
        if (this.#gap !== undefined) await this.#repair(ended.signal);
        if (this.#gap !== undefined) await clock.sleep(200, ended.signal);
        else await this.#rescan.wait(ended.signal);
      }
    } finally {
      signal.removeEventListener("abort", stop);
      if (lost === undefined) await listener.close();
    }
    if (lost !== undefined && !signal.aborted) {
      this.openGap(`listener lost: ${lost}`);
      logger.warn({ reason: lost }, "listener lost, registering again");
    }
  }

  async #repair(signal: AbortSignal): Promise<void> {
    const gap = this.#gap;
    assert(gap, "a repair without a gap");
    const { ledger, logger } = this.#parts;
    this.#state = "scanning";
    const opened = this.#info?.runs ?? new Map<string, string>();
    const repaired = await this.#repairs.run(this.#unseenSince ?? gap.since, opened, signal);
    if (repaired === undefined) return;
    await this.#review.run(signal, this.#isNew || this.#rebuilding.isOn);
    if (signal.aborted || this.#gap !== gap) return;
    this.#gap = undefined;
    this.#state = "live";
    this.#problem = undefined;
    this.#isNew = false;
    this.#repairs.note(repaired.runs);
    this.stageAlive();
    await ledger.commit();
    const { scanned, different, missing, hasAbsent } = repaired;
    logger.info({ reason: gap.reason, scanned, different, missing }, "gap closed by a scan");
    const mayLackCopies = hasAbsent || this.#rebuilding.isOn || !this.#isScanned;
    this.#rebuilding.over();
    [this.#isScanned, this.#isReady] = [true, true];
    if (mayLackCopies) this.#parts.onAbsentKeys();
  }

  /** The date of what is found now and has none of its own, ms since the epoch; undefined: it was seen as it was written. */
  get #unseenSince(): number | undefined {
    const since = this.#gap?.since;
    return since !== undefined && this.#isNew ? undatedAt(since) : since;
  }

  #block(error: unknown): void {
    const { code } = error as { code?: unknown };
    // Once a cause, not once a try: it may last for hours.
    const isNew = (this.#problem as { code?: unknown } | undefined)?.code !== code;
    const isFirst = this.#problem === undefined;
    this.#state = "blocked";
    this.#problem = error;
    if (this.#gap === undefined) this.openGap("the cache could not be reached");
    if (isNew || isFirst) {
      this.#parts.logger.error({ err: error, code }, "cache blocked, tried again until it works");
    }
  }

  /** Brings a key's cache to what shows, once whoever holds its lock has ended; a scan does what fails. */
  #settle(key: Key, how: "settle" | "contest" = "settle"): void {
    const failed = () => this.openGap("a write without an answer could not be settled");
    this.#applier[how](key).catch(failed);
  }

  #hash(value: Uint8Array): ValueHash {
    return valueHash(this.#info?.mediaType ?? "", value);
  }

  /** What becomes of keys that go idle. */
  get #idling(): { asksPeers: boolean; onIdle: (key: Key) => void } {
    const { onIdleKey } = this.#parts;
    const asksPeers = onIdleKey !== undefined && !this.#invalidate;
    return { asksPeers, onIdle: (key) => onIdleKey?.(key) };
  }

  #makePublisher(): Publisher {
    const { site, cache, log, head, clock, random, processId, header, policy } = this.#parts;
    return new Publisher({
      site,
      cache,
      rows: this.rows,
      log,
      head,
      stats: this.stats,
      clock,
      random,
      processId,
      header: () => ({
        ...header(),
        policyHash: this.policyHash,
        mode: policy.mode as BatchHeader["mode"],
        mediaType: this.#facts.mediaType,
        held: this.writes.waiting > 0,
      }),
      onFailure: (error) => {
        if (this.#problem === undefined) {
          this.#parts.logger.warn({ err: error }, "publishing failed, tried again until it works");
        }
        this.#problem ??= error;
      },
      onPublished: (batch) => {
        this.#parts.onPublished(batch);
        if (this.#state !== "blocked") this.#problem = undefined;
      },
      onBroken: (error) => this.#parts.onLogBroken(error),
    });
  }

  #makeChanges(): LocalChanges {
    const { site, cache, dots, ledger, valueBytesMax, onUnsendable } = this.#parts;
    const queued = new GroupCommit(
      () => ledger.commit(),
      () => this.publisher.kick(),
    );
    return new LocalChanges({
      site,
      cache,
      ledger: this.rows,
      floor: this.floor,
      dots: dots.clock,
      stats: this.stats,
      valueBytesMax,
      withoutValues: this.#invalidate,
      frozenSeq: () => this.publisher.frozenSeq,
      onVersion: (dot) => {
        this.#facts.lastDot = dot;
      },
      onQueued: () => {
        void queued.run().catch((error: unknown) => this.#block(error));
      },
      onOversized: onUnsendable,
      isBeside: (before) => this.#isNew || this.#rebuilding.isBeside(before),
      givesWay: (key, entry, state, hash) => {
        if (entry === undefined) return undefined;
        const isTold = this.#rebuilding.hasTold(key, hash);
        if (!isTold && !this.#rebuilding.isBlind) return undefined;
        if (!isTold) this.#parts.onGivenWay(key, entry, state, hash);
        const stray = this.#applier.adopted(entry, state, hash);
        this.rows.put(key, stray);
        this.#settle(key);
        return stray;
      },
    });
  }

  #makeCapture(): Capture {
    const { ledger, connector, dots, clock, maxClockSkewMs, logger } = this.#parts;
    const outage = new CaptureOutage(clock);
    return new Capture({
      ledger,
      rows: this.rows,
      connector,
      locks: this.#locks,
      dirty: this.#dirty,
      changes: this.#changes,
      dots,
      stats: this.stats,
      clock,
      hash: (value) => this.#hash(value),
      expirySlackMs: maxClockSkewMs + 2_000,
      invalidate: this.#invalidate,
      ...this.#idling,
      evicts: () => this.evicts,
      unknownWrites: this.#unknownWrites,
      past: this.#past,
      copies: this.#copies,
      isDoubtful: (versions, hash) =>
        this.#invalidate && this.#rebuilding.isDoubtful(versions, hash),
      onSuperseded: (key) => this.#settle(key, "contest"),
      onStray: (key, entry, { read, write }) => {
        this.rows.put(key, this.#applier.adopted(entry, read.state, read.hash));
        // One that was not joined yet will be: its apply is tried again. One that was has been done too late.
        if (wasJoined(write, entry?.context ?? this.floor())) this.#settle(key);
      },
      listener: () => this.#listener,
      onGap: (reason) => this.openGap(reason),
      onUntoldLoss: (key) => this.#gap ?? this.#losses.lostReported(key),
      onGone: (key) => this.#losses.explained(key),
      onAbsence: (key, entry, mark) => this.#repairs.onAbsence(key, entry, mark.gapStart),
      onFailure: (error, failures) => {
        if (!outage.beginsWith(failures)) return;
        const { code } = error as { code?: unknown };
        logger.warn({ err: error, code }, "capturing fails, tried again until it works");
      },
    });
  }

  #makeApplier(): Applier {
    const { ledger, connector, dots, clock, maxClockSkewMs, policy, merges } = this.#parts;
    return new Applier({
      ledger,
      rows: this.rows,
      connector,
      locks: this.#locks,
      dirty: this.#dirty,
      changes: this.#changes,
      dots,
      stats: this.stats,
      clock,
      hash: (value) => this.#hash(value),
      floor: this.floor,
      policy: policy.conflict,
      merges,
      invalidate: this.#invalidate,
      ...this.#idling,
      isLocalKey: this.#parts.isLocalKey,
      expirySlackMs: maxClockSkewMs + 2_000,
      unknownWrites: this.#unknownWrites,
      intents: this.#intents,
      past: this.#past,
      copies: this.#copies,
      listener: () => this.#listener,
      onConflict: this.#parts.onConflict,
      unseenSince: () => this.#unseenSince,
      onMissingValue: () => this.#parts.onAbsentKeys(),
    });
  }
}
