import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyLocks } from "../../../site-agent/key-locks.ts";

describe("key locks", () => {
  it("run works of one key one after the other in the order they came, others beside them, whatever each takes", async () => {
    const work = fc.record({
      key: fc.constantFrom("a", "b", "c"),
      turns: fc.nat(5),
      fails: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(work, { maxLength: 20 }), async (works) => {
        const locks = new KeyLocks();
        const running = new Map<string, number>();
        const ended: Array<[string, number]> = [];
        const all = works.map(({ key, turns, fails }, i) =>
          locks.run(key, async () => {
            expect(running.has(key)).toBe(false);
            running.set(key, i);
            for (let turn = 0; turn < turns; turn++) await Promise.resolve();
            running.delete(key);
            ended.push([key, i]);
            if (fails) throw new Error("failed");
            return i;
          }),
        );
        const results = await Promise.allSettled(all);
        for (const [i, result] of results.entries()) {
          expect(result.status).toBe(works[i]?.fails === true ? "rejected" : "fulfilled");
        }
        for (const key of ["a", "b", "c"]) {
          const order = ended.filter(([of]) => of === key).map(([, i]) => i);
          expect(order).toEqual(order.toSorted((x, y) => x - y));
        }
        expect(locks.size).toBe(0);
      }),
    );
  });

  it("let other keys pass while one is stuck", async () => {
    const locks = new KeyLocks();
    let release!: () => void;
    const stuck = locks.run("a", () => new Promise<void>((resolve) => (release = resolve)));
    await expect(locks.run("b", async () => "done")).resolves.toBe("done");
    let second = false;
    const behind = locks.run("a", async () => {
      second = true;
    });
    await Promise.resolve();
    expect([second, locks.size]).toEqual([false, 1]);
    release();
    await Promise.all([stuck, behind]);
    expect(second).toBe(true);
  });
});
