import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { StagedStore, type StoreOptions } from "../../../site-agent/ledger/staged-store.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { Gate } from "../../support/gate.ts";

let folder: string;
let directory: string;
let open: StagedStore[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "isthmus-store-"));
  directory = join(folder, "0");
  open = [];
});
afterEach(async () => {
  for (const store of open) await store.close();
  rmSync(folder, { recursive: true });
});

function opened(options: StoreOptions = {}): StagedStore {
  const store = new StagedStore(directory, options);
  open.push(store);
  return store;
}

/** Opens what a killed process would have left at this moment; LMDB must be idle. */
function afterCrash(options: StoreOptions = {}): StagedStore {
  const from = directory;
  directory = join(folder, String(open.length));
  mkdirSync(directory);
  for (const name of journalFiles(from)) copyFileSync(join(from, name), join(directory, name));
  copyFileSync(join(from, "data.mdb"), join(directory, "data.mdb"));
  return opened(options);
}

const journalFiles = (of: string) => readdirSync(of).filter((name) => name.startsWith("journal"));

const row = (n: number, bytes = 100) => Buffer.alloc(bytes, n);
const rowsOf = (store: StagedStore) =>
  [...store.committed("entries", "\x00", "\xff")].map(([key, value]) => `${key}${value[0]}`);

async function commit(store: StagedStore, key: string, n: number, bytes?: number): Promise<void> {
  store.put("entries", key, row(n, bytes));
  await store.commit();
}

/** Whether `promise` is settled after some turns of the event loop. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = () => {
    settled = true;
  };
  void promise.then(note, note);
  for (let i = 0; i < 20; i++) await turn();
  return settled;
}

const codeOf = (action: Promise<unknown>): Promise<string> =>
  action.then(
    () => "none",
    (error: { code: string }) => error.code,
  );

describe("a commit", () => {
  it("is there after a crash though LMDB has nothing of it", async () => {
    const gate = new Gate();
    const store = opened({ beforeCheckpoint: gate.pass, checkpointBytes: 1 });
    await commit(store, "a", 1);
    await commit(store, "b", 2);
    store.put("entries", "c", row(3));
    const again = afterCrash();
    expect(rowsOf(again)).toEqual(["a1", "b2"]);
    expect(again.get("entries", "c")).toBeUndefined();
    gate.open();
  });

  it("does not wait for a checkpoint, the next ones share one transaction", async () => {
    const gate = new Gate();
    const store = opened({ beforeCheckpoint: gate.pass, checkpointBytes: 1 });
    for (let n = 1; n <= 50; n++) await commit(store, `${n % 7}`, n);
    expect(gate.arrivals).toBe(1);
    gate.letOne();
    await commit(store, "last", 99);
    await gate.arrival(2);
    gate.open();
  });

  it("that crashed between LMDB's transaction and the removal of its files counts once", async () => {
    const gate = new Gate();
    const store = opened({ beforeCheckpoint: gate.pass, checkpointBytes: 1, segmentBytes: 10 });
    for (let n = 1; n <= 5; n++) await commit(store, n % 2 === 0 ? "a" : "b", n);
    const before = join(folder, "before");
    cpSync(directory, before, { recursive: true });
    gate.letOne();
    store.put("entries", "a", undefined);
    await store.commit();
    await gate.arrival(2);
    expect(journalFiles(before)).toHaveLength(5);
    expect(journalFiles(directory)).toHaveLength(1);
    for (const name of journalFiles(before))
      copyFileSync(join(before, name), join(directory, name));
    const again = afterCrash();
    expect(rowsOf(again)).toEqual(["b5"]);
    expect(journalFiles(directory)).toHaveLength(1);
    gate.open();
  });

  it("leaves no file but LMDB's once the store was closed, and one record a turn before", async () => {
    const store = opened();
    for (let n = 0; n < 10; n++) store.put("entries", `${n}`, row(n));
    await store.commit();
    expect(journalFiles(directory)).toEqual(["journal-00000000000001"]);
    await store.close();
    open = [];
    expect(journalFiles(directory)).toEqual([]);
    expect(rowsOf(opened())).toHaveLength(10);
  });
});

describe("a commit behind too much that LMDB has not", () => {
  it("waits for a checkpoint, and is refused by none", async () => {
    const gate = new Gate();
    const store = opened({ beforeCheckpoint: gate.pass, pendingBytesMax: 1000 });
    await commit(store, "a", 1, 900);
    expect(gate.arrivals).toBe(0);
    const waits = commit(store, "b", 2, 900);
    expect(await isSettled(waits)).toBe(false);
    expect(gate.arrivals).toBe(1);
    store.put("entries", "c", row(3));
    expect(rowsOf(store)).toEqual(["a1"]);
    expect(store.get("entries", "c")).toEqual(row(3));
    expect(rowsOf(afterCrash())).toEqual(["a1"]);
    gate.letOne();
    await waits;
    expect(rowsOf(store)).toEqual(["a1", "b2", "c3"]);
    gate.open();
  });

  it("waits also when the disk has no room for both, and is refused if none for itself", async () => {
    const gate = new Gate();
    let free = 1e9;
    const store = opened({ beforeCheckpoint: gate.pass, freeBytes: () => free });
    await commit(store, "a", 1);
    free = 16 * 1024 * 1024 + 20_000;
    const waits = commit(store, "b", 2);
    expect(await isSettled(waits)).toBe(false);
    gate.open();
    await waits;
    free = 16 * 1024 * 1024;
    expect(await codeOf(commit(store, "c", 3))).toBe(ErrorCode.LedgerBroken);
    expect(rowsOf(store)).toEqual(["a1", "b2"]);
  });
});

describe("a checkpoint that fails", () => {
  it("has all refused that comes later; what was committed stays, here and after a restart", async () => {
    let fail: (error: Error) => void = () => {};
    const beforeCheckpoint = () => new Promise<void>((_, reject) => (fail = reject));
    const store = opened({ beforeCheckpoint, checkpointBytes: 1, pendingBytesMax: 150 });
    await commit(store, "a", 1);
    const waits = codeOf(commit(store, "b", 2));
    await turn();
    fail(new Error("the disk is gone"));
    expect(await waits).toBe(ErrorCode.LedgerBroken);
    expect(await codeOf(store.commit())).toBe(ErrorCode.LedgerBroken);
    expect(await codeOf(store.sync())).toBe(ErrorCode.LedgerBroken);
    expect(() => store.put("entries", "c", row(3))).toThrow("the disk is gone");
    expect(rowsOf(store)).toEqual(["a1"]);
    await store.close();
    open = [];
    expect(rowsOf(opened())).toEqual(["a1"]);
  });
});
