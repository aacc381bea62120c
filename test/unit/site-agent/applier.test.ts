import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../topology/errors.ts";
import { APPLY_RACES_MAX } from "../../../topology/limits.ts";
import { rebuilt } from "../../../site-agent/apply/recovery.ts";
import { covers } from "../../../topology/version/context.ts";
import type { Entry } from "../../../topology/version/entry.ts";
import { EPOCH_MS } from "../../sim/world/sim-process.ts";
import { hashOf } from "../../support/scripted-cache.ts";
import { ApplierBench, arrival } from "./applier-bench.ts";
import { outboxOf } from "../../support/outbox.ts";

const LATER = EPOCH_MS + 60_000;

describe("an arriving version", () => {
  it("is written where it shows, and once only: a repeat changes nothing and publishes nothing (I4)", async () => {
    const lon = new ApplierBench();
    expect(await lon.apply(arrival("nyc", 1, "a"))).toBe("written");
    expect(await lon.apply(arrival("nyc", 1, "a"))).toBe("covered");
    expect(await lon.apply(arrival("nyc", 2, "b"))).toBe("written");
    expect([lon.cache.text("k"), lon.cache.writes]).toEqual(["b", ["put k a", "put k b"]]);
    expect(lon.row).toMatchObject({ presence: "live", held: { token: undefined } });
    expect(lon.published).toEqual([]);
  });

  it("over one whose echo has not come is not known by the next event alone: that may be the one before (I4)", async () => {
    const lon = new ApplierBench();
    await lon.captured("local");
    await lon.apply(arrival("nyc", LATER, "a", { expiresAt: LATER + 9_000 }));
    expect(lon.row?.held).toMatchObject({ token: undefined, seenBy: 1 });
    await lon.apply(arrival("nyc", LATER + 1, "a"));
    expect(lon.row?.held).toMatchObject({ token: undefined, seenBy: 0, expiresAt: 0 });
  });

  it("is only kept in the ledger where another one shows, with its value", async () => {
    const lon = new ApplierBench();
    await lon.captured("local");
    expect(await lon.apply(arrival("nyc", 1, "old"))).toBe("kept");
    expect([lon.cache.text("k"), lon.cache.writes]).toEqual(["local", []]);
    expect(lon.authors).toEqual(["lon", "nyc"]);
    expect(lon.row?.siblings[1]?.value?.toString()).toBe("old");
    expect(lon.conflicts).toHaveLength(1);
  });

  it("of a key that stays at its site tells of no conflict: none of them shows", async () => {
    const lon = new ApplierBench();
    lon.isLocal = true;
    await lon.apply(arrival("nyc", 1, "nyc's"));
    await lon.apply(arrival("par", 2, "par's"));
    expect([lon.authors, lon.cache.writes, lon.conflicts]).toEqual([["nyc", "par"], [], []]);
  });

  it("keeps the value that it hides in the ledger before the cache is overwritten, so that no crash loses it", async () => {
    const lon = new ApplierBench();
    await lon.captured("local");
    lon.cache.beforeWrite = () => {
      const row = lon.machine.disk.get("entry\0sessions\0k") as typeof lon.row;
      expect(row?.siblings.map(({ value }) => value?.toString())).toEqual(["local"]);
    };
    expect(await lon.apply(arrival("nyc", LATER, "winner"))).toBe("written");
    lon.cache.beforeWrite = () => undefined;
    expect(lon.cache.text("k")).toBe("winner");
    expect(lon.row?.siblings.map(({ value }) => value?.toString())).toEqual(["local", undefined]);
    // A remove that saw the winner alone brings the hidden one back.
    const seen = new Map([["nyc", arrival("nyc", LATER, "").dot]]);
    await lon.apply(arrival("par", LATER + 1, undefined, { context: seen, at: 1 }));
    expect(lon.cache.text("k")).toBe("local");
  });

  it("that is a remove, or came past its expiry, takes away what it superseded", async () => {
    for (const [value, expiresAt] of [
      [undefined, 0],
      ["late", EPOCH_MS - 1],
    ] as const) {
      const lon = new ApplierBench();
      await lon.apply(arrival("nyc", 1, "a"));
      await lon.apply(arrival("nyc", 2, value, { expiresAt }));
      expect([lon.cache.text("k"), lon.row?.presence]).toEqual([undefined, "tombstone"]);
    }
  });

  it("ends when its author said, in this site's clock", async () => {
    const lon = new ApplierBench();
    await lon.apply(arrival("nyc", 1, "a", { expiresAt: EPOCH_MS + 5_000, offsetMs: 700 }));
    const state = lon.cache.entries.get("k");
    expect(Math.abs((state?.expiresAt ?? 0) - (EPOCH_MS + 5_700))).toBeLessThanOrEqual(1);
  });

  it("under invalidate removes the copy here, stays known, and is never published", async () => {
    const lon = new ApplierBench("last-writer-wins", true);
    await lon.captured("local");
    expect(await lon.apply(arrival("nyc", LATER, undefined, { kind: "put" }))).toBe("written");
    expect([lon.cache.text("k"), lon.row?.presence]).toEqual([undefined, "absent"]);
    expect(lon.published).toHaveLength(1);
  });
});

describe("a compare-and-set that lost to a local write", () => {
  it("captures that first, against the row before the join: its writer never saw what arrived", async () => {
    const lon = new ApplierBench();
    await lon.apply(arrival("nyc", 1, "a"));
    let raced = false;
    lon.cache.beforeWrite = (key) => {
      if (!raced) lon.cache.put(key, "local");
      raced = true;
    };
    await lon.apply(arrival("nyc", LATER, "b", { context: new Map() }));
    expect(lon.published).toEqual(["local"]);
    const [record] = outboxOf(lon.rows, 0, 1, 1_000);
    expect(covers(record?.record.context ?? new Map(), "nyc", arrival("nyc", 1, "").dot)).toBe(
      true,
    );
    expect(covers(record?.record.context ?? new Map(), "nyc", arrival("nyc", LATER, "").dot)).toBe(
      false,
    );
    expect(lon.authors).toEqual(["lon", "nyc"]);
    expect(lon.cache.text("k")).toBe("b");
  });

  it("was read right before where the entry has no token: what a client wrote meanwhile over REST is captured first", async () => {
    const lon = new ApplierBench();
    await lon.captured("local");
    const [state, row] = [lon.cache.entries.get("k"), lon.row];
    if (state === undefined || row?.held === undefined) throw new Error("nothing was captured");
    lon.rows.put("k", { ...row, held: { ...row.held, token: 0n } });
    lon.cache.entries.set("k", { ...state, token: 0n, value: Buffer.from("over REST") });
    await lon.apply(arrival("nyc", LATER, "b"));
    expect([lon.cache.text("k"), lon.published.at(-1)]).toEqual(["b", "over REST"]);
    expect(lon.authors).toEqual(["lon", "nyc"]);
  });

  it("is no lagging replica's answer where a write over REST kept the token: that is captured (I1)", async () => {
    const lon = new ApplierBench("first-writer-wins");
    await lon.captured("local");
    const state = lon.cache.entries.get("k");
    if (state === undefined) throw new Error("nothing was captured");
    lon.cache.entries.set("k", { ...state, value: Buffer.from("over REST") });
    // What shows is hidden by the earlier one: its bytes are to be kept, so it is read.
    await lon.apply(arrival("nyc", 1, "b"));
    expect([lon.cache.text("k"), lon.published]).toEqual(["b", ["over REST"]]);
  });

  it("takes an absence for a remove only when an event says so", async () => {
    const lon = new ApplierBench();
    await lon.captured("local");
    lon.cache.beforeWrite = () => lon.removed();
    await lon.apply(arrival("nyc", LATER, "b"));
    expect(lon.published).toEqual(["local", "-"].slice(-lon.published.length));
    expect(lon.stats.capturedRemoves).toBe(1);
    const silent = new ApplierBench();
    await silent.captured("local");
    silent.cache.beforeWrite = () => {
      if (silent.cache.text("k") === "local") silent.cache.entries.delete("k");
    };
    await silent.apply(arrival("nyc", LATER, "b"));
    expect([silent.stats.capturedRemoves, silent.stats.absences]).toEqual([0, 1]);
    expect([silent.cache.text("k"), silent.published]).toEqual(["b", ["local"]]);
  });

  it("waits for a scan where changes may have been missed: a remove that no listener told of is not undone (I3)", async () => {
    const lon = new ApplierBench();
    await lon.captured("local");
    lon.unseenSince = 1;
    lon.cache.beforeWrite = () => void lon.cache.entries.delete("k");
    await expect(lon.apply(arrival("nyc", LATER, "b"))).rejects.toMatchObject({
      code: ErrorCode.ApplyRaced,
    });
    expect([lon.cache.text("k"), lon.row?.presence]).toEqual([undefined, "live"]);
  });

  it("finds the event of a remove also where a capture holds its mark, waiting for the key's lock (I3)", async () => {
    for (const isSetAside of [false, true]) {
      const lon = new ApplierBench();
      await lon.captured("local");
      lon.cache.beforeWrite = () => {
        lon.removed();
        const [key, mark] = lon.dirty.takeNext() ?? [];
        if (key === undefined || mark === undefined) return;
        if (!isSetAside) return;
        lon.dirty.setAside(key, mark);
        lon.dirty.release(key);
      };
      await lon.apply(arrival("nyc", LATER, "b"));
      expect([lon.stats.capturedRemoves, lon.stats.absences]).toEqual([1, 0]);
    }
  });

  it("waits for that event while others of the key come in first", async () => {
    const lon = new ApplierBench();
    await lon.captured("local");
    const event = { key: "k", token: 9n, hash: "x", retried: false } as const;
    lon.cache.beforeWrite = () => {
      if (lon.cache.text("k") !== "local") return;
      lon.cache.entries.delete("k");
      lon.dirty.markEvent({ ...event, cause: "modified" });
      lon.machine.clock.after(20, () => lon.dirty.markEvent({ ...event, cause: "modified" }));
      lon.machine.clock.after(40, () => {
        lon.dirty.markEvent({ ...event, token: undefined, cause: "removed" });
      });
    };
    await lon.apply(arrival("nyc", LATER, "b"));
    expect([lon.stats.capturedRemoves, lon.stats.absences]).toEqual([1, 0]);
  });

  it("is given up after so many in a row, to be tried again: every local write was captured", async () => {
    const lon = new ApplierBench("prefer-remove");
    await lon.captured("local");
    let n = 0;
    lon.cache.beforeWrite = (key) => lon.cache.put(key, `local ${++n}`);
    await expect(lon.apply(arrival("nyc", LATER, undefined))).rejects.toMatchObject({
      code: ErrorCode.ApplyRaced,
    });
    expect([n, lon.stats.capturedPuts]).toEqual([APPLY_RACES_MAX, APPLY_RACES_MAX + 1]);
  });
});

describe("a write without an answer", () => {
  it("that was done is the version that was applied, never a local change (I4, I6)", async () => {
    for (const value of ["b", undefined]) {
      const lon = new ApplierBench();
      await lon.captured("local");
      lon.cache.fates = ["done, no answer"];
      await lon.apply(arrival("nyc", LATER, value));
      expect(lon.cache.text("k")).toBe(value);
      expect([lon.published, lon.stats.unknownOutcomes, lon.stats.intentsMatched]).toEqual([
        ["local"],
        1,
        1,
      ]);
    }
  });

  it("that was not done fails the apply, which may be tried again", async () => {
    const lon = new ApplierBench();
    await lon.captured("local");
    lon.cache.fates = ["lost, no answer"];
    await expect(lon.apply(arrival("nyc", LATER, "b"))).rejects.toMatchObject({
      code: ErrorCode.HotRodTimeout,
    });
    expect(lon.authors).toEqual(["lon"]);
    expect(await lon.apply(arrival("nyc", LATER, "b"))).toBe("written");
  });

  it("leaves a local change a local change that matches neither it nor the ledger", async () => {
    const lon = new ApplierBench();
    await lon.captured("local");
    lon.cache.fates = ["lost, no answer"];
    let raced = false;
    lon.cache.beforeWrite = (key) => {
      if (!raced) lon.cache.put(key, "mine");
      raced = true;
    };
    await lon.apply(arrival("nyc", LATER, "b"));
    expect(lon.stats.capturedPuts).toBe(2);
    const context = outboxOf(lon.rows, 0, 9, 9_999).at(-1)?.record.context ?? new Map();
    expect(covers(context, "nyc", arrival("nyc", LATER, "").dot)).toBe(false);
  });

  it("passes on a fault that says nothing of a race", async () => {
    const lon = new ApplierBench();
    lon.cache.fates = ["refused"];
    await expect(lon.apply(arrival("nyc", 1, "a"))).rejects.toMatchObject({
      code: ErrorCode.CacheMissing,
    });
    expect(lon.row).toBeUndefined();
  });
});

describe("a key without a copy here", () => {
  it("gets an equal version applied over it", async () => {
    const lon = new ApplierBench();
    await lon.apply(arrival("nyc", 1, "a"));
    lon.cache.entries.clear();
    lon.rows.put("k", { ...lon.row, presence: "absent", held: undefined } as never);
    expect(await lon.apply(arrival("nyc", 1, "a"))).toBe("written");
    expect([lon.cache.text("k"), lon.row?.presence]).toEqual(["a", "live"]);
  });

  it("may hold, while a lost ledger is rebuilt, what was superseded long ago: an apply that comes upon it makes no change of it (I3, I6)", async () => {
    const lon = new ApplierBench();
    lon.givesWay = (key, entry, state, hash) => {
      if (entry === undefined || hash !== hashOf("old")) return undefined;
      const stray = lon.applier.adopted(entry, state, hash);
      lon.rows.put(key, stray);
      return stray;
    };
    // As the logs tell it; no scan has come to the key.
    const told = rebuilt(undefined, new Map(), [arrival("nyc", 2, "new")], () => false);
    lon.rows.put("k", told as Entry);
    lon.cache.put("k", "old");
    await lon.apply(arrival("nyc", 3, "newest"));
    expect([lon.cache.text("k"), lon.published, lon.authors]).toEqual(["newest", [], ["nyc"]]);
    // What a listener told of is a client's.
    const token = lon.cache.put("k", "old");
    const event = { key: "k", token, hash: hashOf("old"), retried: false };
    lon.dirty.markEvent({ ...event, cause: "modified" });
    await lon.apply(arrival("nyc", 4, "later"));
    expect(lon.published).toEqual(["old"]);
  });

  it("whose known version came back by itself has that version: what arrives supersedes it, and nothing is published", async () => {
    const lon = new ApplierBench();
    await lon.apply(arrival("nyc", 1, "a"));
    lon.rows.put("k", { ...lon.row, presence: "absent", held: undefined } as never);
    await lon.apply(arrival("nyc", 2, "b"));
    expect([lon.cache.text("k"), lon.published, lon.authors]).toEqual(["b", [], ["nyc"]]);
  });

  it("whose copy was loaded under invalidate loses it again, and the load is not published", async () => {
    const lon = new ApplierBench("last-writer-wins", true);
    await lon.apply(arrival("nyc", 1, undefined, { kind: "put" }));
    lon.cache.put("k", "loaded");
    await lon.apply(arrival("nyc", 2, undefined, { kind: "put" }));
    expect([lon.cache.text("k"), lon.published, lon.row?.presence]).toEqual([
      undefined,
      [],
      "absent",
    ]);
  });
});

describe("a merge policy", () => {
  it("merges the value that only the cache holds with the one that arrives", async () => {
    const lon = new ApplierBench({ merge: "union" });
    await lon.captured("ab");
    await lon.apply(arrival("nyc", LATER, "bc"));
    expect([lon.cache.text("k"), lon.published]).toEqual(["abc", ["ab"]]);
    expect(lon.row?.siblings.map(({ value }) => value?.toString())).toEqual(["ab", "bc"]);
  });

  it("whose inputs are not all at hand asks for them, and shows nothing half-made meanwhile", async () => {
    const lon = new ApplierBench({ merge: "union" });
    await lon.apply(arrival("nyc", 1, "ab"));
    lon.cache.entries.clear();
    const { value: _lost, ...bare } = arrival("nyc", 1, "ab");
    lon.rows.put("k", {
      ...lon.row,
      siblings: [bare],
      presence: "absent",
      held: undefined,
    } as never);
    await lon.apply(arrival("par", 2, "bc"));
    expect([lon.missing, lon.cache.text("k"), lon.row?.presence]).toEqual([
      ["k"],
      undefined,
      "absent",
    ]);
    const versions = {
      context: lon.row?.context ?? new Map(),
      siblings: [arrival("nyc", 1, "ab"), arrival("par", 2, "bc")],
    };
    await lon.machine.settle(lon.applier.merge("k", { key: "k", versions, floor: new Map() }));
    expect(lon.cache.text("k")).toBe("abc");
  });
});

describe("a version whose bytes are at no hand", () => {
  it("is asked for, and what it superseded is shown no longer", async () => {
    const lon = new ApplierBench();
    await lon.apply(arrival("nyc", 1, "a"));
    const { value: _none, ...bare } = arrival("nyc", 2, "b");
    await lon.apply(bare);
    expect([lon.missing, lon.cache.text("k"), lon.row?.presence]).toEqual([
      ["k"],
      undefined,
      "absent",
    ]);
    expect(lon.published).toEqual([]);
  });
});

describe("recovery after an unclean end", () => {
  const recovering = async (...window: ReturnType<typeof arrival>[]): Promise<ApplierBench> => {
    const lon = new ApplierBench();
    await lon.apply(arrival("nyc", 5, "a"));
    lon.cache.entries.delete("k");
    const known = new Set(window.map(({ hash }) => hash));
    lon.applier.recovering(new Map([["k", known]]));
    await lon.apply(...window);
    return lon;
  };

  it("a key that is missing though no apply removed it is left to the scan as it was (I3)", async () => {
    const lon = await recovering(arrival("par", 2, "old"), arrival("nyc", 6, "b"));
    expect([...lon.applier.recovered()]).toEqual(["k"]);
    expect(lon.row).toMatchObject({ presence: "live" });
    expect([lon.authors, lon.cache.text("k")]).toEqual([["nyc"], undefined]);
  });

  it("what the last run left in the cache without committing it is undone where nothing shows (I4, I6)", async () => {
    const lon = new ApplierBench();
    await lon.apply(arrival("nyc", 5, undefined));
    lon.cache.put("k", "b");
    // No scan of this run has ended.
    lon.unseenSince = 1;
    lon.applier.recovering(new Map([["k", new Set([hashOf("b")])]]));
    await lon.apply(arrival("nyc", 6, "b"), arrival("nyc", 7, undefined));
    expect([lon.cache.text("k"), lon.row?.presence]).toEqual([undefined, "tombstone"]);
    expect(lon.published).toEqual([]);
    lon.applier.recovered();
  });

  it("a key that an apply may have removed is brought to what shows at once (I6)", async () => {
    const lon = await recovering(arrival("nyc", 6, undefined));
    expect([...lon.applier.recovered()]).toEqual([]);
    expect([lon.row?.presence, lon.published]).toEqual(["tombstone", []]);
  });
});
