import type { Context, Dot, Expiry, Key, ValueHash } from "../version/entry.ts";

/**
 * One key's new state with its version, as its author writes it to the log. The author is the batch's origin; expiry is in
 * the author's clock.
 */
export interface Mutation extends Expiry {
  readonly key: Key;
  readonly kind: "put" | "remove";
  readonly dot: Dot;
  /** All that the writer had seen of the key, this mutation's own dot excluded. */
  readonly context: Context;
  /** What conflict policies compare, ms since the epoch in the author's clock. */
  readonly at: number;
  /** Hash of media type and value; "" for a remove. */
  readonly hash: ValueHash;
  /** The value's bytes in the cache's storage media type; missing for a remove. */
  readonly value?: Uint8Array;
}
