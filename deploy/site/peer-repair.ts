import { backOffMs } from "../../topology/back-off.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { PEER_SILENT_MS, RESYNC_AGAIN_MS_MAX } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import { targetsOf } from "../../topology/policy/cache-policy.ts";
import type { PeerEntry } from "../../topology/ports.ts";
import type { Key } from "../../topology/version/entry.ts";
import type { Reseeding } from "../../topology/version/reseeded.ts";
import { Wakeup } from "../../topology/wakeup.ts";
import {
  type Directions,
  Resync,
  type ResyncProgress,
  type ResyncResult,
} from "../../gateway/resync/resync.ts";
import type { CacheAgent } from "../../site-agent/cache-agent.ts";
import type { HandledCache } from "./handled-cache.ts";
import { type PeerGap, resyncFact } from "./peer-gaps.ts";
import { resyncCacheOf } from "./resync-cache-of.ts";
import type { Site } from "./site.ts";

/** What whoever wants a resync may give it. */
export interface ResyncOptions {
  /** Where an earlier one stood. */
  readonly resume?: ResyncProgress | undefined;
  /** Called with each step, and what was done since the last one. */
  readonly onProgress?: (
    progress: ResyncProgress,
    more: { readonly compared: number; readonly received: number },
  ) => void;
  /** Called with each key that differs. */
  readonly onDiffering?: (key: Key) => void;
  /** This site is re-seeded: entries replace its own. */
  readonly reseeding?: Reseeding;
}

/** Between two looks whether this site is ready itself. */
const READY_LOOK_MS = 200;

/**
 * Closes one cache's gaps toward the peers: each by a two-way resync with that peer, and, when the peer misses something
 * itself, with every other one too. A gap closes when all of them have ended (I7); until then the next try goes on where the
 * last one stood, also after a restart.
 */
export class PeerRepair {
  readonly #site: Site;
  readonly #cache: HandledCache;
  readonly #agent: CacheAgent;
  readonly #wakeup = new Wakeup();
  /** With whom a resync of that very gap has ended. */
  readonly #ended = new WeakMap<PeerGap, Set<SiteName>>();
  /** The resync at work; undefined: none. */
  running: { readonly peer: SiteName; readonly resync: Resync } | undefined;
  /** Since the process started: gaps closed, entries that came and went for it. */
  repaired = 0;
  received = 0;
  sent = 0;

  constructor(site: Site, cache: HandledCache, agent: CacheAgent) {
    this.#site = site;
    this.#cache = cache;
    this.#agent = agent;
    cache.peerGaps.onOpen = () => this.#wakeup.call();
  }

  /** Repairs whenever a gap is open, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#site.ports;
    const failures = new Map<SiteName, { attempt: number; reason: string }>();
    while (!signal.aborted) {
      if (this.#cache.peerGaps.size === 0) await this.#wakeup.wait(signal);
      if (!this.#agent.isReady || this.#cache.pause.isOn) {
        await clock.sleep(READY_LOOK_MS, signal);
        continue;
      }
      let attempts = 0;
      for (const [peer, gap] of Array.from(this.#cache.peerGaps)) {
        if (signal.aborted) return;
        try {
          await this.#repair(gap, signal);
          failures.delete(peer);
        } catch (error) {
          if (signal.aborted) return;
          const known = failures.get(peer);
          const reason = error instanceof Error ? error.message : String(error);
          const attempt = (known?.attempt ?? 0) + 1;
          attempts = Math.max(attempts, attempt);
          failures.set(peer, { attempt, reason });
          // Once a reason: a peer may be away for days.
          if (known?.reason === reason) continue;
          logger.warn(
            { peer, cache: this.#cache.name, err: error, code: codeOf(error) },
            "a gap toward a peer is not repaired yet, tried again until it is",
          );
        }
      }
      const waits = { firstMs: 100, mostMs: RESYNC_AGAIN_MS_MAX };
      if (this.#cache.peerGaps.size > 0)
        await clock.sleep(backOffMs(attempts, waits, random), signal);
    }
  }

  async #repair(gap: PeerGap, signal: AbortSignal): Promise<void> {
    const { peers, ports, config, name } = this.#site;
    const { peer } = gap;
    const receiver = this.#cache.receivers.find(({ origin }) => origin === peer);
    const losses = receiver?.losses ?? 0;
    const isTarget = targetsOf(config, this.#cache.policy, peer).includes(name);
    const result = isTarget ? await this.#resyncOnce(gap, peer, signal) : undefined;
    if (result !== undefined && !result.isPeerLevel) {
      const { refusals } = this.#cache;
      const others = peers.filter((other) => other !== peer && !refusals.has(other));
      for (const other of others) await this.#resyncOnce(gap, other, signal);
    }
    if (this.#cache.peerGaps.get(peer) !== gap) return;
    if (result !== undefined) receiver?.repaired(result.peerDot, losses);
    this.#cache.peerGaps.close(gap);
    await ports.ledger.commit();
    this.repaired += 1;
    const nothing = { differing: 0, received: 0, sent: 0, bytes: 0, wireBytes: 0 };
    const { differing, received, sent, bytes, wireBytes } = result ?? nothing;
    ports.logger.info(
      {
        peer,
        cache: this.#cache.name,
        reason: gap.reason,
        differing,
        received,
        sent,
        bytes,
        wireBytes,
      },
      "gap toward a peer closed by a resync",
    );
  }

  /** A resync that ended once for a gap is not repeated because another one failed. */
  async #resyncOnce(
    gap: PeerGap,
    peer: SiteName,
    signal: AbortSignal,
  ): Promise<ResyncResult | undefined> {
    const ended = this.#ended.get(gap) ?? new Set();
    this.#ended.set(gap, ended);
    // With the gap's own peer it is repeated: what it told is needed to close the gap.
    if (ended.has(peer) && peer !== gap.peer) return undefined;
    const directions = this.#directions(peer);
    if (directions === undefined) return undefined;
    const result = await this.resync(peer, directions, signal, this.#kept(gap, peer));
    ended.add(peer);
    return result;
  }

  /** How far the resync with a gap's own peer is, is kept in the ledger. */
  #kept(gap: PeerGap, peer: SiteName): ResyncOptions {
    if (gap.peer !== peer) return {};
    const { ledger } = this.#site.ports;
    const fact = resyncFact(this.#cache.name, peer);
    return {
      resume: ledger.fact(fact) as ResyncProgress | undefined,
      onProgress: (progress) => ledger.setFact(fact, progress),
    };
  }

  /** undefined: the policy sends nothing either way. */
  #directions(peer: SiteName): Directions | undefined {
    const { config, name } = this.#site;
    const { policy } = this.#cache;
    const pulls = targetsOf(config, policy, peer).includes(name);
    const push = targetsOf(config, policy, name).includes(peer);
    if (!pulls && !push) return undefined;
    return { pull: pulls ? "values" : "number", push };
  }

  /**
   * One resync with a peer, when it is its turn.
   *
   * @throws as {@link Resync.run}, PeerUnreachable while the peer is silent, OperationRefused while the cache is paused,
   *   ReseedNeeded
   */
  async resync(
    peer: SiteName,
    directions: Directions,
    signal: AbortSignal,
    { resume, onProgress, onDiffering, reseeding }: ResyncOptions = {},
  ): Promise<ResyncResult> {
    const { ports, name, heartbeat, offsetFrom, resyncs } = this.#site;
    const { bus, clock, random } = ports;
    if (heartbeat.silenceMs(peer) > PEER_SILENT_MS) {
      throw new IsthmusError(ErrorCode.PeerUnreachable, `no heartbeat of ${peer}`);
    }
    const { pause, refusals } = this.#cache;
    // What only compares may go on.
    const isMerging = directions.pull !== "number";
    if (pause.isOn && isMerging) throw pause.refusal();
    if (reseeding === undefined && isMerging) {
      if (refusals.has(peer)) throw refusals.refusal(peer);
      if (refusals.by(peer) !== undefined) throw refusals.ownRefusal(peer);
    }
    const ending = isMerging ? AbortSignal.any([signal, pause.signal]) : signal;
    const agent = this.#agent;
    const hands =
      reseeding === undefined
        ? agent
        : {
            merge: (entry: PeerEntry) => agent.merge(entry, reseeding),
            tell: (keys: readonly Key[]) => agent.tell(keys),
          };
    const here = resyncCacheOf(this.#site, this.#cache, agent, hands);
    const offsetMs = (): number => offsetFrom(peer);
    const parts = { site: name, peer, here, bus, clock, random, offsetMs };
    let told = { compared: 0, received: 0 };
    const resync: Resync = new Resync(
      {
        ...parts,
        onProgress: (progress) => {
          const now = { compared: resync.compared, received: resync.counts.received };
          const { compared, received } = told;
          told = now;
          onProgress?.(progress, {
            compared: now.compared - compared,
            received: now.received - received,
          });
        },
        ...(onDiffering !== undefined && { onDiffering }),
      },
      directions,
      resume,
    );
    return resyncs.run(async () => {
      this.running = { peer, resync };
      try {
        const result = await resync.run(ending);
        if (directions.pull === "values" || directions.pull === "replacement") {
          await this.#agent.tombstones.raise(result.peerFloor);
          // For its figures alone: whether it hears it decides nothing.
          await resync.tellDone().catch(() => undefined);
        }
        return result;
      } finally {
        this.running = undefined;
        this.received += resync.counts.received;
        this.sent += resync.counts.sent;
      }
    });
  }
}

const codeOf = (error: unknown): string | undefined =>
  error instanceof IsthmusError ? error.code : undefined;
