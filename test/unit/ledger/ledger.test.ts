import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LmdbLedger } from "../../../site-agent/ledger/lmdb-ledger.ts";
import { StagedStore } from "../../../site-agent/ledger/staged-store.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import { entry, mutation } from "../../support/ledger-rows.ts";
import { outboxOf } from "../../support/outbox.ts";

let directory: string;
let open: LmdbLedger[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "isthmus-ledger-"));
  open = [];
});
afterEach(async () => {
  for (const ledger of open) await ledger.close();
  rmSync(directory, { recursive: true });
});

async function opened(site = "nyc", freeBytes?: () => number): Promise<LmdbLedger> {
  const ledger = await LmdbLedger.open(directory, site, process.pid, { freeBytes });
  open.push(ledger);
  return ledger;
}

async function reopened(): Promise<LmdbLedger> {
  for (const ledger of open.splice(0)) await ledger.close();
  return opened();
}

const failure = async (action: Promise<unknown>): Promise<{ code: string; message: string }> =>
  action.then(
    () => ({ code: "none", message: "" }),
    (error: { code: string; message: string }) => error,
  );

describe("entries", () => {
  it("are read as staged at once, as committed later, and as they were after a restart", async () => {
    const ledger = await opened();
    const cache = ledger.cache("sessions");
    cache.put("a", entry(1));
    expect(cache.get("a")).toEqual(entry(1));
    await ledger.commit();
    expect(cache.get("a")).toEqual(entry(1));
    cache.put("a", entry(2));
    expect(cache.get("a")).toEqual(entry(2));
    cache.delete("a");
    expect(cache.get("a")).toBeUndefined();
    cache.put("b", entry(3));
    const again = (await reopened()).cache("sessions");
    expect([again.get("a"), again.get("b")]).toEqual([undefined, entry(3)]);
  });

  it("keep a change that was staged while an older one of the same key was committed", async () => {
    const ledger = await opened();
    const cache = ledger.cache("sessions");
    cache.put("a", entry(1));
    const first = ledger.commit();
    // Lets the transaction of the first begin.
    await Promise.resolve();
    await Promise.resolve();
    cache.put("a", entry(2));
    await first;
    expect(cache.get("a")).toEqual(entry(2));
    await ledger.commit();
    expect(cache.get("a")).toEqual(entry(2));
  });

  it("of two caches do not mix, and pages follow key order to the end", async () => {
    const ledger = await opened();
    const [a, b] = [ledger.cache("a"), ledger.cache("b")];
    const keys = ["", "\x00", "a", "a\x00", "b", "\xfe", "\xff", "\xff\xff"];
    for (const [i, key] of keys.entries()) a.put(key, entry(i));
    b.put("a", entry(99));
    await ledger.commit();
    const seen: string[] = [];
    for (let page = a.page(undefined, 3); page.length > 0; page = a.page(seen.at(-1), 3)) {
      seen.push(...page.map(([key]) => key));
    }
    expect(seen).toEqual(keys);
    expect(b.page(undefined, 10)).toEqual([["a", entry(99)]]);
    expect(a.page("a", 1)).toEqual([["a\x00", entry(3)]]);
    expect(ledger.cache("c").page(undefined, 10)).toEqual([]);
  });

  it("with keys longer than LMDB takes come back whole, last in the pages", async () => {
    const ledger = await opened();
    const cache = ledger.cache("sessions");
    const long = `a${"\xe9".repeat(5000)}`;
    cache.put(long, entry(1));
    cache.put("z", entry(2));
    await ledger.commit();
    expect(cache.get(long)).toEqual(entry(1));
    expect(cache.page(undefined, 10)).toEqual([
      ["z", entry(2)],
      [long, entry(1)],
    ]);
    expect(cache.page(long, 10)).toEqual([]);
    expect(cache.page("a", 10, long)).toHaveLength(2);
    expect(cache.page("z", 10, "zz")).toEqual([]);
  });
});

describe("the outbox", () => {
  it("hands out committed rows in order, within rows and bytes, at least one", async () => {
    const ledger = await opened();
    const cache = ledger.cache("sessions");
    const seqs = [1, 2, 3, 4].map((n) => cache.enqueue(mutation(n, 1000)));
    expect(seqs).toEqual([1, 2, 3, 4]);
    expect(outboxOf(cache, 0, 10, 1e9)).toEqual([]);
    await ledger.commit();
    const rows = outboxOf(cache, 0, 10, 1e9);
    expect(rows.map(({ seq, record }) => [seq, record])).toEqual(
      seqs.map((seq) => [seq, mutation(seq, 1000)]),
    );
    expect(outboxOf(cache, 1, 2, 1e9).map((row) => row.seq)).toEqual([2, 3]);
    expect(outboxOf(cache, 0, 10, 2500).map((row) => row.seq)).toEqual([1, 2]);
    expect(outboxOf(cache, 0, 10, 1).map((row) => row.seq)).toEqual([1]);
  });

  it("never uses a sequence twice, also when it was emptied before a restart", async () => {
    const ledger = await opened();
    const cache = ledger.cache("sessions");
    cache.enqueue(mutation(1));
    cache.enqueue(mutation(2));
    await ledger.commit();
    cache.acknowledge(2);
    expect(outboxOf(cache, 0, 10, 1e9)).toEqual([]);
    expect((await reopened()).cache("sessions").enqueue(mutation(3))).toBe(3);
  });

  it("replaces a row by a newer one at its end", async () => {
    const ledger = await opened();
    const cache = ledger.cache("sessions");
    const first = cache.enqueue(mutation(1));
    cache.enqueue(mutation(2));
    await ledger.commit();
    expect(cache.enqueue(mutation(3), first)).toBe(3);
    await ledger.commit();
    expect(outboxOf(cache, 0, 10, 1e9).map((row) => row.seq)).toEqual([2, 3]);
    expect(cache.outboxSize().rows).toBe(2);
  });

  it("knows its size, staged rows and acknowledged ones included, also after a restart", async () => {
    const ledger = await opened();
    const cache = ledger.cache("sessions");
    expect(cache.outboxSize()).toEqual({ rows: 0, bytes: 0, oldestAtMs: undefined });
    cache.enqueue(mutation(1));
    cache.enqueue(mutation(2));
    const staged = cache.outboxSize();
    expect(staged).toMatchObject({ rows: 2, oldestAtMs: 1001 });
    await ledger.commit();
    expect(cache.outboxSize()).toEqual(staged);
    cache.enqueue(mutation(3));
    cache.acknowledge(1);
    const size = cache.outboxSize();
    expect(size).toMatchObject({ rows: 2, oldestAtMs: 1002 });
    const again = (await reopened()).cache("sessions");
    expect(again.outboxSize()).toEqual(size);
    expect(outboxOf(again, 0, 9, 1e9).reduce((sum, row) => sum + row.bytes, 0)).toBe(size.bytes);
    again.acknowledge(3);
    expect(again.outboxSize()).toEqual({ rows: 0, bytes: 0, oldestAtMs: undefined });
  });
});

describe("facts", () => {
  it("keep maps, sets, bigints, numbers and objects as they are, until deleted", async () => {
    const fact = {
      positions: new Map([["lon", { incarnation: "i", seq: 7 }]]),
      bound: makeDot(1_790_000_000_000, 3),
      small: 5n,
      at: 1_790_000_000_123,
      ranges: [[1, 2]],
      clean: false,
      none: null,
    };
    const ledger = await opened();
    ledger.setFact("a", fact);
    expect(ledger.fact("a")).toEqual(fact);
    const again = await reopened();
    expect(again.fact("a")).toEqual(fact);
    again.setFact("a", undefined);
    expect(again.fact("a")).toBeUndefined();
    expect((await reopened()).fact("a")).toBeUndefined();
  });

  it("are listed by prefix in the order of their names, staged ones included", async () => {
    const ledger = await opened();
    for (const name of ["p/b", "p/d", "q", "o", "p"]) ledger.setFact(name, name);
    await ledger.commit();
    ledger.setFact("p/c", 1);
    ledger.setFact("p/d", undefined);
    ledger.setFact("p/ä", 2);
    expect([...ledger.facts("p/")]).toEqual([
      ["p/b", "p/b"],
      ["p/c", 1],
      ["p/ä", 2],
    ]);
    expect([...ledger.facts("")].map(([name]) => name)).toEqual([
      "o",
      "p",
      "p/b",
      "p/c",
      "p/ä",
      "q",
    ]);
  });
});

describe("commits", () => {
  it("with nothing staged resolve at once, synced ones too", async () => {
    const ledger = await opened();
    await ledger.commit();
    await ledger.sync();
  });

  it("gather what is staged while one runs: many callers, few transactions", async () => {
    const ledger = await opened();
    const cache = ledger.cache("sessions");
    await Promise.all(
      Array.from({ length: 500 }, async (_, n) => {
        cache.put(`key ${n}`, entry(n));
        cache.enqueue(mutation(n));
        await ledger.commit();
      }),
    );
    expect(cache.page(undefined, 1000)).toHaveLength(500);
    expect(outboxOf(cache, 0, 1000, 1e9)).toHaveLength(500);
  });

  it("are refused for good once the disk has no room, and count for nothing", async () => {
    let free = 1e9;
    const ledger = await opened("nyc", () => free);
    const cache = ledger.cache("sessions");
    cache.put("a", entry(1));
    await ledger.commit();
    free = 1000;
    cache.put("b", entry(2));
    const { code, message } = await failure(ledger.commit());
    expect([code, message]).toEqual([
      ErrorCode.LedgerBroken,
      expect.stringMatching(/1000 bytes are free/),
    ]);
    free = 1e9;
    expect(() => cache.put("c", entry(3))).toThrow("could not be written");
    expect((await failure(ledger.commit())).code).toBe(ErrorCode.LedgerBroken);
    expect((await failure(ledger.sync())).code).toBe(ErrorCode.LedgerBroken);
    const again = (await reopened()).cache("sessions");
    expect([again.get("a"), again.get("b")]).toEqual([entry(1), undefined]);
  });
});

describe("opening a ledger", () => {
  it("that is open is refused, and is possible again after it was closed", async () => {
    await opened();
    const { code, message } = await failure(opened());
    expect(code).toBe(ErrorCode.LedgerHeld);
    expect(message).toContain(`process id ${process.pid}`);
    await reopened();
  });

  it("of another site is refused with both named", async () => {
    await (await opened()).close();
    open = [];
    const { code, message } = await failure(opened("lon"));
    expect(code).toBe(ErrorCode.LedgerOtherSite);
    expect(message).toMatch(/site nyc.*site lon/);
  });

  it("of another format is refused with both named", async () => {
    await (await opened()).close();
    open = [];
    const store = new StagedStore(directory);
    store.put("meta", "format", Buffer.from([0, 0, 0, 9]));
    await store.close();
    const { code, message } = await failure(opened());
    expect(code).toBe(ErrorCode.LedgerFormat);
    expect(message).toMatch(/format 9.*reads 3/);
    // The refusal let go of it.
    expect((await failure(opened())).code).toBe(ErrorCode.LedgerFormat);
  });
});
