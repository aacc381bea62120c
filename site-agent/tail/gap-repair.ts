import type {
  CacheConnector,
  CacheLedger,
  Clock,
  Ledger,
  Logger,
  ServerRuns,
} from "../../topology/ports.ts";
import { CACHE_RUNS_INTERVAL_MS } from "../../topology/limits.ts";
import type { CacheName } from "../../topology/names.ts";
import type { Entry, Key, ValueHash } from "../../topology/version/entry.ts";
import type { CacheStats } from "../cache-stats.ts";
import type { LocalChanges } from "../local-changes.ts";
import type { UntoldLosses } from "../untold-losses.ts";
import { isRestarted, judgeAbsences, withNewRuns } from "./absences.ts";
import type { Capture } from "./capture.ts";
import { markMissing, scanCache, type ScanResult } from "./repair.ts";

/** What {@link GapRepair} needs of its site. */
export interface GapRepairParts {
  readonly cache: CacheName;
  readonly ledger: Ledger;
  readonly rows: CacheLedger;
  readonly connector: CacheConnector;
  readonly capture: Capture;
  readonly changes: LocalChanges;
  readonly stats: CacheStats;
  readonly losses: UntoldLosses;
  readonly hash: (value: Uint8Array) => ValueHash;
  readonly evicts: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a repair that came to its end found. */
export interface Repaired extends ScanResult {
  /** Keys without a copy here wait for one from the peers. */
  readonly hasAbsent: boolean;
  /** The servers' runs that the scan saw. */
  readonly runs: ServerRuns;
}

/** What a scan alone says of the keys that it did not find. */
type Missing = Pick<Parameters<typeof judgeAbsences>[0], "live" | "missing" | "cacheRestarted">;

/** Repairs a gap of one cache by a scan, and judges what the scan does not find. */
export class GapRepair {
  readonly #parts: GapRepairParts;
  /** Of the last scan that found keys missing. */
  #found: Missing | undefined;
  /** Kept until a gap closes: a scan that finds a copy gone may not end, and the next one does not find it missing any more. */
  #hasAbsent = false;

  constructor(parts: GapRepairParts) {
    this.#parts = parts;
  }

  /**
   * Scans, and resolves once what differs is captured; undefined: the signal aborted.
   *
   * @param gapStart ms since the epoch
   * @param opened the servers' runs when the cache was opened
   */
  async run(
    gapStart: number,
    opened: ServerRuns,
    signal: AbortSignal,
  ): Promise<Repaired | undefined> {
    const { connector, ledger, capture, losses, logger } = this.#parts;
    const before = ledger.fact(this.#runsFact) as ServerRuns | undefined;
    // What is captured from now on is of this run, also if no scan ever ends in it.
    if (before === undefined) ledger.setFact(this.#runsFact, opened);
    const scan = await scanCache(this.#parts, gapStart, signal);
    if (signal.aborted) return undefined;
    // It may have been restarted since it was opened: what the scan saw is told by the runs behind it.
    const { runs } = await connector.open();
    if (signal.aborted) return undefined;
    const { found, ...result } = scan;
    const { live, missing } = result;
    const cacheRestarted = isRestarted(before, opened) || isRestarted(opened, runs);
    if (cacheRestarted) losses.restarted();
    if (missing > 0) {
      this.#found = { live, missing, cacheRestarted };
      const judged = this.#judged(this.#found);
      logger.info({ ...judged, missing }, "absences judged");
      await markMissing(this.#parts, found, gapStart, signal);
    }
    await capture.drained();
    if (signal.aborted) return undefined;
    return { ...result, runs, hasAbsent: this.#hasAbsent };
  }

  /** Staged with the end of the gap: what is missing later is judged beside these runs. */
  note(runs: ServerRuns): void {
    this.#hasAbsent = false;
    this.#parts.ledger.setFact(this.#runsFact, runs);
  }

  /**
   * Until the signal aborts: remembers servers that join, or come back, while others of the known set run on. In a rolling
   * restart none of the first ones is left at the end, and yet the cache was never empty.
   *
   * @param isWhole no gap is open
   */
  async watchRuns(isWhole: () => boolean, signal: AbortSignal): Promise<void> {
    const { connector, ledger, clock } = this.#parts;
    while (!signal.aborted) {
      await clock.sleep(CACHE_RUNS_INTERVAL_MS, signal);
      if (signal.aborted || !isWhole()) continue;
      // What cannot be reached is reported by whoever needs it.
      const runs = await connector.runs().catch(() => new Map<string, string>());
      if (signal.aborted || !isWhole()) continue;
      const known = ledger.fact(this.#runsFact) as ServerRuns | undefined;
      const grown = known === undefined ? undefined : withNewRuns(known, runs);
      if (grown !== undefined) ledger.setFact(this.#runsFact, grown);
    }
  }

  /** An absence that the scan found, confirmed by a read; or one of a cache that evicts, at any time. */
  onAbsence(key: Key, entry: Entry, gapStart: number | undefined): void {
    const { changes, stats, losses, rows } = this.#parts;
    const isLostAgain = losses.lost(key);
    // Judged anew: what was found out since the scan counts too.
    const isRemoved = this.#found !== undefined && this.#judged(this.#found).verdict === "removed";
    if (isRemoved && !isLostAgain) {
      changes.remove(key, entry, gapStart);
      return;
    }
    stats.absences += 1;
    this.#hasAbsent = true;
    rows.put(key, { ...entry, presence: "absent", held: undefined });
  }

  #judged(found: Missing): ReturnType<typeof judgeAbsences> {
    const { evicts, losses } = this.#parts;
    return judgeAbsences({ ...found, evicts: evicts(), losesEntries: losses.areKnown });
  }

  get #runsFact(): string {
    return `runs/${this.#parts.cache}`;
  }
}
