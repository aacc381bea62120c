import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../topology/errors.ts";
import { APPLY_BOUND_BATCHES, DEAD_LETTER_MS } from "../../../topology/limits.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import { ReceiverBench } from "./receiver-bench.ts";

/** Something to wait for that a test ends. */
function gate() {
  let open!: () => void;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { open, passed };
}

describe("the receiver", () => {
  it("moves the position over what is applied, and names what is done beyond a stuck key", async () => {
    const lon = new ReceiverBench();
    const stuck = gate();
    lon.onApply = (key) => (key === "slow" ? stuck.passed : undefined);
    lon.mirror.add(lon.batch([["a", 1]]));
    lon.mirror.add(
      lon.batch([
        ["slow", 2],
        ["b", 3],
      ]),
    );
    lon.mirror.add(lon.batch([["c", 4]]), 7);
    await lon.machine.until(() => lon.receiver.applied().ranges.length > 0);
    expect(lon.receiver.applied()).toEqual({ seq: 1, ranges: [[7, 7]] });
    expect(lon.position.seq).toBe(1);
    expect(lon.receiver.appliedDot).toBe(makeDot(1, 0));
    stuck.open();
    await lon.level();
    expect(lon.position).toMatchObject({ seq: 7, incarnation: "i1", counter: 3 });
    expect(lon.receiver.appliedDot).toBe(makeDot(4, 0));
    expect(lon.gaps).toEqual([]);
  });

  it("begins no apply beyond a bound that is in the ledger by then, and reserves it in blocks (I6)", async () => {
    const lon = new ReceiverBench();
    for (let i = 1; i <= APPLY_BOUND_BATCHES * 2; i++) lon.mirror.add(lon.batch([[`k${i}`, i]]));
    await lon.level();
    for (const [i, { bound }] of lon.applies.entries()) expect(bound).toBeGreaterThan(i);
    expect(new Set(lon.applies.map(({ bound }) => bound)).size).toBe(2);
  });

  it("reads again from the ledger's position after a crash: what was applied may come twice, never not at all (I1, I6)", async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const lon = new ReceiverBench(seed);
      const { random } = lon.machine;
      let sent = 0;
      for (let run = 0; run < 4; run++) {
        for (let i = random.below(6); i >= 0; i--) {
          sent += 1;
          lon.mirror.add(lon.batch([[`k${sent % 3}`, sent]]));
        }
        await lon.machine.pass(random.below(8) / 4);
        lon.crash();
      }
      await lon.level();
      const dots = (key: string) => {
        const done = lon.applies.map(({ what }) => what).filter((what) => what.startsWith(key));
        return new Set(
          done.flatMap((what) =>
            what
              .slice(key.length + 1)
              .split(",")
              .map(Number),
          ),
        );
      };
      const seen = [...dots("k0"), ...dots("k1"), ...dots("k2")].toSorted((a, b) => a - b);
      expect(seen, `seed ${seed}`).toEqual(Array.from({ length: sent }, (_, i) => i + 1));
      expect(lon.gaps, `seed ${seed}`).toEqual([]);
    }
  });

  it("tries a failing apply for ever with growing pauses while nothing of the cache succeeds, and keeps the position", async () => {
    const lon = new ReceiverBench();
    lon.onApply = () => Promise.reject(new Error("the cache is away"));
    lon.mirror.add(lon.batch([["a", 1]]));
    await lon.machine.pass(600_000);
    expect([lon.letters.length, lon.receiver.applied().seq]).toEqual([0, 0]);
    expect(lon.applies.length).toBeGreaterThan(100);
    expect(lon.applies.length).toBeLessThan(400);
    lon.onApply = () => undefined;
    await lon.level();
    expect(lon.position).toMatchObject({ seq: 1, isIncomplete: false });
  });

  it("sets aside what keeps failing while others succeed: named, counted, and never counted as applied again", async () => {
    const lon = new ReceiverBench();
    lon.onApply = (key) => (key === "poison" ? Promise.reject(new Error("too large")) : undefined);
    lon.mirror.add(lon.batch([["before", 1]]));
    const seq = lon.mirror.add(lon.batch([["poison", 2]]));
    for (let i = 3; i < 3 + DEAD_LETTER_MS / 5_000 + 4; i++) {
      lon.mirror.add(lon.batch([["other", i]]));
      await lon.machine.pass(5_000);
    }
    await lon.level();
    expect(lon.letters).toMatchObject([{ origin: "nyc", seq, key: "poison", reason: "too large" }]);
    expect(lon.position.isIncomplete).toBe(true);
    expect(lon.receiver.appliedDot).toBe(makeDot(1, 0));
    lon.crash();
    lon.mirror.add(lon.batch([["after", 99]]));
    await lon.level();
    expect(lon.receiver.appliedDot).toBe(makeDot(1, 0));
  });

  it("sets aside a record that cannot be decoded, and goes on", async () => {
    const lon = new ReceiverBench();
    lon.mirror.add(lon.batch([["a", 1]]));
    const good = lon.batch([["b", 2]]);
    lon.mirror.add(good.subarray(0, good.length - 3));
    lon.mirror.add(lon.batch([["c", 3]]));
    await lon.level();
    expect(lon.letters).toMatchObject([{ seq: 2, key: undefined }]);
    expect(lon.applies.map(({ what }) => what)).toEqual(["a@1", "c@3"]);
    expect(lon.position.isIncomplete).toBe(true);
  });

  it("stops at an unknown wire version with an error, and loses nothing of it or behind it", async () => {
    const lon = new ReceiverBench();
    lon.mirror.add(lon.batch([["a", 1]]));
    const newer = lon.batch([["b", 2]]);
    newer[1] = 99;
    lon.mirror.add(newer);
    lon.mirror.add(lon.batch([["c", 3]]));
    expect(await lon.ended()).toMatchObject({ code: ErrorCode.WireVersionUnknown });
    expect([lon.position.seq, lon.letters.length]).toEqual([1, 0]);
    expect(lon.applies.map(({ what }) => what)).toEqual(["a@1"]);
  });

  it("passes batches of a cache that is off here: the position moves, nothing is applied", async () => {
    const lon = new ReceiverBench();
    lon.receiving = { ...lon.receiving, mode: "off" };
    for (let i = 1; i <= 5; i++) lon.mirror.add(lon.batch([["a", i]]));
    await lon.level();
    expect([lon.applies.length, lon.receiver.stats.passed, lon.position.seq]).toEqual([0, 5, 5]);
  });

  it("finds the gap when a cache is switched on here: what was passed before is missing (I7)", async () => {
    const lon = new ReceiverBench();
    lon.receiving = { ...lon.receiving, mode: "off" };
    lon.mirror.add(lon.batch([["a", 1]]));
    lon.mirror.add(lon.batch([["a", 2]]));
    await lon.level();
    lon.receiving = { ...lon.receiving, mode: "async" };
    lon.mirror.add(lon.batch([["b", 3]]));
    await lon.level();
    expect(lon.gaps).toEqual([expect.stringContaining("1 to 2")]);
    expect(lon.applies.map(({ what }) => what)).toEqual(["b@3"]);
  });

  it("refuses what a peer must not send, with an error in the log, and nothing of it is applied (I9)", async () => {
    const lon = new ReceiverBench();
    lon.mirror.add(lon.batch([["a", 1]]));
    lon.mirror.add(lon.batch([["evil", 2]], { cache: "users", incarnation: "x", counter: 50 }));
    await lon.level();
    expect([lon.receiver.incarnation, lon.receiver.stats.refused]).toEqual(["i1", 1]);
    lon.mirror.add(lon.batch([["b", 3]], { counter: 3 }));
    await lon.level();
    expect(lon.applies.map(({ what }) => what)).toEqual(["a@1", "b@3"]);
    expect(lon.gaps).toHaveLength(1);
    expect(lon.log.lines.filter(({ level }) => level === "error")).toHaveLength(1);
  });

  it("stays at a batch under another conflict policy until the two agree", async () => {
    const lon = new ReceiverBench();
    lon.receiving = { ...lon.receiving, policyHash: "q" };
    lon.mirror.add(lon.batch([["a", 1]]));
    await lon.machine.pass(600_000);
    expect(lon.receiver.blocked).toContain("policy");
    expect([lon.applies.length, lon.receiver.applied().seq, lon.position.seq]).toEqual([0, 0, 0]);
    expect(lon.log.lines.filter(({ level }) => level === "error")).toHaveLength(1);
    lon.receiving = { ...lon.receiving, policyHash: "p" };
    await lon.level();
    expect([lon.receiver.blocked, lon.applies.length]).toEqual([undefined, 1]);
  });
});

describe("the counter of a log's batches", () => {
  const counted = async (...batches: Array<[counter: number, incarnation?: string]>) => {
    const lon = new ReceiverBench();
    for (const [i, [counter, incarnation = "i1"]] of batches.entries()) {
      lon.mirror.add(lon.batch([["a", i + 1]], { counter, incarnation }));
    }
    await lon.level();
    expect(lon.applies.flatMap(({ what }) => what.slice(2).split(","))).toHaveLength(
      batches.length,
    );
    expect(lon.position.isIncomplete).toBe(lon.gaps.length > 0);
    return lon.gaps;
  };

  it("is a gap only where it jumps, and the batch is joined all the same (I7)", async () => {
    expect(await counted([1], [2], [3])).toEqual([]);
    expect(await counted([1], [2], [5], [6])).toEqual([expect.stringContaining("3 to 4")]);
  });

  it("is no gap where a batch comes again, or an old one comes late", async () => {
    expect(await counted([1], [2], [2], [1], [3])).toEqual([]);
  });

  it("begins at one in each incarnation: what is missing before the first that comes is a gap", async () => {
    expect(await counted([1], [2], [1, "i2"], [2, "i2"])).toEqual([]);
    expect(await counted([3])).toEqual([expect.stringContaining("1 to 2")]);
    expect(await counted([1], [2], [2, "i2"])).toEqual([expect.stringContaining("1 to 1")]);
  });
});

describe("what the receiver announces", () => {
  it("is urgent exactly when a batch is done that holds a writer's write", async () => {
    const lon = new ReceiverBench();
    lon.mirror.add(lon.batch([["a", 1]]));
    await lon.level();
    lon.mirror.add(lon.batch([["a", 2]], { held: true }));
    await lon.level();
    expect(lon.announced).toEqual([false, true]);
  });

  it("comes for a held batch also beyond a stuck one", async () => {
    const lon = new ReceiverBench();
    const stuck = gate();
    lon.onApply = (key) => (key === "slow" ? stuck.passed : undefined);
    lon.mirror.add(lon.batch([["slow", 1]]));
    lon.mirror.add(lon.batch([["a", 2]], { held: true }));
    await lon.machine.until(() => lon.announced.length > 0);
    expect([lon.announced, lon.receiver.applied()]).toEqual([[true], { seq: 0, ranges: [[2, 2]] }]);
    stuck.open();
    await lon.level();
  });
});

describe("a run that ends", () => {
  it("leaves what was not applied to the next one, also when the mirror was made anew underneath", async () => {
    const lon = new ReceiverBench();
    const stuck = gate();
    lon.onApply = () => stuck.passed;
    lon.mirror.add(lon.batch([["a", 1]]));
    lon.mirror.add(lon.batch([["a", 2]]));
    await lon.machine.until(() => lon.applies.length === 1);
    lon.mirror.replace();
    stuck.open();
    expect(await lon.ended()).toMatchObject({ code: ErrorCode.MirrorReplaced });
    lon.start();
    await lon.level();
    expect(lon.applies.map(({ what }) => what)).toContain("a@2");
    expect(lon.position.seq).toBe(2);
  });
});
