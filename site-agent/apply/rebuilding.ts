import { DOT_RESERVE_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { CacheLedger, PeerEntry, ServerRuns } from "../../topology/ports.ts";
import { dotMs } from "../../topology/version/dot.ts";
import type {
  Context,
  Entry,
  Key,
  Sibling,
  ValueHash,
  Versions,
} from "../../topology/version/entry.ts";
import type { Arrival } from "../../topology/version/join.ts";
import { runningSince } from "../connector/server-run.ts";
import { ToldValues } from "../told-values.ts";
import { rebuilt } from "./recovery.ts";

/** What {@link Rebuilding} needs of its cache. */
export interface RebuildingParts {
  readonly site: SiteName;
  readonly rows: CacheLedger;
  readonly floor: () => Context;
  /** The servers' present runs. */
  readonly runs: () => ServerRuns;
}

/** A ledger that was lost, of one cache, until a scan has learned what the cache holds. */
export class Rebuilding {
  readonly #parts: RebuildingParts;
  readonly #told = new ToldValues();
  #isOn = false;
  #isBlind = false;

  constructor(parts: RebuildingParts) {
    this.#parts = parts;
  }

  /** Rows were told of, and no scan has ended since. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /** The logs do not tell all of the ledger: what a scan finds may be a version that they told of no more. */
  get isBlind(): boolean {
    return this.#isBlind;
  }

  set isBlind(isBlind: boolean) {
    this.#isBlind = isBlind;
  }

  /** Stages a key's row with versions as the logs, or a peer, tell them, without touching the cache. */
  take(key: Key, told: readonly Arrival[] | PeerEntry): void {
    const { rows, floor } = this.#parts;
    this.#isOn = true;
    if (!("floor" in told) && !this.#told.add(key, told)) this.#isBlind = true;
    const entry = rebuilt(rows.get(key), floor(), told, (version) => this.#wasHeld(version));
    if (entry !== undefined) rows.put(key, entry);
  }

  /**
   * Whether who changed a key now may have seen less than its row knows: other sites went on while nobody was here. What the
   * row says that the cache holds was seen.
   */
  isBeside({ presence, held, siblings }: Entry): boolean {
    const isShown =
      presence === "live" && siblings.length === 1 && siblings[0]?.hash === held?.hash;
    return this.#isOn && !isShown;
  }

  /**
   * Under `invalidate`, of a copy of that hash: no log tells which value a copy is of, so it may be older than what the key's
   * versions say, and to be without one costs a load.
   */
  isDoubtful({ siblings }: Versions, hash: ValueHash): boolean {
    return this.#isOn && siblings.some((version) => version.hash !== hash);
  }

  /** Whether a log told of this value of the key. */
  hasTold(key: Key, hash: ValueHash): boolean {
    return this.#told.has(key, hash);
  }

  /** A scan has learned what the cache holds. */
  over(): void {
    this.#isOn = false;
    this.#isBlind = false;
    this.#told.clear();
  }

  /**
   * Whether a version was captured here in the present run of the cache's servers: if the cache does not hold it, a client
   * removed it while nobody listened, and to bring it back from a peer would undo that (I3).
   */
  #wasHeld({ author, dot }: Sibling): boolean {
    const since = runningSince(this.#parts.runs());
    // After a crash dots begin ahead of the wall clock.
    const isSince = since !== undefined && dotMs(dot) - DOT_RESERVE_MS > since;
    return author === this.#parts.site && isSince;
  }
}
