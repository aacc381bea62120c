import { OVERDUE_STEADY_MS, PRESENCE_NOTE_MS } from "../../topology/limits.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import { coversAll } from "../../topology/version/context.ts";
import type { Context } from "../../topology/version/entry.ts";
import type { Clock, Ledger } from "../../topology/ports.ts";

/** What the ledger keeps. */
interface Noted {
  /** The peer applied all that there was at this time, ms since the epoch; if it never did, since when it is watched. */
  levelAt: number;
  wasLevel: boolean;
}

interface Presence extends Noted {
  /** `levelAt` as the ledger has it. */
  notedAt: number;
  /** The ends of the other sites' logs at some time: once it applied those, it was level then. */
  asked: { readonly ends: Context; readonly at: number } | undefined;
  /** Since when it seems to be away for too long, monotonic ms; undefined: it does not. */
  overdueSince: number | undefined;
}

/**
 * Up to when each peer has applied all that the sites wrote to one cache. Facts of the ledger, because an absence is longer
 * than a process runs.
 */
export class PresenceWatch {
  readonly #ports: { readonly ledger: Ledger; readonly clock: Clock };
  readonly #cache: CacheName;
  readonly #maxAgeMs: number;
  readonly #peers = new Map<SiteName, Presence>();

  constructor(
    ports: { readonly ledger: Ledger; readonly clock: Clock },
    cache: CacheName,
    maxAgeMs: number,
  ) {
    this.#ports = ports;
    this.#cache = cache;
    this.#maxAgeMs = maxAgeMs;
  }

  /** The peer applied as much as `applied`; `ends` is what there is of the other sites now. Staged. */
  look(peer: SiteName, applied: Context | undefined, ends: Context): void {
    const { clock, ledger } = this.#ports;
    const presence = this.#of(peer);
    if (presence.asked !== undefined && applied && coversAll(applied, presence.asked.ends)) {
      presence.levelAt = presence.asked.at;
      presence.wasLevel = true;
      presence.asked = undefined;
    }
    presence.asked ??= { ends, at: clock.now() };
    if (Math.abs(presence.levelAt - presence.notedAt) >= PRESENCE_NOTE_MS) {
      const { levelAt, wasLevel } = presence;
      presence.notedAt = levelAt;
      ledger.setFact(this.#fact(peer), { levelAt, wasLevel });
    }
    const isOverdue = clock.now() - presence.levelAt > this.#maxAgeMs;
    presence.overdueSince = isOverdue ? (presence.overdueSince ?? clock.monotonic()) : undefined;
  }

  /** Since when the peer has not been level, ms since the epoch, 0 for ever, if that is too long; undefined: it is not. */
  overdue(peer: SiteName): number | undefined {
    const { levelAt, wasLevel, overdueSince } = this.#of(peer);
    if (overdueSince === undefined) return undefined;
    // A clock that was set makes every peer look away: one that is there shows it meanwhile.
    const isSteady = this.#ports.clock.monotonic() - overdueSince >= OVERDUE_STEADY_MS;
    if (!isSteady) return undefined;
    return wasLevel ? levelAt : 0;
  }

  /** It was re-seeded: its absence begins anew. Staged. */
  restart(peer: SiteName): void {
    this.#peers.delete(peer);
    this.#ports.ledger.setFact(this.#fact(peer), undefined);
  }

  #of(peer: SiteName): Presence {
    const known = this.#peers.get(peer);
    if (known !== undefined) return known;
    const fact = this.#fact(peer);
    const stored = this.#ports.ledger.fact(fact) as Noted | undefined;
    const noted = stored ?? { levelAt: this.#ports.clock.now(), wasLevel: false };
    if (stored === undefined) this.#ports.ledger.setFact(fact, noted);
    const made = { ...noted, notedAt: noted.levelAt, asked: undefined, overdueSince: undefined };
    this.#peers.set(peer, made);
    return made;
  }

  #fact(peer: SiteName): string {
    return `level/${this.#cache}/${peer}`;
  }
}
