import type { Mutation } from "../topology/mutation/mutation.ts";
import type { CacheName, SiteName } from "../topology/names.ts";
import type { CacheLedger, CacheState } from "../topology/ports.ts";
import type { Context, Dot, Entry, Key, ValueHash } from "../topology/version/entry.ts";
import { dotMs, type SiteClock } from "../topology/version/dot.ts";
import { EMPTY_CONTEXT } from "../topology/version/context.ts";
import { mergedWith } from "../topology/version/compare.ts";
import { besideOthers, localWrite } from "../topology/version/join.ts";
import type { CacheStats } from "./cache-stats.ts";

/** What {@link LocalChanges} needs of its site. */
export interface LocalChangesParts {
  readonly site: SiteName;
  readonly cache: CacheName;
  readonly ledger: CacheLedger;
  readonly floor: () => Context;
  readonly dots: SiteClock;
  readonly stats: CacheStats;
  /** Values above this many bytes are kept back. */
  readonly valueBytesMax: number;
  /** `invalidate`: no value byte goes to the log. */
  readonly withoutValues: boolean;
  /** Outbox rows up to here are in a batch already and cannot be replaced. */
  readonly frozenSeq: () => number;
  /** Called with each dot as its row is staged. */
  readonly onVersion: (dot: Dot) => void;
  /** Called after a row was staged. */
  readonly onQueued: () => void;
  /** Called for a value above the limit: the change is versioned here, but cannot be sent. */
  readonly onOversized: (key: Key, bytes: number) => void;
  /**
   * Whoever changed the key may have seen nothing of what its row knows of other sites: no scan of the cache ever ended here,
   * or the ledger was lost.
   */
  readonly isBeside?: (before: Entry) => boolean;
  /**
   * The row of what a scan found where that is no change: the ledger was lost, and a version of the key is known that it is
   * not. undefined: it is a change.
   */
  readonly givesWay?: (
    key: Key,
    before: Entry | undefined,
    state: CacheState,
    hash: ValueHash,
  ) => Entry | undefined;
}

/**
 * Gives a local change its version: entry and outbox row are staged in one run, so they are committed in one transaction.
 * The caller holds the key's lock and awaits the ledger's commit.
 */
export class LocalChanges {
  /** The outbox row of the newest change of this run; 0: there was none. */
  newestSeq = 0;
  /** Changes of this run that are in no row: their values are above the limit. */
  unsent = 0;
  /** A row of the outbox was replaced by a later one before it was published. */
  onReplaced: ((row: number, by: number) => void) | undefined;
  readonly #parts: LocalChangesParts;

  constructor(parts: LocalChangesParts) {
    this.#parts = parts;
  }

  /**
   * The cache holds `state`, which no known version explains.
   *
   * @param before the row that the writer could have seen
   * @param options `at` is when it was written, ms since the epoch; undefined: now, by the dot. `isUnheard`: no listener told of
   *   it, an apply came upon it
   */
  put(
    key: Key,
    before: Entry | undefined,
    state: CacheState,
    hash: ValueHash,
    options: { at: number | undefined; seenBy: number; isUnheard?: boolean },
  ): Entry {
    const { stats, valueBytesMax, withoutValues, givesWay } = this.#parts;
    // Only what a scan found has a time of its own; what a listener told of is a change.
    const mayGiveWay = options.at !== undefined || options.isUnheard === true;
    const stray = mayGiveWay ? givesWay?.(key, before, state, hash) : undefined;
    if (stray !== undefined) return stray;
    stats.capturedPuts += 1;
    const oversized = state.value.length > valueBytesMax;
    const entry = this.#stage(key, before, oversized, {
      kind: "put",
      at: options.at,
      hash,
      expiresAt: state.expiresAt,
      maxIdleMs: state.maxIdleMs,
      value: withoutValues ? undefined : state.value,
      held: {
        hash,
        token: state.token,
        seenBy: options.seenBy,
        expiresAt: state.expiresAt,
        maxIdleMs: state.maxIdleMs,
      },
    });
    if (oversized) {
      stats.oversized += 1;
      this.unsent += 1;
      this.#parts.onOversized(key, state.value.length);
    }
    return entry;
  }

  /** The key was removed here. */
  remove(key: Key, before: Entry | undefined, at: number | undefined): Entry {
    this.#parts.stats.capturedRemoves += 1;
    return this.#stage(key, before, false, {
      kind: "remove",
      at,
      hash: "",
      expiresAt: 0,
      maxIdleMs: 0,
      value: undefined,
      held: undefined,
    });
  }

  /**
   * The key was removed here before an apply, which did not know of that, gave it the copy that it holds. Whoever shows then
   * shows by the versions.
   *
   * @param before the row that the remover could have seen
   * @param now the row with the copy
   */
  removedBefore(key: Key, before: Entry, now: Entry): Entry {
    const { floor, ledger } = this.#parts;
    const removed = this.remove(key, before, undefined);
    const versions = mergedWith(now, floor(), { versions: removed, floor: floor() });
    const entry = { ...now, ...versions, outboxSeq: removed.outboxSeq };
    ledger.put(key, entry);
    return entry;
  }

  #stage(
    key: Key,
    before: Entry | undefined,
    unsent: boolean,
    change: {
      kind: "put" | "remove";
      at: number | undefined;
      hash: ValueHash;
      expiresAt: number;
      maxIdleMs: number;
      value: Uint8Array | undefined;
      held: Entry["held"];
    },
  ): Entry {
    const { site, ledger, dots, stats, frozenSeq, onQueued } = this.#parts;
    const { kind, hash, expiresAt, maxIdleMs } = change;
    const floor = this.#parts.floor();
    const dot = dots.next();
    this.#parts.onVersion(dot);
    const at = change.at ?? dotMs(dot);
    const write = { site, dot, at, kind, hash, expiresAt, maxIdleMs };
    const isBeside = before !== undefined && this.#parts.isBeside?.(before) === true;
    const context = isBeside ? EMPTY_CONTEXT : (before?.context ?? floor);
    const versions = isBeside ? besideOthers(before, write) : localWrite(before, floor, write);
    // Whoever waits for a change that is not sent must not take an earlier one for it.
    let outboxSeq = 0;
    if (!unsent) {
      const last = before?.outboxSeq ?? 0;
      const replaces = last > frozenSeq() ? last : undefined;
      if (replaces !== undefined) stats.conflated += 1;
      const bare: Mutation = { key, kind, dot, context, at, hash, expiresAt, maxIdleMs };
      const record = change.value === undefined ? bare : { ...bare, value: change.value };
      outboxSeq = ledger.enqueue(record, replaces);
      this.newestSeq = outboxSeq;
      if (replaces !== undefined) this.onReplaced?.(replaces, outboxSeq);
    }
    const entry: Entry = {
      context: versions.context,
      siblings: versions.siblings,
      presence: kind === "put" ? "live" : "tombstone",
      held: change.held,
      outboxSeq,
    };
    ledger.put(key, entry);
    if (!unsent) onQueued();
    return entry;
  }
}
