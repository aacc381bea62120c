import { describe, expect, it } from "vitest";
import type { Capture } from "../../../site-agent/tail/capture.ts";
import { keysWith, markMissing, scanCache } from "../../../site-agent/tail/repair.ts";
import { LEDGER_PAGE_ROWS } from "../../../topology/limits.ts";
import type { Entry } from "../../../topology/version/entry.ts";
import { hashOf, ScriptedCache } from "../../support/scripted-cache.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";

/** A cache, the ledger's rows of it, and a capture that takes `room` marks before it must be drained. */
function bench(room = Number.POSITIVE_INFINITY) {
  const machine = new VirtualMachine();
  const connector = new ScriptedCache();
  const rows = machine.ledger.cache("sessions");
  const marked: Array<[string, number]> = [];
  let waiting = 0;
  let drains = 0;
  const capture = {
    onScanned: (key: string, gapStart: number) => {
      if (waiting >= room) return false;
      waiting += 1;
      marked.push([key, gapStart]);
      return true;
    },
    drained: async () => {
      drains += 1;
      waiting = 0;
    },
  } as unknown as Capture;
  const row = (key: string, presence: Entry["presence"], token?: bigint) => {
    const held = { hash: hashOf("v"), token, seenBy: 0, expiresAt: 0, maxIdleMs: 0 };
    const versions = { context: new Map(), siblings: [], outboxSeq: 0 };
    rows.put(key, { ...versions, presence, held: presence === "live" ? held : undefined });
  };
  const hash = hashOf;
  const parts = { connector, rows, capture, clock: machine.clock, hash };
  const committed = () => machine.settle(machine.ledger.commit());
  const scan = () => machine.settle(scanCache(parts, 77, new AbortController().signal));
  return { machine, connector, rows, marked, row, parts, committed, scan, drains: () => drains };
}

describe("a scan of the cache", () => {
  it("hands to capture whatever is not as the ledger says, dated by the gap, and nothing else", async () => {
    const { connector, row, committed, scan, marked } = bench();
    row("same", "live", connector.put("same", "v"));
    connector.put("changed", "v");
    row("changed", "live", 1n);
    row("changed over REST", "live", connector.put("changed over REST", "other"));
    connector.put("token unknown", "v");
    row("token unknown", "live");
    connector.put("new", "v");
    connector.put("removed here", "v");
    row("removed here", "tombstone");
    const { value, ...state } = { ...connector.entries.get("same"), value: Buffer.from("v") };
    connector.entries.set("without token", { ...state, value, token: 0n } as never);
    row("without token", "live", 0n);
    await committed();
    const result = await scan();
    expect(marked.map(([key]) => key).toSorted()).toEqual(
      [
        "changed",
        "changed over REST",
        "new",
        "removed here",
        "token unknown",
        "without token",
      ].toSorted(),
    );
    expect(marked.every(([, gapStart]) => gapStart === 77)).toBe(true);
    expect(result).toMatchObject({ scanned: 7, different: 6, live: 5, missing: 0 });
  });

  it("counts live keys that are missing, and no removed or absent ones; then capture confirms each by a read", async () => {
    const { machine, connector, row, committed, scan, marked, parts } = bench();
    row("here", "live", connector.put("here", "v"));
    for (const key of ["gone 1", "gone 2"]) row(key, "live", 1n);
    row("tombstone", "tombstone");
    row("absent", "absent");
    await committed();
    const result = await scan();
    expect([result.live, result.missing, marked]).toEqual([3, 2, []]);
    await machine.settle(markMissing(parts, result.found, 77, new AbortController().signal));
    expect(marked).toEqual([
      ["gone 1", 77],
      ["gone 2", 77],
    ]);
  });

  it("counts none as missing that were put while it ran: a few deletes must not look like a cache that lost much (I3)", async () => {
    const { machine, connector, row, committed, parts } = bench();
    row("here", "live", connector.put("here", "v"));
    row("gone", "live", 1n);
    await committed();
    const late = {
      async *scan() {
        yield* connector.scan();
        for (let i = 0; i < 200; i++) row(`new ${i}`, "live", connector.put(`new ${i}`, "v"));
      },
    };
    const scanned = scanCache(
      { ...parts, connector: Object.assign(Object.create(connector), late) },
      77,
      new AbortController().signal,
    );
    expect(await machine.settle(scanned)).toMatchObject({ live: 2, missing: 1 });
  });

  it("waits for room among the dirty keys, and loses no key over it (I7, I12)", async () => {
    const { connector, scan, marked, drains } = bench(3);
    for (let i = 0; i < 20; i++) connector.put(`k${i}`, "v");
    await scan();
    expect(new Set(marked.map(([key]) => key)).size).toBe(20);
    expect(drains()).toBe(6);
  });

  it("sees every key of a ledger of many pages once, and lets others have a turn between them", async () => {
    const { machine, row, rows, committed } = bench();
    const count = LEDGER_PAGE_ROWS * 2 + 10;
    for (let i = 0; i < count; i++) row(`k${i}`, i % 2 === 0 ? "live" : "absent", 1n);
    await committed();
    let turns = 0;
    const counted = { ...machine.clock, sleep: async () => void (turns += 1) };
    const found: string[] = [];
    for await (const key of keysWith(rows, "absent", counted)) found.push(key);
    expect(new Set(found).size).toBe(count / 2);
    expect(turns).toBe(3);
  });
});
