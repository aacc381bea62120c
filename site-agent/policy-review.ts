import { LEDGER_PAGE_ROWS } from "../topology/limits.ts";
import type { CacheName } from "../topology/names.ts";
import type { CachePolicy } from "../topology/policy/cache-policy.ts";
import type { Applier } from "./apply/applier.ts";
import type { ApplyOutcome, CacheLedger, Clock, Ledger, Logger } from "../topology/ports.ts";
import type { Entry, Key } from "../topology/version/entry.ts";
import { shown, valuesNeeded, type MergeRegistry } from "../topology/version/show.ts";

/** What {@link PolicyReview} needs of its site. */
export interface PolicyReviewParts {
  readonly cache: CacheName;
  readonly policy: CachePolicy;
  /** Of the conflict policy, a merge module's content included. */
  readonly policyHash: string;
  readonly merges: MergeRegistry;
  readonly ledger: Ledger;
  readonly rows: CacheLedger;
  readonly applier: Pick<Applier, "settle" | "contest">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * After a change of a cache's conflict policy each key with more than one version is evaluated again, because another of them
 * may show now (design section 4). The ledger says which policy it was last evaluated under; a review that did not end is done
 * again.
 */
export class PolicyReview {
  readonly #parts: PolicyReviewParts;

  constructor(parts: PolicyReviewParts) {
    this.#parts = parts;
  }

  /**
   * Evaluates the keys anew if the policy is another one than it was, or none was looked at yet; rejects with what the cache or
   * the ledger threw.
   *
   * @param isNew the cache is looked at for the first time, and may hold what loses to a peer's version
   */
  async run(signal: AbortSignal, isNew: boolean): Promise<void> {
    const { ledger, policy, policyHash, cache, logger, applier } = this.#parts;
    const before = ledger.fact(policyFact(cache));
    if (before === policyHash && !isNew) return;
    // Under `invalidate` nothing shows that another site wrote.
    if ((before !== undefined || isNew) && policy.mode !== "invalidate") {
      // What a cache held before anybody handled it is a conflict that nobody told of yet.
      const counts = await this.#review(signal, (key) =>
        isNew ? applier.contest(key) : applier.settle(key),
      );
      if (signal.aborted) return;
      const why = isNew
        ? "the cache is handled for the first time"
        : "the conflict policy is another one";
      logger.info({ cache, ...counts }, `${why}: keys with several versions were evaluated`);
    }
    ledger.setFact(policyFact(cache), policyHash);
    await ledger.commit();
  }

  /** A page of the ledger after the other: the keys of one share a sync of their intents. */
  async #review(
    signal: AbortSignal,
    evaluate: (key: Key) => Promise<ApplyOutcome>,
  ): Promise<{ reviewed: number; written: number }> {
    const { rows, clock } = this.#parts;
    let [reviewed, written] = [0, 0];
    let after: Key | undefined;
    while (!signal.aborted) {
      const page = rows.page(after, LEDGER_PAGE_ROWS);
      const due = page.filter(([, entry]) => this.#mayShowAnother(entry));
      const outcomes = await Promise.all(due.map(([key]) => evaluate(key)));
      reviewed += due.length;
      written += outcomes.filter((outcome) => outcome === "written").length;
      const last = page.at(-1);
      if (last === undefined) break;
      after = last[0];
      await clock.sleep(0);
    }
    return { reviewed, written };
  }

  #mayShowAnother({ presence, siblings }: Entry): boolean {
    // What comes back for an absent key is evaluated then.
    if (siblings.length < 2 || presence === "absent") return false;
    if (presence === "live") return true;
    // Of what shows the cache had the bytes, and it ended there: only a version that was hidden may come up. It kept its bytes
    // here, or whoever wrote it has them, and it cannot have ended.
    const { policy, merges, clock } = this.#parts;
    const inputs = valuesNeeded(siblings, policy.conflict);
    if (inputs.length > 0) return inputs.every(({ value }) => value !== undefined);
    const shows = shown(siblings, policy.conflict, merges);
    if (shows?.kind !== "put") return false;
    const { value, expiresAt, offsetMs, maxIdleMs } = shows;
    return (
      value !== undefined ||
      (maxIdleMs === 0 && !(0 < expiresAt && expiresAt + offsetMs <= clock.now()))
    );
  }
}

/** The ledger's note of the conflict policy that a cache was last evaluated under. */
export const policyFact = (cache: CacheName): string => `policy/${cache}`;
