import { ErrorCode, type IsthmusError } from "../../topology/errors.ts";
import { PEER_SILENT_MS } from "../../topology/limits.ts";
import { type CacheName, logSubject, type SiteName } from "../../topology/names.ts";
import { localKeysOf, withoutKeys } from "../../topology/policy/local-keys.ts";
import { type CachePolicy, localName, targetsOf } from "../../topology/policy/cache-policy.ts";
import type { Inbound } from "../../gateway/receive/inbound.ts";
import { AppliedTimes } from "../../gateway/receive/applied-times.ts";
import { DeadLetterRetry } from "../../gateway/receive/dead-letter-retry.ts";
import { Receiver, type ReceiverParts } from "../../gateway/receive/receiver.ts";
import { askClaim, releaseClaim } from "../../gateway/control/claims.ts";
import { AbsentFetcher } from "../../gateway/resync/fetch-absent.ts";
import { IdleAsker } from "../../gateway/resync/idle.ts";
import type { CacheTrouble } from "../../gateway/link/heartbeat.ts";
import type { AppliedPosition } from "../../gateway/status/applied-exchange.ts";
import { Unconfirmed } from "../../gateway/status/unconfirmed.ts";
import { policyFact } from "../../site-agent/policy-review.ts";
import { CacheAgent } from "../../site-agent/cache-agent.ts";
import { SingleUse } from "../../site-agent/front-door/single-use.ts";
import type { CacheConnector } from "../../topology/ports.ts";
import type { Key } from "../../topology/version/entry.ts";
import { versionShown } from "../../topology/version/show.ts";
import { CacheHold } from "./cache-hold.ts";
import { Pause } from "./pause.ts";
import { PeerGaps } from "./peer-gaps.ts";
import { PeerRepair } from "./peer-repair.ts";
import { rebuilt, recoverOrRebuild } from "./rebuild.ts";
import { Refusals } from "./refusals.ts";
import type { Site } from "./site.ts";
import { Targets } from "./targets.ts";
import { TombstoneRounds } from "./tombstone-rounds.ts";

/** In the journal, the author of a value that no version tells of. */
const UNKNOWN = "(unknown)";

/** One cache at one site: the agent (unless it is off or local here), its receivers, and what its targets confirmed. */
export class HandledCache {
  readonly name: CacheName;
  readonly policy: CachePolicy;
  /** undefined: off or never. */
  readonly agent: CacheAgent | undefined;
  readonly fetcher: AbsentFetcher | undefined;
  readonly idleAsker: IdleAsker | undefined;
  /** Whether a key stays at this site. */
  readonly isLocalKey: (key: Key) => boolean;
  /** What the peers must have too: the conflict policy, and which keys stay at their site. */
  readonly policyHash: string;
  readonly tombstones: TombstoneRounds | undefined;
  readonly receivers: Receiver[] = [];
  /** Per origin. */
  readonly retries = new Map<SiteName, DeadLetterRetry>();
  readonly appliedTimes = new Map<SiteName, AppliedTimes>();
  /** Per target of this site's own changes. */
  readonly unconfirmed: ReadonlyMap<SiteName, Unconfirmed>;
  readonly targets: Targets;
  readonly peerGaps: PeerGaps;
  readonly pause: Pause;
  readonly refusals: Refusals;
  readonly repair: PeerRepair | undefined;
  /** undefined: its writers never wait. */
  readonly hold: CacheHold | undefined;
  /** undefined: its keys may be used at any site at once. */
  readonly singleUse: SingleUse | undefined;
  lastPublishedSeq = 0;
  /** The cache's newest record in the own log when this run began, seq 0: none; undefined: not read yet. */
  earlierEnd: { readonly incarnation: string; readonly seq: number } | undefined;
  readonly #site: Site;

  constructor(site: Site, policy: CachePolicy) {
    this.#site = site;
    this.name = policy.cache;
    this.policy = policy;
    const { localKeys } = policy;
    this.isLocalKey = localKeysOf(localKeys);
    const without = localKeys.length === 0 ? "" : ` without ${localKeys.join(" ")}`;
    this.policyHash = site.merges.hashOf(policy.conflict) + without;
    const isHandled = policy.mode !== "off" && policy.mode !== "never";
    const targets = isHandled ? targetsOf(site.config, policy, site.name) : [];
    this.unconfirmed = new Map(targets.map((target) => [target, new Unconfirmed()]));
    this.peerGaps = new PeerGaps(site.ports, this.name, isHandled ? site.peers : []);
    this.targets = new Targets(site, this, targets);
    this.pause = new Pause(site.ports, this.name);
    this.refusals = new Refusals(site, this);
    this.#noteSwitch(isHandled);
    if (isHandled) this.#notePolicy();
    this.agent = isHandled ? this.#makeAgent() : undefined;
    this.fetcher = this.agent === undefined ? undefined : this.#makeFetcher(this.agent);
    this.idleAsker =
      this.agent === undefined || this.fetcher === undefined
        ? undefined
        : this.#makeIdleAsker(this.agent, this.fetcher);
    this.tombstones =
      this.agent === undefined ? undefined : new TombstoneRounds(site, this, this.agent);
    this.repair = this.agent === undefined ? undefined : new PeerRepair(site, this, this.agent);
    this.hold =
      this.agent === undefined || policy.mode !== "sync"
        ? undefined
        : new CacheHold(site, this, { agent: this.agent, targets });
    this.singleUse =
      this.agent === undefined || policy.singleUse === undefined
        ? undefined
        : this.#makeSingleUse(this.agent);
  }

  /** Runs until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { agent, fetcher, idleAsker, repair } = this;
    if (agent === undefined) return;
    await Promise.all([
      agent.run(signal, () => this.#recover(agent, signal)),
      fetcher?.run(signal),
      idleAsker?.run(signal),
      repair?.run(signal),
    ]);
  }

  async drain(): Promise<boolean> {
    return this.agent?.drain() ?? true;
  }

  /** The cache here, as all but its own clients may see it: without the keys that stay at this site. */
  get connector(): CacheConnector {
    const { policy, isLocalKey } = this;
    const connector = this.#site.ports.cacheSite.cache(localName(policy, this.#site.name));
    return policy.localKeys.length > 0 ? withoutKeys(connector, isLocalKey) : connector;
  }

  /** The cache does not exist here, as far as its servers were asked. */
  get isMissing(): boolean {
    const { state, problem } = this.agent ?? {};
    return state === "blocked" && (problem as IsthmusError).code === ErrorCode.CacheMissing;
  }

  /** What the other sites are told is not as it should be with this cache here. */
  get trouble(): CacheTrouble | undefined {
    if (this.pause.isOn) return "paused";
    if (this.agent?.state === "blocked") return "blocked";
    return this.agent?.gap === undefined ? undefined : "gap";
  }

  /** A target announced how far it applied this cache. */
  confirmed(target: SiteName, position: AppliedPosition): void {
    this.unconfirmed.get(target)?.confirmed(position.incarnation, position);
    this.hold?.confirmations.confirmed(target, position.incarnation, position);
  }

  /** Batches of a peer may have been missed. */
  openPeerGap(peer: SiteName, reason: string): void {
    if (this.agent !== undefined) this.peerGaps.open(peer, reason);
  }

  /** While a cache is off here everybody's changes pass it by: switching it on again is a gap toward all peers. */
  #noteSwitch(isHandled: boolean): void {
    const { ports, peers } = this.#site;
    const fact = `off/${this.name}`;
    const wasOff = ports.ledger.fact(fact) === true;
    if (!isHandled && !wasOff) ports.ledger.setFact(fact, true);
    if (!isHandled || !wasOff) return;
    for (const peer of peers) this.peerGaps.open(peer, "the cache was off here");
    ports.ledger.setFact(fact, undefined);
  }

  /**
   * Of a key whose tombstone was dropped at one site, another may still have the remove and an older put, which shows under
   * another conflict policy: the sites compare what they have.
   */
  #notePolicy(): void {
    const { ports, peers } = this.#site;
    const before = ports.ledger.fact(policyFact(this.name));
    if (before === undefined || before === this.policyHash) return;
    for (const peer of peers) this.peerGaps.open(peer, "the conflict policy is another one");
  }

  /** The receiver of this cache in one origin's log. */
  receiverOf(inbound: Inbound): Receiver {
    const { config, ports, positions, journal, name: site } = this.#site;
    const { origin } = inbound;
    const { policy, agent } = this;
    const isTarget = targetsOf(config, policy, origin).includes(site);
    const mirror = ports.mirrors.get(origin);
    if (mirror === undefined) throw new Error(`isthmus bug: no mirror for ${origin}`);
    const times = new AppliedTimes();
    const parts: ReceiverParts = {
      site,
      origin,
      cache: this.name,
      mirror,
      ledger: ports.ledger,
      positions,
      hands: agent,
      receiving: () => ({
        origin,
        cache: this.name,
        mode: policy.mode,
        isTarget,
        isPaused: this.pause.isOn,
        refusal: this.refusals.has(origin) ? this.refusals.refusal(origin).message : undefined,
        voidUpTo: this.refusals.voidUpTo(origin),
        policyHash: agent?.policyHash ?? "",
        originPolicyHash: this.#site.heartbeat.last(origin)?.beat.content.policyHashes[this.name],
        mediaType: agent?.isReady === true ? agent.mediaType : undefined,
      }),
      offsetMs: () => this.#site.offsetFrom(origin),
      mayForget: () => agent?.hasUnknownWrites !== true,
      clock: ports.clock,
      random: ports.random,
      logger: ports.logger.child({ origin, cache: this.name }),
      onApplied: (urgent) => {
        times.moved(receiver.appliedSeq, ports.clock.now());
        this.#site.onApplied(origin, urgent);
      },
      onGap: (reason) => this.openPeerGap(origin, reason),
      onDeadLetter: (letter) => {
        journal.addDeadLetter(letter);
        ports.logger.error(
          { origin, cache: this.name, seq: letter.seq, reason: letter.reason },
          "dead letter: a mutation cannot be applied and was set aside",
        );
      },
    };
    const receiver = new Receiver(parts);
    this.retries.set(origin, new DeadLetterRetry(parts));
    this.appliedTimes.set(origin, times);
    this.receivers.push(receiver);
    return receiver;
  }

  /** What an earlier run published: the targets may not have confirmed it, and nothing else remembers it. */
  async #readEarlierEnd(): Promise<void> {
    if (this.earlierEnd !== undefined) return;
    const { ports, name, head } = this.#site;
    const { incarnation } = head;
    const seq = (await ports.log.last(logSubject(name, this.name)))?.seq ?? 0;
    this.earlierEnd = { incarnation, seq };
    this.lastPublishedSeq = Math.max(this.lastPublishedSeq, seq);
  }

  /** After an unclean end: the versions that the last run may have applied, or published, without committing them. */
  async #recover(agent: CacheAgent, signal: AbortSignal): Promise<void> {
    await this.#readEarlierEnd();
    const site = this.#site;
    await site.merges.ready(this.policy.conflict, site.ports);
    await agent.recoverIntents();
    await recoverOrRebuild(site, this, agent, signal);
  }

  #makeAgent(): CacheAgent {
    const { policy } = this;
    const { ports, config, name: site, merges, head, dots, processId, lease } = this.#site;
    const { ledger, log, clock, random, logger } = ports;
    const { connector, isLocalKey, policyHash } = this;
    return new CacheAgent({
      site,
      cache: this.name,
      policy,
      merges: merges.registry,
      connector,
      isLocalKey,
      ledger,
      log,
      head,
      dots,
      clock,
      random,
      logger: logger.child({ cache: this.name }),
      processId,
      valueBytesMax: config.limits.maxValueBytes,
      maxClockSkewMs: config.limits.maxClockSkewMs,
      policyHash,
      header: () => ({
        epoch: 1,
        term: lease.term,
        offsets: new Map(
          this.#site.peers.map((peer) => [peer, -this.#site.offsetFrom(peer)] as const),
        ),
      }),
      onLogBroken: () => this.#site.checkLog(),
      onPublished: (batch) => {
        this.lastPublishedSeq = batch.seq;
        for (const waiting of this.unconfirmed.values()) waiting.published(head.incarnation, batch);
        this.hold?.confirmations.published(head.incarnation, batch);
      },
      onConflict: (key, versions, shows) =>
        this.#site.journal.addConflict(this.name, key, versions, shows, policy.conflict),
      onGivenWay: (key, entry, state, hash) => {
        const { value, createdAt: at, expiresAt, maxIdleMs } = state;
        const found = { author: UNKNOWN, dot: 0n, at, kind: "put", hash, value } as const;
        const siblings = [...entry.siblings, { ...found, expiresAt, maxIdleMs, offsetMs: 0 }];
        const shows = entry.siblings.length === 1 ? entry.siblings[0] : undefined;
        const versions = { context: entry.context, siblings };
        this.#site.journal.addConflict(this.name, key, versions, shows, policy.conflict);
      },
      onUnsendable: (key, bytes) => this.#site.journal.addUnsendable(this.name, key, bytes),
      onAbsentKeys: () => {
        rebuilt(this.#site, this.name);
        this.fetcher?.kick();
        this.idleAsker?.kick();
      },
      onIdleKey: this.#site.peers.length > 0 ? (key) => this.idleAsker?.add(key) : undefined,
    });
  }

  #makeFetcher(agent: CacheAgent): AbsentFetcher {
    const { bus, clock, random, logger } = this.#site.ports;
    return new AbsentFetcher({
      cache: this.name,
      peers: () => {
        if (this.pause.isOn) throw this.pause.refusal();
        return this.#site.peers.filter((peer) => !this.refusals.has(peer));
      },
      hands: agent,
      absentKeys: () => agent.absentKeys(),
      offsetMs: this.#site.offsetFrom,
      bus,
      clock,
      random,
      logger: logger.child({ cache: this.name }),
    });
  }

  #makeIdleAsker(agent: CacheAgent, fetcher: AbsentFetcher): IdleAsker {
    const { bus, clock, logger } = this.#site.ports;
    return new IdleAsker({
      cache: this.name,
      peers: this.#site.peers,
      rows: agent.idle,
      fetch: (keys) => fetcher.fetch(keys),
      offsetMs: this.#site.offsetFrom,
      isHeard: (peer) => this.#site.heartbeat.silenceMs(peer) <= PEER_SILENT_MS,
      stats: agent.stats,
      bus,
      clock,
      logger: logger.child({ cache: this.name }),
    });
  }

  #makeSingleUse(agent: CacheAgent): SingleUse {
    const { ports, name: site } = this.#site;
    const { bus, clock, random, logger } = ports;
    const { timeoutMs, onTimeout, conflict } = this.policy;
    return new SingleUse({
      site,
      rows: agent.rows,
      connector: this.connector,
      shows: ({ siblings }) => {
        const shows = versionShown(siblings, conflict);
        return shows?.kind === "put" ? shows : undefined;
      },
      ask: (home, claim, ms) => askClaim(bus, home, this.name, claim, ms),
      release: (home, claim) => releaseClaim(bus, home, this.name, claim),
      timeoutMs,
      onTimeout,
      newId: () => random.bytes(12).toString("hex"),
      clock,
      logger: logger.child({ cache: this.name }),
    });
  }
}
