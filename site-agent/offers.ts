import type { CacheConnector, CacheLedger, Ledger, PeerEntry } from "../topology/ports.ts";
import type { Context, Key, ValueHash } from "../topology/version/entry.ts";
import { withValue } from "./apply/plan.ts";

/** What this site sends of its keys to a peer that asked: a value only where the cache still holds what the ledger says. */
export class Offers {
  readonly #rows: CacheLedger;
  readonly #ledger: Ledger;
  readonly #connector: CacheConnector;
  readonly #floor: () => Context;
  readonly #hash: (value: Uint8Array) => ValueHash;
  readonly #withoutValues: boolean;

  constructor(
    rows: CacheLedger,
    connector: CacheConnector,
    floor: () => Context,
    options: {
      readonly ledger: Ledger;
      readonly hash: (value: Uint8Array) => ValueHash;
      readonly withoutValues: boolean;
    },
  ) {
    this.#rows = rows;
    this.#ledger = options.ledger;
    this.#connector = connector;
    this.#floor = floor;
    this.#hash = options.hash;
    this.#withoutValues = options.withoutValues;
  }

  /**
   * One entry per key that this site can speak for, in any order: not for one whose value is not settled right now. What it
   * tells is on disk: a version that a crash takes back here must not live on at a peer, where it has superseded others.
   *
   * @param copyless also for keys without a copy here: their versions alone
   */
  async of(keys: readonly Key[], copyless: boolean): Promise<readonly PeerEntry[]> {
    const offers = await Promise.all(keys.map((key) => this.#one(key, copyless)));
    await this.#ledger.sync();
    return offers.filter((offer) => offer !== undefined);
  }

  async #one(key: Key, copyless: boolean): Promise<PeerEntry | undefined> {
    const entry = this.#rows.get(key);
    const floor = this.#floor();
    if (entry === undefined) return { key, versions: undefined, floor };
    // A site without a copy cannot vouch for the value, and a peer that asks wants the value.
    if (entry.presence === "absent" && !copyless) return undefined;
    const versions = { context: entry.context, siblings: entry.siblings };
    const held = entry.held;
    if (held === undefined || this.#withoutValues) return { key, versions, floor };
    const state = await this.#connector.read(key);
    if (state === undefined || this.#hash(state.value) !== held.hash) return undefined;
    if (held.token !== undefined && held.token !== state.token) return undefined;
    return { key, versions: withValue(versions, held.hash, state.value), floor };
  }
}
