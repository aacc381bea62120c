import { TOMBSTONE_ROUND_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { Context, Dot } from "../../topology/version/entry.ts";
import {
  beginRound,
  floorAfterRound,
  roundIsOver,
  type Announced,
  type TombstoneRound,
} from "../../topology/version/tombstone.ts";
import type { CacheAgent } from "../../site-agent/cache-agent.ts";
import type { HandledCache } from "./handled-cache.ts";
import { PresenceWatch } from "./presence.ts";
import type { Site } from "./site.ts";

/**
 * Drops one cache's tombstones in two steps (design section 7): when all sites applied what there was, the ends of all logs
 * are noted; when all sites applied those ends, the tombstones of the first step go, and the ends join the floor. It waits
 * while any site is silent, has a gap, or keeps a dead letter; but a site that has not applied for longer than
 * `tombstones.maxAge` what others removed is refused, and once all the others refuse it they wait for it no more.
 */
export class TombstoneRounds {
  readonly #site: Site;
  readonly #cache: HandledCache;
  readonly #agent: CacheAgent;
  readonly #presence: PresenceWatch;
  #round: TombstoneRound | undefined;
  /** The sites that the round at work waits for, as one text. */
  #among = "";
  #begunAt = Number.NEGATIVE_INFINITY;
  /** When old tombstones were looked for last, monotonic ms. */
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** Rows dropped since the process started; and those of them that a site had not applied, because it is refused. */
  dropped = 0;
  forced = 0;

  constructor(site: Site, cache: HandledCache, agent: CacheAgent) {
    this.#site = site;
    this.#cache = cache;
    this.#agent = agent;
    const { maxAgeMs } = site.config.limits.tombstones;
    this.#presence = new PresenceWatch(site.ports, cache.name, maxAgeMs);
  }

  /** One look; to be called now and then. */
  async step(): Promise<void> {
    const { clock } = this.#site.ports;
    if (!this.#agent.tombstones.mayBe || this.#agent.gap !== undefined) return;
    await this.#refuseOverdue();
    const announced = this.#announced();
    if (announced === undefined) return;
    const among = announced.sites.join();
    if (among !== this.#among) this.#round = undefined;
    this.#among = among;
    if (this.#round === undefined) {
      if (clock.monotonic() - this.#begunAt < TOMBSTONE_ROUND_MS) return;
      this.#begunAt = clock.monotonic();
      this.#round = beginRound(announced);
      return;
    }
    if (!roundIsOver(this.#round, announced)) return;
    const round = this.#round;
    this.#round = undefined;
    const floor = floorAfterRound(this.#agent.floor(), round);
    const expiredBefore = clock.now() - this.#site.config.limits.maxClockSkewMs - 2_000;
    const dropped = await this.#agent.tombstones.drop(round, floor, expiredBefore);
    this.dropped += dropped;
    if (this.#cache.refusals.peers.length > 0) this.forced += dropped;
  }

  /** A peer was re-seeded, or this site from others: its absence begins anew. Staged. */
  reseeded(peer: SiteName): void {
    this.#presence.restart(peer);
  }

  /** Refuses each peer that has been away for too long, if there are tombstones that it kept for that long. */
  async #refuseOverdue(): Promise<void> {
    const { peers, ports, config } = this.#site;
    const { refusals } = this.#cache;
    // One that is refused itself holds what may be out of date: it says nothing of others.
    if (refusals.byPeers.length > 0) return;
    const ends = this.#ends();
    for (const peer of peers) {
      const others = new Map([...ends].filter(([origin]) => origin !== peer));
      this.#presence.look(peer, this.#appliedAt(peer), others);
    }
    const overdue = peers.filter(
      (peer) => !refusals.has(peer) && this.#presence.overdue(peer) !== undefined,
    );
    const now = ports.clock.monotonic();
    if (overdue.length === 0 || now - this.#lookedAt < TOMBSTONE_ROUND_MS) return;
    this.#lookedAt = now;
    const before = ports.clock.now() - config.limits.tombstones.maxAgeMs;
    const oldest = await this.#agent.tombstones.newestBefore(before);
    if (oldest === undefined) return;
    for (const peer of overdue) {
      // What was removed before it was level it has applied.
      if (oldest <= (this.#presence.overdue(peer) ?? Infinity)) continue;
      refusals.refuse(peer);
      await this.#cache.receivers.find(({ origin }) => origin === peer)?.rest();
    }
    await ports.ledger.sync();
  }

  /** The newest dot of each site whose changes are taken, as far as it announced one. */
  #ends(): Map<SiteName, Dot> {
    const { name, peers, heartbeat } = this.#site;
    const ends = new Map<SiteName, Dot>([[name, this.#agent.lastDot]]);
    for (const peer of peers) {
      const end = heartbeat.last(peer)?.beat.content.ends[this.#cache.name];
      if (end !== undefined && !this.#cache.refusals.has(peer)) ends.set(peer, end.dot);
    }
    return ends;
  }

  /** What a peer says that it applied, its own changes among it; undefined: it was not heard. */
  #appliedAt(peer: SiteName): Context | undefined {
    const cache = this.#cache.name;
    const content = this.#site.heartbeat.last(peer)?.beat.content;
    const end = content?.ends[cache];
    if (content === undefined || end === undefined) return undefined;
    const seen = new Map<SiteName, Dot>([[peer, end.dot]]);
    for (const [origin, positions] of Object.entries(content.applied)) {
      seen.set(origin, positions[cache]?.dot ?? 0n);
    }
    return seen;
  }

  /** undefined while a site that is waited for has not announced what it applied. */
  #announced(): Announced | undefined {
    const { name, peers, heartbeat } = this.#site;
    const { name: cache, refusals, peerGaps, receivers } = this.#cache;
    if ([...peerGaps].some(([peer]) => !refusals.has(peer))) return undefined;
    const sites = peers.filter((peer) => !refusals.has(peer));
    const ours = receivers.map((r) => [r.origin, r.appliedDot] as const);
    const applied = new Map<SiteName, Context>();
    applied.set(name, new Map([[name, this.#agent.lastDot], ...ours]));
    const ends = this.#ends();
    for (const peer of sites) {
      const seen = this.#appliedAt(peer);
      if (seen === undefined) return undefined;
      applied.set(peer, seen);
      // Each of them must take nothing of a refused site before a tombstone goes that this had not applied.
      const theirs = heartbeat.last(peer)?.beat.content.refused;
      if (refusals.peers.some((other) => theirs?.[other]?.[cache] === undefined)) return undefined;
    }
    // Of a refused site counts what any of them applied: all must have that.
    for (const peer of refusals.peers) {
      const dots = [...applied.values()].map((seen) => seen.get(peer) ?? 0n);
      ends.set(
        peer,
        dots.reduce((a, b) => (a > b ? a : b), 0n),
      );
    }
    return { sites: [name, ...sites], applied, ends };
  }
}
