import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DirtyKeys, type Mark } from "../../../site-agent/tail/dirty-keys.ts";
import type { CacheEvent } from "../../../topology/ports.ts";

const event = (key: string, more: Partial<CacheEvent> = {}): CacheEvent => ({
  key,
  cause: "modified",
  token: 1n,
  hash: "h",
  retried: false,
  ...more,
});

/** The mark that is next, if it is of this key; nobody holds the key afterwards. */
function take(dirty: DirtyKeys, key: string): Mark | undefined {
  const [taken, mark] = dirty.takeNext() ?? [];
  if (taken === undefined) return undefined;
  expect(taken).toBe(key);
  dirty.release(taken);
  return mark;
}

describe("dirty keys", () => {
  it("keep one mark a key, with the latest event's cause, token and hash", () => {
    const dirty = new DirtyKeys(10);
    dirty.markEvent(event("k", { cause: "created", token: 1n, hash: "a" }));
    dirty.markEvent(event("k", { cause: "removed", token: undefined, hash: undefined }));
    dirty.markEvent(event("k", { cause: "modified", token: 3n, hash: "c" }));
    expect(dirty.size).toBe(1);
    expect(dirty.peek("k")).toMatchObject({ cause: "modified", token: 3n, hash: "c", events: 3 });
  });

  it("remember that one of a mark's events was a re-run", () => {
    const dirty = new DirtyKeys(10);
    dirty.markEvent(event("k", { retried: true }));
    dirty.markEvent(event("k"));
    expect(take(dirty, "k")?.retried).toBe(true);
    dirty.markEvent(event("k"));
    expect(take(dirty, "k")?.retried).toBe(false);
  });

  it("refuse a mark beyond the bound, of an event and of a scan, and never a key that is marked already (I12)", () => {
    const dirty = new DirtyKeys(2);
    expect(dirty.markEvent(event("a"))).toBe(true);
    expect(dirty.markScan("b", 5, true)).toBe(true);
    expect(dirty.markEvent(event("c"))).toBe(false);
    expect(dirty.markScan("c", 5, true)).toBe(false);
    expect(dirty.markEvent(event("b", { token: 9n }))).toBe(true);
    expect(dirty.size).toBe(2);
    expect(dirty.peek("c")).toBeUndefined();
  });

  it("let an event's mark stand when a scan finds the key too, and replace a scan's by an event's", () => {
    const dirty = new DirtyKeys(10);
    dirty.markEvent(event("k", { token: 7n }));
    expect(dirty.markScan("k", 5, true)).toBe(true);
    expect(dirty.peek("k")).toMatchObject({ cause: "modified", token: 7n, gapStart: undefined });
    dirty.markScan("s", 5, true);
    expect(dirty.peek("s")).toMatchObject({ cause: "scan", gapStart: 5, events: 0 });
    dirty.markEvent(event("s", { token: 8n }));
    expect(dirty.peek("s")).toMatchObject({ cause: "modified", token: 8n, gapStart: undefined });
  });

  it("count the reads of a mark that is put back, unless a newer mark came meanwhile, which stands for both", () => {
    const dirty = new DirtyKeys(10);
    dirty.markEvent(event("k", { token: 1n, retried: true }));
    let mark = take(dirty, "k");
    if (mark !== undefined) dirty.putBack("k", mark);
    expect(dirty.peek("k")).toMatchObject({ token: 1n, attempts: 1, events: 1 });
    mark = take(dirty, "k");
    dirty.markEvent(event("k", { token: 2n }));
    if (mark !== undefined) dirty.putBack("k", mark);
    expect(dirty.peek("k")).toMatchObject({ token: 2n, attempts: 0, events: 2, retried: true });
  });

  it("make one mark of a held one and what came since, which says what came first; a scan says less than an event", () => {
    const dirty = new DirtyKeys(10);
    const removed = event("k", { cause: "removed", token: undefined, hash: undefined });
    dirty.markEvent(removed);
    const [, mark] = dirty.takeNext() ?? [];
    if (mark === undefined) throw new Error("no mark");
    dirty.markScan("k", 5, false);
    expect(dirty.latest("k", mark)).toBe(mark);
    dirty.markEvent(event("k", { cause: "created", token: 2n }));
    const both = dirty.latest("k", mark);
    expect(both).toMatchObject({ cause: "created", token: 2n, events: 2, afterRemove: true });
    expect([dirty.peek("k"), dirty.newest("k")]).toEqual([undefined, both]);
    expect(dirty.latest("k", both)).toBe(both);
  });

  it("tell a client's remove before the newest event from one that may be ours, or was repeated", () => {
    const removed = (more: Partial<CacheEvent> = {}) =>
      event("k", { cause: "removed", token: undefined, hash: undefined, ...more });
    const after = (mark: (dirty: DirtyKeys) => unknown) => {
      const dirty = new DirtyKeys(10);
      mark(dirty);
      dirty.markEvent(event("k", { cause: "created", token: 2n }));
      return dirty.peek("k")?.afterRemove;
    };
    expect(after((dirty) => dirty.markEvent(removed()))).toBe(true);
    expect(after((dirty) => dirty.markEvent(removed(), true))).toBe(false);
    expect(after((dirty) => dirty.markEvent(removed({ retried: true })))).toBe(false);
    expect(after(() => undefined)).toBe(false);
  });

  it("never lose a mark that is put back, even when others took its place meanwhile (I7)", () => {
    const dirty = new DirtyKeys(1);
    dirty.markEvent(event("a"));
    const mark = take(dirty, "a");
    dirty.markEvent(event("b"));
    if (mark !== undefined) dirty.putBack("a", mark);
    expect(dirty.peek("a")).toBeDefined();
    expect(dirty.peek("b")).toBeDefined();
  });

  it("give the oldest key that nobody holds first, and a held one when it is released", () => {
    const dirty = new DirtyKeys(10);
    for (const key of ["a", "b", "c"]) dirty.markEvent(event(key));
    expect(dirty.takeNext()?.[0]).toBe("a");
    dirty.markEvent(event("a"));
    expect([dirty.takeNext()?.[0], dirty.takeNext()?.[0], dirty.takeNext()]).toEqual([
      "b",
      "c",
      undefined,
    ]);
    expect([dirty.held, dirty.isHeld("a")]).toEqual([3, true]);
    dirty.release("b");
    expect(dirty.takeNext()).toBeUndefined();
    dirty.release("a");
    expect(dirty.takeNext()?.[0]).toBe("a");
  });

  it("tell the next mark of a key to who waits for it, once", () => {
    const dirty = new DirtyKeys(10);
    const heard: Array<bigint | undefined> = [];
    dirty.awaitMark("k", (mark) => heard.push(mark.token));
    dirty.markEvent(event("other", { token: 1n }));
    dirty.markEvent(event("k", { token: 2n }));
    dirty.markEvent(event("k", { token: 3n }));
    expect(heard).toEqual([2n]);
    const stop = dirty.awaitMark("k", (mark) => heard.push(mark.token));
    stop();
    dirty.markEvent(event("k", { token: 4n }));
    expect(heard).toEqual([2n]);
  });

  it("give every marked key, to one holder at a time, whatever the order of marks, reads and put-backs", () => {
    const step = fc.record({
      key: fc.constantFrom("a", "b", "c", "d"),
      does: fc.constantFrom("event", "scan", "latest", "takeNext", "putBack", "release"),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const dirty = new DirtyKeys(100);
        const marked = new Set<string>();
        const holders = new Map<string, Mark>();
        for (const { key, does } of steps) {
          if (does === "event") dirty.markEvent(event(key));
          else if (does === "scan") dirty.markScan(key, 1, true);
          if (does === "event" || does === "scan") marked.add(key);
          if (does === "takeNext") {
            const next = dirty.takeNext();
            const free = [...marked].filter((each) => !holders.has(each));
            if (next === undefined) expect(free).toEqual([]);
            else {
              expect(free).toContain(next[0]);
              marked.delete(next[0]);
              holders.set(...next);
            }
          }
          const held = holders.get(key);
          if (held === undefined) continue;
          if (does === "latest") {
            holders.set(key, dirty.latest(key, held));
            marked.delete(key);
          } else if (does === "putBack") {
            dirty.putBack(key, held);
            marked.add(key);
          } else if (does === "release") {
            holders.delete(key);
            dirty.release(key);
          }
        }
        for (const key of holders.keys()) dirty.release(key);
        const given: string[] = [];
        for (let next = dirty.takeNext(); next !== undefined; next = dirty.takeNext()) {
          given.push(next[0]);
        }
        expect(given.toSorted()).toEqual([...marked].toSorted());
      }),
      { numRuns: 300 },
    );
  });
});
