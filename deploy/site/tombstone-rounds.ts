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
import type { Site } from "./site.ts";

/**
 * Drops one cache's tombstones in two steps (design section 7): when all sites applied what there was, the ends of all logs
 * are noted; when all sites applied those ends, the tombstones of the first step go, and the ends join the floor. It waits
 * while any site is silent, has a gap, or keeps a dead letter.
 */
export class TombstoneRounds {
  readonly #site: Site;
  readonly #cache: HandledCache;
  readonly #agent: CacheAgent;
  #round: TombstoneRound | undefined;
  #begunAt = Number.NEGATIVE_INFINITY;
  /** Rows dropped since the process started. */
  dropped = 0;

  constructor(site: Site, cache: HandledCache, agent: CacheAgent) {
    this.#site = site;
    this.#cache = cache;
    this.#agent = agent;
  }

  /** One look; to be called now and then. */
  async step(): Promise<void> {
    const { clock } = this.#site.ports;
    if (!this.#agent.tombstones.mayBe || this.#agent.gap !== undefined) return;
    const announced = this.#announced();
    if (announced === undefined) return;
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
    this.dropped += await this.#agent.tombstones.drop(round, floor, expiredBefore);
  }

  /** undefined while a site has not announced what it applied. */
  #announced(): Announced | undefined {
    const { name, peers, heartbeat } = this.#site;
    const cache = this.#cache.name;
    const ends = new Map<SiteName, Dot>([[name, this.#agent.lastDot]]);
    const applied = new Map<SiteName, Context>();
    const ours = this.#cache.receivers.map((r) => [r.origin, r.appliedDot] as const);
    if (this.#cache.peerGaps.size > 0) return undefined;
    applied.set(name, new Map([[name, this.#agent.lastDot], ...ours]));
    for (const peer of peers) {
      const content = heartbeat.last(peer)?.beat.content;
      const end = content?.ends[cache];
      if (content === undefined || end === undefined) return undefined;
      ends.set(peer, end.dot);
      const seen = new Map<SiteName, Dot>([[peer, end.dot]]);
      for (const [origin, positions] of Object.entries(content.applied)) {
        seen.set(origin, positions[cache]?.dot ?? 0n);
      }
      applied.set(peer, seen);
    }
    return { sites: [name, ...peers], applied, ends };
  }
}
