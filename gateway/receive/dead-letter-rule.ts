import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { Status } from "../../topology/hotrod/opcodes.ts";
import { DEAD_LETTER_FAILURES, DEAD_LETTER_MS } from "../../topology/limits.ts";
import type { Clock } from "../../topology/ports.ts";

/** Successes of one cache, so that a key's failures can be told from the cache's. */
export class CacheSuccesses {
  /** Monotonic ms of the newest success; -Infinity before the first. */
  lastAt = Number.NEGATIVE_INFINITY;
}

/**
 * A mutation is dead after {@link DEAD_LETTER_FAILURES} failures over {@link DEAD_LETTER_MS}, while others of its cache
 * succeeded: when nothing of the cache works, the cache is blocked, and its mutations wait for ever.
 */
export class DeadLetterRule {
  readonly #clock: Clock;
  readonly #successes: CacheSuccesses;
  #failures = 0;
  #firstAt = 0;

  constructor(clock: Clock, successes: CacheSuccesses) {
    this.#clock = clock;
    this.#successes = successes;
  }

  succeeded(): void {
    this.#successes.lastAt = this.#clock.monotonic();
  }

  /** Notes a failure; true if the mutation is dead. */
  failed(error: unknown): boolean {
    if (isTransient(error)) return false;
    const now = this.#clock.monotonic();
    if (this.#failures === 0) this.#firstAt = now;
    this.#failures += 1;
    return (
      this.#failures >= DEAD_LETTER_FAILURES &&
      now - this.#firstAt >= DEAD_LETTER_MS &&
      this.#successes.lastAt > this.#firstAt
    );
  }
}

/** Codes of what passes by itself or by an operator's hand, however many other keys work meanwhile. */
const TRANSIENT: readonly ErrorCode[] = [
  ErrorCode.CacheUnreachable,
  ErrorCode.CacheMissing,
  ErrorCode.CacheAuthFailed,
  ErrorCode.HotRodTimeout,
  ErrorCode.ApplyRaced,
  ErrorCode.LedgerBroken,
];

/** A cluster that loses or gains a node answers for the keys of that node so, or not at all, while the other keys go on. */
function isTransient(error: unknown): boolean {
  if (!(error instanceof IsthmusError)) return false;
  if (TRANSIENT.includes(error.code)) return true;
  const { status = 0 } = (error.cause ?? {}) as { status?: number };
  return error.code === ErrorCode.HotRodServer && status > Status.ServerError;
}
