import type { CacheConnector, CacheLedger, PeerEntry } from "../topology/ports.ts";
import type { Context, Key, ValueHash } from "../topology/version/entry.ts";
import { withValue } from "./apply/plan.ts";

/** What this site sends of its keys to a peer that asked: a value only where the cache still holds what the ledger says. */
export class Offers {
  readonly #rows: CacheLedger;
  readonly #connector: CacheConnector;
  readonly #floor: () => Context;
  readonly #hash: (value: Uint8Array) => ValueHash;

  constructor(
    rows: CacheLedger,
    connector: CacheConnector,
    floor: () => Context,
    hash: (value: Uint8Array) => ValueHash,
  ) {
    this.#rows = rows;
    this.#connector = connector;
    this.#floor = floor;
    this.#hash = hash;
  }

  /** One entry per key that this site can speak for, in any order: not for one whose value is not settled right now. */
  async of(keys: readonly Key[]): Promise<readonly PeerEntry[]> {
    const offers = await Promise.all(keys.map((key) => this.#one(key)));
    return offers.filter((offer) => offer !== undefined);
  }

  async #one(key: Key): Promise<PeerEntry | undefined> {
    const entry = this.#rows.get(key);
    const floor = this.#floor();
    if (entry === undefined) return { key, versions: undefined, floor };
    // A site without a copy cannot vouch for the value, and a peer that asks wants the value.
    if (entry.presence === "absent") return undefined;
    const versions = { context: entry.context, siblings: entry.siblings };
    const held = entry.held;
    if (held === undefined) return { key, versions, floor };
    const state = await this.#connector.read(key);
    if (state === undefined || this.#hash(state.value) !== held.hash) return undefined;
    if (held.token !== undefined && held.token !== state.token) return undefined;
    return { key, versions: withValue(versions, held.hash, state.value), floor };
  }
}
