import { unpackMutation } from "../../topology/mutation/mutation-codec.ts";
import type { Mutation } from "../../topology/mutation/mutation.ts";
import type { CacheLedger } from "../../topology/ports.ts";

/** What waits in a cache's outbox after `after`, unpacked. */
export function outboxOf(
  cache: CacheLedger,
  after = 0,
  maxRows = 1_000_000,
  maxBytes = 1e12,
): Array<{ seq: number; record: Mutation; bytes: number }> {
  const { sites, rows } = cache.outbox(after, maxRows, maxBytes);
  return rows.map(({ seq, packed }) => {
    return { seq, record: unpackMutation(packed, sites), bytes: packed.length };
  });
}
