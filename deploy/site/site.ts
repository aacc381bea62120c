import type { Config } from "../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import {
  ALIVE_INTERVAL_MS,
  CACHE_NAMES_INTERVAL_MS,
  CACHE_OPERATION_MS,
  RESYNC_RUNS_MAX,
} from "../../topology/limits.ts";
import { encodeTermBegin } from "../../topology/mutation/batch.ts";
import { logSubjects, termSubject, type CacheName, type SiteName } from "../../topology/names.ts";
import { cachesOf, policyOf } from "../../topology/policy/cache-policy.ts";
import { isPattern } from "../../topology/policy/reach.ts";
import type {
  Bus,
  CacheSite,
  Clock,
  Ledger,
  LogMirror,
  LogState,
  Logger,
  Random,
  SiteLog,
} from "../../topology/ports.ts";
import { isBeatContent } from "../../gateway/link/beat-content.ts";
import type { Context } from "../../topology/version/entry.ts";
import { ClockOffsets } from "../../gateway/link/clock-offset.ts";
import {
  Heartbeat,
  type BeatContent,
  type CacheTrouble,
  type Reseeded,
} from "../../gateway/link/heartbeat.ts";
import { Inbound } from "../../gateway/receive/inbound.ts";
import { PositionStore } from "../../gateway/receive/position-store.ts";
import { serveClaims } from "../../gateway/control/claims.ts";
import { serveFetch } from "../../gateway/resync/fetch-absent.ts";
import { serveIdle } from "../../gateway/resync/idle.ts";
import { serveResync } from "../../gateway/resync/serve-resync.ts";
import { Turns } from "../../gateway/resync/turns.ts";
import { AppliedAnnouncer, listenApplied } from "../../gateway/status/applied-exchange.ts";
import { CacheFacts } from "../../site-agent/cache-facts.ts";
import type { FrontDoor } from "../../site-agent/front-door/front-door.ts";
import { DotReserve } from "../../site-agent/dot-reserve.ts";
import { LogHead } from "../../site-agent/tail/log-head.ts";
import { newestRecord } from "../../site-agent/tail/newest-record.ts";
import { HandledCache } from "./handled-cache.ts";
import { noteLedgerLost } from "./rebuild.ts";
import { noteUncleanEnd } from "./recovery.ts";
import { reseededOf } from "./reseed.ts";
import { resyncCacheOf } from "./resync-cache-of.ts";
import { Journal } from "./journal.ts";
import type { Merges } from "./merges.ts";

/** Everything outside the code that a site works with: real servers, or the simulator's. */
export interface SitePorts {
  readonly cacheSite: CacheSite;
  readonly ledger: Ledger;
  readonly log: SiteLog;
  /** One for every other site. */
  readonly mirrors: ReadonlyMap<SiteName, LogMirror>;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** The lease under which this process acts: see gateway/link/lease.ts. */
export interface ActiveLease {
  readonly term: number;
  /** Until when this process is the active one for sure, ms on the monotonic clock. */
  deadline(): number;
}

const EPOCH = 1;
const CLEAN_FACT = "clean";

/**
 * One site: its caches' agents, the receivers of the other sites' logs, heartbeats and positions. It holds no connection of
 * its own, so the simulator runs exactly this.
 */
export class Site {
  readonly name: SiteName;
  readonly config: Config;
  readonly caches = new Map<CacheName, HandledCache>();
  readonly inbounds: readonly Inbound[];
  readonly heartbeat: Heartbeat;
  readonly offsets: ClockOffsets;
  readonly journal: Journal;
  readonly head: LogHead;
  readonly peers: readonly SiteName[];
  readonly ports: SitePorts;
  readonly lease: ActiveLease;
  readonly dots: DotReserve;
  readonly positions: PositionStore;
  readonly merges: Merges;
  readonly processId: string;
  /** On the monotonic clock, ms. */
  readonly startedAt: number;
  /** Where clients reach the cache so that writers wait; undefined: there is none. */
  frontDoor: FrontDoor | undefined;
  /** The ledger is new, and there is no log: the site is new too, or lost both. */
  isFresh = false;
  /** A ledger that was lost is rebuilt without waiting for these. */
  readonly without: ReadonlySet<SiteName>;
  /** Resyncs at work, of all caches. */
  readonly resyncs = new Turns(RESYNC_RUNS_MAX);
  readonly #announcers: ReadonlyMap<SiteName, AppliedAnnouncer>;
  readonly #unclean: boolean;
  #logState: LogState | undefined;
  #checking: Promise<void> | undefined;
  /** Term begins that this process wrote. */
  #terms = 0;
  readonly #ending = new AbortController();
  #running = new Set<Promise<void>>();

  constructor(
    config: Config,
    name: SiteName,
    ports: SitePorts,
    options: { lease: ActiveLease; merges: Merges; without?: ReadonlySet<SiteName> },
  ) {
    const { ledger, bus, clock, random, logger, log } = ports;
    this.name = name;
    this.config = config;
    this.ports = ports;
    this.startedAt = clock.monotonic();
    this.lease = options.lease;
    this.merges = options.merges;
    this.without = options.without ?? new Set();
    this.peers = config.sites.map((site) => site.name).filter((site) => site !== name);
    this.processId = random.bytes(8).toString("hex");
    this.journal = new Journal(ledger, clock);
    this.head = new LogHead(ledger, log, random);
    this.positions = new PositionStore(ledger);
    this.dots = new DotReserve(ledger, clock, () => this.#isActive());
    this.offsets = new ClockOffsets(name, this.peers, bus, clock);
    this.heartbeat = new Heartbeat({
      site: name,
      peers: this.peers,
      bus,
      clock,
      logger,
      content: () => this.#beat(),
      isContent: isBeatContent,
      onBeat: ({ beat }) => {
        for (const cache of this.caches.values()) {
          cache.targets.heard(beat.site, beat.content);
          cache.refusals.heard(beat.site, beat.content);
        }
      },
    });
    this.inbounds = this.peers.map((origin) => this.#makeInbound(origin));
    this.#announcers = new Map(
      this.inbounds.map((inbound) => [
        inbound.origin,
        new AppliedAnnouncer({ bus, clock }, inbound.origin, name, () =>
          inbound.receivers.map((r) => ({
            cache: r.cache,
            incarnation: r.incarnation,
            aside: r.aside,
            ...r.applied(),
          })),
        ),
      ]),
    );
    this.#unclean = ledger.fact(CLEAN_FACT) !== true;
  }

  /** This site's clock minus the peer's, ms; 0 until it was measured. */
  readonly offsetFrom = (peer: SiteName): number =>
    Math.round(-(this.offsets.offset(peer)?.offsetMs ?? 0));

  /** Runs until the signal aborts. Then call {@link stop}. */
  async run(signal: AbortSignal): Promise<void> {
    const { ledger, bus } = this.ports;
    signal.addEventListener("abort", () => this.#ending.abort(signal.reason));
    ledger.setFact(CLEAN_FACT, undefined);
    if (this.#unclean && !this.head.isNew) noteUncleanEnd(this);
    await ledger.sync();
    const ends = [
      serveFetch(bus, this.name, (cache) => this.caches.get(cache)?.agent),
      serveIdle(bus, this.name, (cache) => this.caches.get(cache)?.agent),
      serveClaims(bus, this.name, (cache) => this.caches.get(cache)?.singleUse),
      this.#serveResync(),
      ...this.peers.map((target) =>
        listenApplied(bus, this.name, target, (position) =>
          this.caches.get(position.cache)?.confirmed(target, position),
        ),
      ),
    ];
    try {
      const beats = [this.heartbeat.run(signal), this.offsets.run(signal)];
      await this.#logReady(signal);
      if (signal.aborted) return;
      for (const cache of cachesOf(this.config)) this.#addCache(cache, signal);
      const work = [
        ...this.inbounds.map((inbound) => inbound.run(signal)),
        this.#discover(signal),
        this.#tick(signal),
      ];
      await Promise.all([...beats, ...work]);
      await Promise.all(this.#running);
    } finally {
      for (const end of ends) end();
    }
  }

  /**
   * The graceful end, before the run's signal aborts: what is dirty is captured, what is queued is published. Resolves with
   * whether nothing was left.
   */
  async drain(): Promise<boolean> {
    const drained = await Promise.all([...this.caches.values()].map((c) => c.drain()));
    return drained.every(Boolean);
  }

  /** After {@link run} ended: says that everything the ledger knows is everything that was done, unless a write has no answer. */
  async stopped(): Promise<void> {
    const isOpen = [...this.caches.values()].some(({ agent }) => agent?.hasUnknownWrites === true);
    if (!isOpen) this.ports.ledger.setFact(CLEAN_FACT, true);
    await this.ports.ledger.sync();
  }

  /** A ledger that was lost is told of what this site did: no dot of it comes again. Staged. */
  noteOwnDot(cache: CacheName, context: Context | undefined): void {
    const dot = context?.get(this.name) ?? 0n;
    if (dot === 0n) return;
    this.dots.startAbove(dot);
    const facts = new CacheFacts(this.ports.ledger, cache);
    if (dot > facts.lastDot) facts.lastDot = dot;
  }

  /** Whether a cache whose writers wait is not listened to: nobody could tell when a write is captured. */
  get isDeaf(): boolean {
    if (this.caches.size === 0) return true;
    return [...this.caches.values()].some(({ hold }) => hold?.isDeaf === true);
  }

  /** Whether the last run ended without a crash. */
  get wasUnclean(): boolean {
    return this.#unclean;
  }

  /** The own log as it was last looked at. */
  get logState(): LogState | undefined {
    return this.#logState;
  }

  /** A receiver moved an applied position. */
  readonly onApplied = (origin: SiteName, urgent: boolean): void =>
    this.#announcers.get(origin)?.moved(urgent);

  /** The log was found broken while publishing: checked once, however many caches ask. */
  readonly checkLog = async (): Promise<void> => {
    this.#checking ??= this.#checkLog().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  };

  #isActive(): boolean {
    return this.lease.deadline() > this.ports.clock.monotonic() + CACHE_OPERATION_MS;
  }

  async #logReady(signal: AbortSignal): Promise<void> {
    const { logger, clock } = this.ports;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        if (this.head.isNew) await this.#adoptLog();
        await this.checkLog();
        return;
      } catch (error) {
        if (signal.aborted) return;
        const code = error instanceof IsthmusError ? error.code : undefined;
        if (attempt === 0) logger.error({ err: error, code }, "the log is not ready, tried again");
        await clock.sleep(Math.min(2 ** attempt * 100, 2_000), signal);
      }
    }
  }

  /** A ledger that knows no log beside a log with records: the ledger was lost. Goes on where the log stands. */
  async #adoptLog(): Promise<void> {
    const { log, logger } = this.ports;
    const last = await newestRecord(log, this.name, logSubjects(this.name));
    this.isFresh = last === undefined;
    if (last === undefined) return;
    const incarnation = last.kind === "batch" ? last.header.incarnation : last.incarnation;
    logger.warn({ incarnation }, "the ledger is new, but the log is not: the ledger was lost");
    noteLedgerLost(this);
    await this.head.adopt({ incarnation });
  }

  async #checkLog(): Promise<void> {
    const reason = await this.head.check(this.#peersAt());
    if (reason !== undefined) {
      this.ports.logger.error(
        { reason, code: ErrorCode.LogTruncated },
        "the log began a new incarnation; the peers are told and have a gap",
      );
    }
    await this.#beginTerm();
  }

  /** Makes this process the only one that the log takes records of. @throws TermOver if another one is by now */
  async #beginTerm(): Promise<void> {
    const { head, lease, name, ports } = this;
    const record = await newestRecord(ports.log, name, termSubject(name));
    if (record?.kind === "termBegin" && record.term > lease.term) {
      throw new IsthmusError(
        ErrorCode.TermOver,
        `term ${record.term} of ${name} has begun, this process's was ${lease.term}`,
      );
    }
    if (!this.#isActive()) {
      throw new IsthmusError(ErrorCode.LeaseLost, `the lease of ${name} is not renewed right now`);
    }
    this.#terms += 1;
    const { incarnation } = head;
    const begin = encodeTermBegin({ origin: name, epoch: EPOCH, term: lease.term, incarnation });
    const msgId = `${this.processId}/term/${this.#terms}`;
    const sent = head.standing;
    const ack = await ports.log.beginTerm(termSubject(name), begin, msgId, this.#ending.signal);
    head.acknowledged(ack, sent);
  }

  /** The highest sequence of the present incarnation that a peer says it applied. */
  #peersAt(): number {
    let highest = 0;
    for (const peer of this.peers) {
      const applied = this.heartbeat.last(peer)?.beat.content.applied[this.name] ?? {};
      for (const { incarnation, seq } of Object.values(applied)) {
        if (incarnation === this.head.incarnation) highest = Math.max(highest, seq);
      }
    }
    return highest;
  }

  #makeInbound(origin: SiteName): Inbound {
    const { mirrors, ledger, clock, random, logger } = this.ports;
    const mirror = mirrors.get(origin);
    if (mirror === undefined) throw new Error(`isthmus bug: no mirror for ${origin}`);
    return new Inbound({
      origin,
      mirror,
      ledger,
      positions: this.positions,
      clock,
      random,
      logger: logger.child({ origin }),
      announced: () => this.heartbeat.last(origin)?.beat.content.log,
      announcedEnd: (cache) => this.heartbeat.last(origin)?.beat.content.ends[cache]?.logSeq,
      onGap: (caches, reason) => {
        for (const cache of caches) this.caches.get(cache)?.openPeerGap(origin, reason);
      },
    });
  }

  #serveResync(): () => void {
    const { bus, clock } = this.ports;
    return serveResync({
      site: this.name,
      bus,
      clock,
      offsetMs: this.offsetFrom,
      cache: (name) => {
        const handled = this.caches.get(name);
        if (handled?.agent === undefined) return undefined;
        return resyncCacheOf(this, handled, handled.agent);
      },
    });
  }

  #addCache(cache: CacheName, signal: AbortSignal): void {
    if (this.caches.has(cache)) return;
    const policy = policyOf(this.config, cache);
    const handled = new HandledCache(this, policy);
    this.caches.set(cache, handled);
    for (const inbound of this.inbounds) inbound.add(handled.receiverOf(inbound));
    this.#running.add(handled.run(signal));
  }

  /** Patterns apply to what the site's Infinispan has: looked up now and then, because caches come while a site runs. */
  async #discover(signal: AbortSignal): Promise<void> {
    const { clock, cacheSite, logger } = this.ports;
    if (!this.config.policies.some((rule) => rule.match.some(isPattern))) return;
    while (!signal.aborted) {
      try {
        const names = await cacheSite.names();
        for (const name of names ?? []) {
          if (policyOf(this.config, name).mode !== "off") this.#addCache(name, signal);
        }
      } catch (error) {
        logger.debug({ err: error }, "the caches' names could not be read, tried again");
      }
      await clock.sleep(CACHE_NAMES_INTERVAL_MS, signal);
    }
  }

  /** Slow housekeeping: the log's state for the heartbeats, and when each cache was last known to be without a gap. */
  async #tick(signal: AbortSignal): Promise<void> {
    const { clock, ledger } = this.ports;
    while (!signal.aborted) {
      try {
        for (const cache of this.caches.values()) cache.targets.step();
        const { state, isBroken } = await this.head.look();
        this.#logState = state;
        // Nobody may write for long: what the log lost, the peers are to know.
        if (isBroken) await this.checkLog();
        for (const cache of this.caches.values()) cache.agent?.stageAlive();
        await ledger.commit();
        for (const cache of this.caches.values()) await cache.tombstones?.step();
      } catch {
        // The next look says more; publishing and the caches report what does not work.
      }
      await clock.sleep(ALIVE_INTERVAL_MS, signal);
    }
  }

  #beat(): BeatContent {
    const { head } = this;
    const ends: Record<string, { logSeq: number; outboxRows: number; dot: bigint }> = {};
    const policyHashes: Record<string, string> = {};
    const troubles: Record<string, CacheTrouble> = {};
    const refused: Record<SiteName, Record<string, number>> = {};
    const reseeded: Record<string, Reseeded> = {};
    for (const [name, cache] of this.caches) {
      if (cache.agent === undefined) continue;
      const { outboxRows, lastDot } = cache.agent;
      // A log that was made anew has nothing of what was published before.
      const logSeq = Math.min(cache.lastPublishedSeq, head.lastSeq);
      ends[name] = { logSeq, outboxRows, dot: lastDot };
      policyHashes[name] = cache.agent.policyHash;
      const trouble = cache.trouble;
      if (trouble !== undefined) troubles[name] = trouble;
      for (const peer of cache.refusals.peers) {
        refused[peer] = { ...refused[peer], [name]: cache.refusals.since(peer) ?? 0 };
      }
      const done = reseededOf(this, name);
      if (done !== undefined) reseeded[name] = done;
    }
    const applied: Record<SiteName, BeatContent["applied"][string]> = {};
    for (const { origin, receivers } of this.inbounds) {
      const positions = receivers.map((r) => {
        const { cache, incarnation } = r;
        // While something of it is missing here no site may drop what it superseded.
        const isWhole = this.caches.get(cache)?.peerGaps.get(origin) === undefined;
        const dot = isWhole ? r.appliedDot : 0n;
        const position = { incarnation, seq: r.applied().seq, dot, aside: r.aside };
        return [cache, isWhole ? position : { ...position, gap: true }] as const;
      });
      applied[origin] = Object.fromEntries(positions);
    }
    const { incarnation } = head;
    const state = this.#logState;
    const log =
      state === undefined
        ? undefined
        : { ...state, lastSeq: Math.max(state.lastSeq, head.lastSeq) };
    const { term } = this.lease;
    const own = { epoch: EPOCH, term, incarnation, log };
    return { ...own, ends, applied, policyHashes, troubles, refused, reseeded };
  }
}
