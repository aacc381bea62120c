import type { CacheName, SiteName } from "../../topology/names.ts";
import type { ApplyOutcome, Clock, Ledger, Logger } from "../../topology/ports.ts";
import type { Key } from "../../topology/version/entry.ts";
import type { DeadLetterRetry } from "../../gateway/receive/dead-letter-retry.ts";
import type { DeadLetterRow, Journal } from "../site/journal.ts";
import { ClientWrite, type OperatedCache } from "./client-write.ts";
import { missingRow, refused } from "./conflict-restore.ts";

/** What {@link LetterRetry} needs of its site. */
export interface LetterRetryParts {
  readonly site: SiteName;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly valueBytesMax: number;
  /** @throws OperationRefused for a cache that is not handled here, or not now */
  readonly cache: (name: CacheName) => OperatedCache;
  /** undefined: no such site in the file. */
  readonly retryOf: (cache: CacheName, origin: SiteName) => DeadLetterRetry | undefined;
}

/**
 * How a retry ended for one key: as an apply does; or, for a change of this site that was too large to be sent, `sent` as it
 * is now, `written` but not captured yet, or `gone` from the cache by now.
 */
export interface LetterOutcome {
  readonly key: Key;
  readonly outcome: ApplyOutcome | "sent" | "written" | "gone";
}

/** Tries a dead letter again; one that succeeds leaves the journal. */
export class LetterRetry {
  readonly #parts: LetterRetryParts;

  constructor(parts: LetterRetryParts) {
    this.#parts = parts;
  }

  /** @throws JournalRowMissing, OperationRefused, and what still fails: then the letter stays */
  async retry(id: number): Promise<{ row: DeadLetterRow; outcomes: readonly LetterOutcome[] }> {
    const { journal, site, ledger, logger } = this.#parts;
    const row = journal.deadLetterRows.get(id);
    if (row === undefined) throw missingRow("dead letter", site, id);
    const outcomes = row.origin === undefined ? await this.#send(row) : await this.#apply(id, row);
    journal.deadLetterRows.delete(id);
    await ledger.commit();
    logger.warn({ cache: row.cache, deadLetter: id }, "a dead letter was retried by the operator");
    return { row, outcomes };
  }

  async #apply(
    id: number,
    { cache, origin = "" }: DeadLetterRow,
  ): Promise<readonly LetterOutcome[]> {
    const payload = this.#parts.journal.payload(id);
    if (payload === undefined) throw refused(`the bytes of dead letter ${id} are not kept`);
    this.#parts.cache(cache);
    const retry = this.#parts.retryOf(cache, origin);
    if (retry === undefined) throw refused(`the file has no site ${origin}, whose write it was`);
    return retry.retry(payload);
  }

  /** The key as the cache holds it now, as a new write: it is small enough by now, or the limit is higher. */
  async #send({ cache: name, key = "" }: DeadLetterRow): Promise<readonly LetterOutcome[]> {
    const { site, clock, valueBytesMax } = this.#parts;
    const cache = this.#parts.cache(name);
    const state = await cache.connector.read(key);
    if (state === undefined) return [{ key, outcome: "gone" }];
    const { length } = state.value;
    if (length > valueBytesMax) {
      throw refused(
        `the value has ${length} bytes, more than limits.maxValueBytes (${valueBytesMax})`,
        "Raise limits.maxValueBytes at all sites, restart, and retry.",
      );
    }
    const written = await new ClientWrite(cache, site, clock).put(key, state, state.value, state);
    if (written.is === "lost")
      throw refused("the key was written just now: its newest value is sent by itself");
    return [{ key, outcome: written.is === "captured" ? "sent" : "written" }];
  }
}
