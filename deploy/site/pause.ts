import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { CacheName } from "../../topology/names.ts";
import type { Clock, Ledger, Logger } from "../../topology/ports.ts";

/**
 * Whether an operator paused one cache at this site: then nothing that other sites wrote is applied to it, by any path, and
 * the positions stay. A fact of the ledger, so that a restart keeps it.
 */
export class Pause {
  readonly #ports: { readonly ledger: Ledger; readonly clock: Clock; readonly logger: Logger };
  readonly #cache: CacheName;
  #since: number | undefined;
  #ending = new AbortController();

  constructor(
    ports: { readonly ledger: Ledger; readonly clock: Clock; readonly logger: Logger },
    cache: CacheName,
  ) {
    this.#ports = ports;
    this.#cache = cache;
    const stored = ports.ledger.fact(this.#fact);
    if (typeof stored === "number") this.#since = stored;
  }

  /** Since when, ms since the epoch; undefined: it is not paused. */
  get since(): number | undefined {
    return this.#since;
  }

  get isOn(): boolean {
    return this.#since !== undefined;
  }

  /** Aborts when the next pause begins: for work that applies. */
  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Pauses; resolves once a restart would keep it. False: it was paused already. */
  async begin(): Promise<boolean> {
    const { ledger, clock, logger } = this.#ports;
    if (this.isOn) return false;
    this.#since = clock.now();
    ledger.setFact(this.#fact, this.#since);
    this.#ending.abort(this.refusal());
    await ledger.sync();
    logger.warn({ cache: this.#cache }, "paused by an operator: nothing of other sites is applied");
    return true;
  }

  /** Goes on where it stopped. False: it was not paused. */
  async end(): Promise<boolean> {
    const { ledger, logger } = this.#ports;
    if (!this.isOn) return false;
    this.#since = undefined;
    this.#ending = new AbortController();
    ledger.setFact(this.#fact, undefined);
    await ledger.sync();
    logger.info({ cache: this.#cache }, "resumed by an operator");
    return true;
  }

  /** What whoever wants something applied is told meanwhile. */
  refusal(): IsthmusError {
    return new IsthmusError(ErrorCode.OperationRefused, `${this.#cache} is paused here`, {
      hint: "isthmus resume lets it go on.",
    });
  }

  get #fact(): string {
    return `paused/${this.#cache}`;
  }
}
