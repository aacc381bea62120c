import { expect, it } from "vitest";
import type { Ledger } from "../../../topology/ports.ts";
import { entry, mutation } from "../../support/ledger-rows.ts";
import { outboxOf } from "../../support/outbox.ts";

/** One ledger under the contract, and what a test does to its process. */
export interface UnderContract {
  readonly ledger: Ledger;
  /** Waits for something that the ledger promised. */
  readonly settled: <T>(promise: Promise<T>) => Promise<T>;
  /** The process ends without a word and starts again. */
  crashed(): Promise<UnderContract>;
}

/** What every {@link Ledger} keeps, the simulator's and the real one: the rules of topology/ports.ts. */
export function ledgerContract(open: () => Promise<UnderContract>): void {
  it("shows what is staged at once", async () => {
    const { ledger } = await open();
    const cache = ledger.cache("carts");
    cache.put("a", entry(1));
    ledger.setFact("f", { n: 1 });
    expect([cache.get("a"), ledger.fact("f")]).toEqual([entry(1), { n: 1 }]);
    cache.delete("a");
    ledger.setFact("f", undefined);
    expect([cache.get("a"), ledger.fact("f")]).toEqual([undefined, undefined]);
  });

  it("keeps after a crash what was committed", async () => {
    const before = await open();
    before.ledger.cache("carts").put("a", entry(1));
    before.ledger.setFact("f", new Map([["x", 2n]]));
    const seq = before.ledger.cache("carts").enqueue(mutation(1));
    await before.settled(before.ledger.commit());
    const { ledger } = await before.crashed();
    expect(ledger.cache("carts").get("a")).toEqual(entry(1));
    expect(ledger.fact("f")).toEqual(new Map([["x", 2n]]));
    expect(outboxOf(ledger.cache("carts"), 0, 9, 9999).map((row) => row.seq)).toEqual([seq]);
  });

  it("keeps of one synchronous run all or nothing", async () => {
    const before = await open();
    for (let i = 0; i < 20; i++) {
      before.ledger.cache("carts").put(`k${i}`, entry(i));
      before.ledger.setFact(`f${i}`, i);
    }
    const { ledger } = await before.crashed();
    const rows = ledger.cache("carts").page(undefined, 99).length;
    expect([0, 20]).toContain(rows);
    expect([...ledger.facts("f")]).toHaveLength(rows);
  });

  it("hands out outbox rows only once they are committed", async () => {
    const { ledger, settled } = await open();
    const cache = ledger.cache("carts");
    cache.enqueue(mutation(1));
    expect(outboxOf(cache, 0, 9, 9999)).toEqual([]);
    expect(cache.outboxSize().rows).toBe(1);
    await settled(ledger.commit());
    expect(outboxOf(cache, 0, 9, 9999)).toHaveLength(1);
  });

  it("drops a row that is replaced, and the rows up to one that is acknowledged", async () => {
    const { ledger, settled } = await open();
    const cache = ledger.cache("carts");
    const [one, two] = [cache.enqueue(mutation(1)), cache.enqueue(mutation(2))];
    await settled(ledger.commit());
    const three = cache.enqueue(mutation(3), one);
    expect(outboxOf(cache, 0, 9, 9999).map((row) => row.seq)).toEqual([two]);
    expect(cache.outboxSize().rows).toBe(2);
    await settled(ledger.commit());
    expect(outboxOf(cache, 0, 9, 9999).map((row) => row.seq)).toEqual([two, three]);
    expect(outboxOf(cache, two, 9, 9999).map((row) => row.seq)).toEqual([three]);
    cache.acknowledge(two);
    expect(outboxOf(cache, 0, 9, 9999).map((row) => row.seq)).toEqual([three]);
  });

  it("never uses a sequence of the outbox twice", async () => {
    const before = await open();
    const first = before.ledger.cache("carts").enqueue(mutation(1));
    await before.settled(before.ledger.commit());
    before.ledger.cache("carts").acknowledge(first);
    await before.settled(before.ledger.commit());
    const { ledger } = await before.crashed();
    expect(ledger.cache("carts").enqueue(mutation(2))).toBeGreaterThan(first);
  });

  it("pages committed rows in the order of their keys", async () => {
    const { ledger, settled } = await open();
    const cache = ledger.cache("carts");
    for (const key of ["b", "a", "a\x00", "\xff", "c"]) cache.put(key, entry(1));
    ledger.cache("plans").put("z", entry(2));
    await settled(ledger.commit());
    cache.delete("b");
    const first = cache.page(undefined, 2).map(([key]) => key);
    expect(first).toEqual(["a", "a\x00"]);
    expect(cache.page("a\x00", 9).map(([key]) => key)).toEqual(["c", "\xff"]);
    expect(cache.page("a", 9, "c").map(([key]) => key)).toEqual(["a\x00", "c"]);
    expect(cache.page(undefined, 9, "a0").map(([key]) => key)).toEqual(["a", "a\x00"]);
    expect(cache.page("c", 9, "a")).toEqual([]);
  });

  it("tells facts by the start of their names, in order, staged ones too", async () => {
    const { ledger, settled } = await open();
    ledger.setFact("p/b", 1);
    ledger.setFact("q", 2);
    await settled(ledger.commit());
    ledger.setFact("p/a", 3);
    expect([...ledger.facts("p/")]).toEqual([
      ["p/a", 3],
      ["p/b", 1],
    ]);
  });
}
