import type { ConflictPolicy } from "../topology/policy/conflict.ts";
import type { CacheName } from "../topology/names.ts";
import type { CacheLedger, Clock, Ledger } from "../topology/ports.ts";
import { coversAll, EMPTY_CONTEXT, joinContexts } from "../topology/version/context.ts";
import { dotMs } from "../topology/version/dot.ts";
import type { Context, Entry } from "../topology/version/entry.ts";
import { shown, type MergeRegistry } from "../topology/version/show.ts";
import { dropsInRound, type TombstoneRound } from "../topology/version/tombstone.ts";
import type { CacheStats } from "./cache-stats.ts";
import type { KeyLocks } from "./key-locks.ts";
import { keysWith } from "./tail/repair.ts";

/** What {@link Tombstones} needs of its cache. */
export interface TombstonesParts {
  readonly cache: CacheName;
  readonly ledger: Ledger;
  readonly rows: CacheLedger;
  readonly locks: KeyLocks;
  readonly stats: CacheStats;
  readonly clock: Clock;
  readonly policy: ConflictPolicy;
  readonly merges: MergeRegistry;
}

/** The rows of one cache that show nothing, and their end. */
export class Tombstones {
  readonly #parts: TombstonesParts;
  /** The changes that had been counted when the last look found no tombstone that stays. */
  #seenAt = -1;
  #floor: Context;

  constructor(parts: TombstonesParts) {
    this.#parts = parts;
    const stored = parts.ledger.fact(`floor/${parts.cache}`);
    this.#floor = stored instanceof Map ? (stored as Context) : EMPTY_CONTEXT;
  }

  /** What a key without a row has seen. Asked for with each mutation, so it is kept here beside the ledger's fact. */
  get floor(): Context {
    return this.#floor;
  }

  /** Whether there may be any: false only when none came up since a look found none. */
  get mayBe(): boolean {
    return this.#changes() > this.#seenAt;
  }

  /**
   * Drops the rows that `round` covers; the floor goes up first, so that a crash between the two leaves rows that are
   * dropped later, never a key without its floor. Resolves with how many rows went.
   */
  async drop(round: TombstoneRound, floor: Context, expiredBefore: number): Promise<number> {
    const { ledger, clock, rows, locks, policy, merges } = this.#parts;
    const seenAt = this.#changes();
    await this.#setFloor(floor);
    let dropped = 0;
    let left = 0;
    for await (const key of keysWith(rows, "tombstone", clock)) {
      await locks.run(key, async () => {
        const entry = rows.get(key);
        if (entry?.presence !== "tombstone") return;
        const shows = shown(entry.siblings, policy, merges);
        // A resync may have seen beyond the round: what the floor does not say is not to be forgotten.
        const isSaid = coversAll(floor, entry.context);
        if (isSaid && dropsInRound(round, entry.siblings, shows, expiredBefore)) {
          rows.delete(key);
          dropped += 1;
        } else left += 1;
      });
    }
    await ledger.commit();
    if (left === 0) this.#seenAt = seenAt;
    return dropped;
  }

  /** When the newest tombstone from before `before` was made, ms since the epoch; undefined: there is none so old. */
  async newestBefore(before: number): Promise<number | undefined> {
    const { rows, clock } = this.#parts;
    let newest: number | undefined;
    for await (const key of keysWith(rows, "tombstone", clock)) {
      const entry = rows.get(key);
      if (entry?.presence !== "tombstone") continue;
      const at = madeAt(entry);
      if (at < before) newest = Math.max(newest ?? at, at);
    }
    return newest;
  }

  /** A resync of the whole cache with a site that has this floor has ended: what that applied is applied here. */
  async raise(floor: Context): Promise<void> {
    if (coversAll(this.#floor, floor)) return;
    await this.#setFloor(joinContexts(this.#floor, floor));
  }

  async #setFloor(floor: Context): Promise<void> {
    const { ledger, cache } = this.#parts;
    ledger.setFact(`floor/${cache}`, floor);
    this.#floor = floor;
    await ledger.sync();
  }

  #changes(): number {
    const { capturedRemoves, expired, appliedWrites, appliedKept } = this.#parts.stats;
    return capturedRemoves + expired + appliedWrites + appliedKept;
  }
}

/** When a key became a tombstone, in this site's clock: its newest remove, or the end of its last value. */
const madeAt = ({ siblings, context }: Entry): number => {
  const times = siblings.map(({ kind, at, expiresAt, offsetMs }) =>
    kind === "remove" || expiresAt === 0 ? at + offsetMs : expiresAt + offsetMs,
  );
  if (times.length > 0) return Math.max(...times);
  return Math.max(0, ...[...context.values()].map(dotMs));
};
