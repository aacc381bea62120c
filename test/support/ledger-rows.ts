import type { Mutation } from "../../topology/mutation/mutation.ts";
import { makeDot } from "../../topology/version/dot.ts";
import type { Entry } from "../../topology/version/entry.ts";

/** An entry that is told from others by its number `n`, also its outbox sequence. */
export const entry = (n: number): Entry => ({
  presence: "live",
  context: new Map([["nyc", makeDot(1000 + n, 1)]]),
  siblings: [
    {
      author: "nyc",
      dot: makeDot(1000 + n, 1),
      at: 1000 + n,
      kind: "put",
      hash: n.toString(16).padStart(32, "0"),
      expiresAt: 5000,
      maxIdleMs: 7,
      offsetMs: 0,
    },
  ],
  held: undefined,
  outboxSeq: n,
});

/** A mutation that is told from others by its number `n`; its time is 1000 + n. */
export const mutation = (n: number, valueBytes = 10): Mutation => ({
  key: `key ${n}`,
  kind: "put",
  dot: makeDot(1000 + n, 1),
  context: new Map([["lon", 9n]]),
  at: 1000 + n,
  hash: n.toString(16).padStart(32, "0"),
  expiresAt: 0,
  maxIdleMs: 0,
  value: Buffer.alloc(valueBytes, n),
});
