import { describe, expect, it } from "vitest";
import type { ResyncProgress } from "../../../gateway/resync/resync.ts";
import { encodeEntries } from "../../../gateway/resync/peer-entries.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { RESYNC_RANGE_ROWS, RESYNC_ROWS_MAX } from "../../../topology/limits.ts";
import type { PeerEntry } from "../../../topology/ports.ts";
import { comparedText, lowerOf } from "../../../topology/version/compare.ts";
import { joinContexts } from "../../../topology/version/context.ts";
import type { Context, Sibling, Versions } from "../../../topology/version/entry.ts";
import { history } from "./histories.ts";
import { Killed, LedgerSite, LedgerSites } from "./ledger-sites.ts";

const SEEDS = 60;
const never = new AbortController().signal;

const version = (author: string, dot: bigint, more: Partial<Sibling> = {}): Versions => {
  const sibling: Sibling = {
    author,
    dot,
    at: Number(dot),
    kind: "put",
    hash: `h${dot}`,
    expiresAt: 0,
    maxIdleMs: 0,
    offsetMs: 0,
    value: Buffer.from(`${author}${dot}`),
    ...more,
  };
  return { context: new Map([[author, dot]]), siblings: [sibling] };
};

/** Keys whose digests differ at two sites. */
function difference(a: LedgerSite, b: LedgerSite): number {
  const by = { level: lowerOf(a.floor, b.floor), now: 0, copies: true };
  const text = (site: LedgerSite, key: string) => {
    const entry = site.rows.get(key);
    return entry && comparedText(key, entry, by);
  };
  const keys = new Set([...a.rows.rows.keys(), ...b.rows.rows.keys()]);
  return [...keys].filter((key) => text(a, key) !== text(b, key)).length;
}

function expectEqual(sites: readonly LedgerSite[], level: Context): void {
  let joined: Context = new Map();
  for (const { floor } of sites) joined = joinContexts(joined, floor);
  const [first, ...others] = sites.map((site) => site.facts(level, joined));
  for (const facts of others) expect(facts).toEqual(first);
}

describe("a two-way resync", () => {
  it("makes any two ledgers equal, and sends no key more than once each way", async () => {
    let differed = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const [a, b] = history(seed, ["a", "b"], 12);
      if (a === undefined || b === undefined) throw new Error("no sites");
      const level = lowerOf(a.floor, b.floor);
      const before = difference(a, b);
      differed += before;
      const result = await new LedgerSites(a, b).level(a, b);
      expect(result.sent + result.received).toBeLessThanOrEqual(2 * before);
      expectEqual([a, b], level);
      expect((await new LedgerSites(a, b).level(a, b)).sent).toBe(0);
    }
    expect(differed).toBeGreaterThan(SEEDS);
  });

  it("makes three ledgers equal, each pair in turn, in any order", async () => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const sites = history(seed, ["a", "b", "c"], 8);
      const [a, b, c] = sites;
      if (a === undefined || b === undefined || c === undefined) throw new Error("no sites");
      const level = lowerOf(lowerOf(a.floor, b.floor), c.floor);
      const world = new LedgerSites(a, b, c);
      const turns =
        seed % 2 === 0
          ? [
              [a, b],
              [b, c],
              [a, c],
            ]
          : [
              [c, a],
              [b, c],
              [a, b],
            ];
      for (const [one, other] of [...turns, ...turns]) {
        if (one !== undefined && other !== undefined) await world.level(one, other);
      }
      expectEqual(sites, level);
    }
  });

  it("ends equal though the process is killed at any question, and goes on where it stood", async () => {
    for (const keys of [12, 3 * RESYNC_RANGE_ROWS]) {
      const questions = keys === 12 ? Number.MAX_SAFE_INTEGER : 8;
      for (let at = 1; at <= questions; at++) {
        const [a, b] = history(7, ["a", "b"], keys);
        if (a === undefined || b === undefined) throw new Error("no sites");
        const level = lowerOf(a.floor, b.floor);
        const world = new LedgerSites(a, b);
        let stored: ResyncProgress | undefined;
        const onProgress = (progress: ResyncProgress) => {
          stored = progress;
        };
        world.onAsk = (n) => {
          if (n === at) throw new Killed();
        };
        const first = world.resync(a, b, { onProgress });
        const isKilled = await world.machine
          .settle(first.run(never))
          .then(() => false)
          .catch((error: unknown) => error instanceof Killed);
        if (!isKilled) break;
        const again = world.resync(a, b, { onProgress, resume: stored });
        await world.machine.settle(again.run(never));
        expectEqual([a, b], level);
      }
    }
  });

  it("costs one digest for many equal rows, and finds one key among many thousand", async () => {
    const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
    for (let i = 0; i < 10_000; i++) {
      const key = `key ${String(i).padStart(6, "0")}`;
      a.put(key, version("a", BigInt(i + 1)));
      b.put(key, version("a", BigInt(i + 1)));
    }
    b.put("key 006789", version("b", 99_999n));
    const world = new LedgerSites(a, b);
    const result = await world.level(a, b);
    expect(result).toMatchObject({ differing: 1, received: 1, sent: 1 });
    expect(world.asked.filter((verb) => verb === "resync-digest")).toHaveLength(1 + 2);
    expect(a.rows.get("key 006789")?.siblings).toHaveLength(2);
    expectEqual([a, b], new Map());
  });

  it.each([
    [1_000, 2],
    [300, 2.5],
  ])(
    "talks, where a percent was changed and a percent removed all over, little more than what differs takes (values of %i bytes: %f times)",
    async (valueBytes, times) => {
      const [rows, each] = [20_000, 100];
      const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
      const hash = (n: bigint) => n.toString(16).padStart(32, "0");
      const told: PeerEntry[] = [];
      for (let i = 0; i < rows; i++) {
        const key = `${100_000 + i}-session`;
        const value = Buffer.alloc(valueBytes, i);
        const first = version("b", BigInt(i + 1), { hash: hash(BigInt(i + 1)), value });
        a.put(key, first);
        const dot = BigInt(rows + i + 1);
        const changed = version("b", dot, { hash: hash(dot), value });
        const removed = version("b", dot, { kind: "remove", hash: "", value: Buffer.alloc(0) });
        const versions = i % each === 0 ? changed : i % each === 50 ? removed : first;
        b.put(key, versions);
        if (versions !== first) told.push({ key, versions, floor: b.floor });
      }
      const { received, wireBytes } = await new LedgerSites(a, b).level(a, b);
      expect(received).toBe((2 * rows) / each);
      expect(wireBytes).toBeLessThanOrEqual(times * encodeEntries(told).length);
      expectEqual([a, b], new Map());
    },
  );

  it("finds what differs in a bucket of either site alone, and in ranges of any size", async () => {
    for (const rows of [1, 2, 7, 8, 9, 100, 256, 300]) {
      for (const lacks of ["a", "b", "nobody"]) {
        const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
        for (let i = 0; i < rows; i++) {
          a.put(`k${i}`, version("b", BigInt(i + 1)));
          b.put(`k${i}`, version("b", BigInt(i + 1)));
        }
        const place = `k${Math.floor(rows / 2)}`;
        if (lacks === "a") a.rows.delete(place);
        if (lacks === "b") b.rows.delete(place);
        if (lacks === "nobody") b.put(place, version("b", 1_000n));
        const { received, sent } = await new LedgerSites(a, b).level(a, b);
        expect([rows, lacks, received + sent]).toEqual([rows, lacks, 1]);
        expectEqual([a, b], new Map());
      }
    }
  });

  it("seeds an empty site with more rows than one answer may look at, in messages of bounded size", async () => {
    const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
    const rows = RESYNC_ROWS_MAX + 3_000;
    const value = Buffer.alloc(4_000);
    for (let i = 0; i < rows; i++) b.put(`${i}`, version("b", BigInt(i + 1), { value }));
    const world = new LedgerSites(a, b);
    const result = await world.level(a, b);
    expect(result).toMatchObject({ differing: rows, received: rows, sent: 0 });
    expect(a.rows.rows.size).toBe(rows);
    expect(world.largestMessage).toBeLessThan(1024 * 1024);
  });

  it("applies a peer's version over a key without a copy, and takes a peer that has none for no difference", async () => {
    const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
    a.put("lost here", version("a", 1n), "absent");
    b.put("lost here", version("a", 1n));
    a.put("lost there", version("a", 2n));
    b.put("lost there", version("a", 2n), "absent");
    a.put("lost", version("a", 3n), "absent");
    b.put("lost", version("a", 3n), "absent");
    const result = await new LedgerSites(a, b).level(a, b);
    expect(result).toMatchObject({ differing: 2, received: 1, sent: 1 });
    expect(a.rows.get("lost here")?.presence).toBe("live");
    expect(b.rows.get("lost there")?.presence).toBe("live");
  });

  it("looks again at keys that are being written, and fails when they never settle", async () => {
    const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
    b.put("busy", version("b", 1n));
    b.unsettled.set("busy", 3);
    a.put("busy too", version("a", 2n));
    a.unsettled.set("busy too", 3);
    const world = new LedgerSites(a, b);
    await world.level(a, b);
    expectEqual([a, b], new Map());
    b.put("for ever", version("b", 3n));
    b.unsettled.set("for ever", 1_000);
    const steps: ResyncProgress[] = [];
    const resync = world.resync(a, b, { onProgress: (progress) => void steps.push(progress) });
    await expect(world.machine.settle(resync.run(never))).rejects.toMatchObject({
      code: ErrorCode.ResyncUnsettled,
    });
    expect(steps.at(-1)?.after).toBeUndefined();
  });

  it("tells the peer, once it ended, up to where of the log it made up for what was missing", async () => {
    const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
    b.put("k", version("b", 1n));
    const world = new LedgerSites(a, b);
    const resync = world.resync(a, b);
    await world.machine.settle(resync.run(never));
    expect(b.madeUp).toEqual([]);
    await world.machine.settle(resync.tellDone());
    expect(b.madeUp).toEqual(["a 7"]);
  });

  it("waits between exchanges, so that live traffic has most of the time", async () => {
    const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
    for (let i = 0; i < 10_000; i++) b.put(`${i}`, version("b", BigInt(i + 1)));
    const world = new LedgerSites(a, b);
    const begun = world.machine.clock.monotonic();
    await world.level(a, b);
    expect(world.machine.clock.monotonic() - begun).toBeGreaterThan(1_800);
  });
});

describe("a one-way resync", () => {
  it("brings what the peer has, deletes included, and leaves the peer as it was", async () => {
    const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
    a.put("gone", version("a", 1n));
    const remove = version("b", 5n, { kind: "remove", hash: "" });
    b.put("gone", {
      ...remove,
      context: new Map([
        ["a", 1n],
        ["b", 5n],
      ]),
    });
    a.put("mine", version("a", 2n));
    b.put("theirs", version("b", 6n));
    const world = new LedgerSites(a, b);
    const resync = world.resync(a, b, { directions: { pull: "values", push: false } });
    const result = await world.machine.settle(resync.run(never));
    expect(result).toMatchObject({ differing: 3, received: 2, sent: 0 });
    expect([...a.rows.rows].map(([key, { presence }]) => `${key} ${presence}`).sort()).toEqual([
      "gone tombstone",
      "mine live",
      "theirs live",
    ]);
    expect(b.rows.get("mine")).toBeUndefined();
  });

  it("that goes no way names the keys that differ and moves nothing", async () => {
    const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
    a.put("mine", version("a", 2n));
    b.put("theirs", version("b", 6n));
    const world = new LedgerSites(a, b);
    const found: string[] = [];
    const resync = world.resync(a, b, {
      directions: { pull: "number", push: false },
      onDiffering: (key) => void found.push(key),
    });
    await world.machine.settle(resync.run(never));
    expect(found.sort()).toEqual(["mine", "theirs"]);
    expect([a.merges, b.merges]).toEqual([0, 0]);
  });
});

describe("a peer that is asked", () => {
  it("refuses one that decides otherwise, stores otherwise, or asks too early", async () => {
    const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
    const world = new LedgerSites(a, b);
    b.mediaType = "application/json";
    const refused = { code: ErrorCode.PeerRefused };
    await expect(world.level(a, b)).rejects.toMatchObject(refused);
    b.mediaType = "text/plain";
    b.isReady = false;
    await expect(world.level(a, b)).rejects.toMatchObject(refused);
  });

  it("that is not ready tells its versions, without values, to one that lost its ledger", async () => {
    const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
    b.put("k", version("b", 1n));
    b.isReady = false;
    const world = new LedgerSites(a, b);
    const resync = world.resync(a, b, { directions: { pull: "versions", push: false } });
    await world.machine.settle(resync.run(never));
    expect(a.rows.get("k")?.siblings).toMatchObject([{ author: "b", dot: 1n }]);
    expect(a.rows.get("k")?.siblings[0]?.value).toBeUndefined();
  });

  it("that lost its ledger since is compared from the beginning", async () => {
    const [a, b] = [new LedgerSite("a"), new LedgerSite("b")];
    b.put("k", version("b", 1n));
    const resume: ResyncProgress = {
      after: "z",
      level: new Map([["b", 9n]]),
      peerFloor: new Map([["b", 9n]]),
      peerDot: 9n,
      isPeerLevel: true,
      peerLogEnd: { incarnation: "i", seq: 1 },
      begunAt: 0,
    };
    const world = new LedgerSites(a, b);
    await world.machine.settle(world.resync(a, b, { resume }).run(never));
    expect(a.rows.get("k")?.presence).toBe("live");
  });
});
