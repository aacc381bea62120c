import type { CacheName } from "../topology/names.ts";
import type { Ledger } from "../topology/ports.ts";
import type { Dot } from "../topology/version/entry.ts";

/** What the ledger notes of one cache beside its rows, so that it survives a restart; what is set rides in the next commit. */
export class CacheFacts {
  readonly #ledger: Ledger;
  readonly #cache: CacheName;

  constructor(ledger: Ledger, cache: CacheName) {
    this.#ledger = ledger;
    this.#cache = cache;
  }

  /** When the cache was last known to be without a gap, ms since the epoch; undefined: no scan of it ever ended. */
  get alive(): number | undefined {
    return this.#ledger.fact(`alive/${this.#cache}`) as number | undefined;
  }

  set alive(at: number) {
    this.#ledger.setFact(`alive/${this.#cache}`, at);
  }

  /** The newest dot that this cache's changes here were given; 0: none. */
  get lastDot(): Dot {
    return (this.#ledger.fact(`dot/${this.#cache}`) as Dot | undefined) ?? 0n;
  }

  set lastDot(dot: Dot) {
    this.#ledger.setFact(`dot/${this.#cache}`, dot);
  }

  /** When it was last seen that the cache loses entries without an event, ms since the epoch; undefined: never. */
  get untoldLossAt(): number | undefined {
    return this.#ledger.fact(`untoldLoss/${this.#cache}`) as number | undefined;
  }

  set untoldLossAt(at: number | undefined) {
    this.#ledger.setFact(`untoldLoss/${this.#cache}`, at);
  }

  /** As the cache was opened last: what waits in the outbox is sent before the cache is open again. "": never. */
  get mediaType(): string {
    return (this.#ledger.fact(`mediaType/${this.#cache}`) as string | undefined) ?? "";
  }

  set mediaType(type: string) {
    if (type !== this.mediaType) this.#ledger.setFact(`mediaType/${this.#cache}`, type);
  }

  /** The number of a listener that was just registered: rows remember which one saw them, so none comes twice. */
  nextListener(): number {
    const fact = `listeners/${this.#cache}`;
    const number = ((this.#ledger.fact(fact) as number | undefined) ?? 0) + 1;
    this.#ledger.setFact(fact, number);
    return number;
  }
}
