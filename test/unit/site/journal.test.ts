import { describe, expect, it } from "vitest";
import { Journal } from "../../../deploy/site/journal.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";
import { arrival } from "../site-agent/applier-bench.ts";

const journalOf = (machine: VirtualMachine) => new Journal(machine.ledger, machine.clock);
const letter = (seq: number) => ({
  origin: "nyc",
  cache: "sessions",
  seq,
  key: "k",
  dot: makeDot(seq, 0),
  reason: "too large",
  payload: Buffer.from("bytes"),
});

describe("the journal", () => {
  it("keeps a conflict with its siblings, its policy, what showed, and the bytes of what did not", () => {
    const machine = new VirtualMachine();
    const journal = journalOf(machine);
    const [a, b] = [arrival("lon", 1, "a"), arrival("nyc", 2, undefined)];
    const versions = { context: new Map(), siblings: [a, b] };
    journal.addConflict("sessions", "k", versions, b, "last-writer-wins");
    const [[id, row] = [0]] = journal.allConflicts();
    expect([id, row?.shows, row?.policy, row?.foundAt]).toEqual([
      1,
      "nyc",
      "last-writer-wins",
      machine.clock.now(),
    ]);
    const expiry = { expiresAt: 0, maxIdleMs: 0, offsetMs: 0 };
    expect(row?.siblings).toEqual([
      { author: "lon", dot: a.dot, at: 1, kind: "put", hash: a.hash, ...expiry, bytes: 1 },
      { author: "nyc", dot: b.dot, at: 2, kind: "remove", hash: "", ...expiry, bytes: undefined },
    ]);
    expect(String(Buffer.from(journal.lostValue(id, "lon") ?? []))).toBe("a");
    expect(journal.lostValue(id, "nyc")).toBeUndefined();
  });

  it("says what showed when a merge decided, and when nothing did", () => {
    const journal = journalOf(new VirtualMachine());
    const versions = { context: new Map(), siblings: [] };
    const merged = {
      kind: "merged",
      value: Buffer.alloc(0),
      of: [],
      offsetMs: 0,
      expiresAt: 0,
      maxIdleMs: 0,
    } as const;
    journal.addConflict("sessions", "k", versions, merged, { merge: "./m.mjs" });
    journal.addConflict("sessions", "k", versions, undefined, { merge: "./m.mjs" });
    expect(journal.allConflicts().map(([, { shows }]) => shows)).toEqual(["(merged)", undefined]);
  });

  it("keeps dead letters with their bytes, and changes that are too large with their size", () => {
    const journal = journalOf(new VirtualMachine());
    journal.addDeadLetter(letter(7));
    journal.addUnsendable("sessions", "big", 9_999);
    const [[id, dead] = [0], [, large] = []] = journal.allDeadLetters();
    expect(dead).toMatchObject({ origin: "nyc", seq: 7, key: "k", reason: "too large", bytes: 5 });
    expect(String(Buffer.from(journal.payload(id) ?? []))).toBe("bytes");
    expect(large).toMatchObject({
      cache: "sessions",
      key: "big",
      reason: expect.stringContaining("9999"),
    });
    expect([journal.deadLetters, journal.conflicts, journal.allConflicts()]).toEqual([2, 0, []]);
  });

  it("goes on with its numbers after a restart, and is committed with what it is about", async () => {
    const machine = new VirtualMachine();
    journalOf(machine).addDeadLetter(letter(1));
    await machine.settle(machine.ledger.commit());
    journalOf(machine).addDeadLetter(letter(2));
    machine.restart();
    journalOf(machine).addDeadLetter(letter(3));
    const seqs = journalOf(machine)
      .allDeadLetters()
      .map(([id, { seq }]) => [id, seq]);
    expect(seqs).toEqual([
      [1, 1],
      [2, 3],
    ]);
  });

  it("keeps the newest rows of each kind, no more than its bound, and counts the others (I7, I12)", () => {
    const machine = new VirtualMachine();
    const bounds = { rowsMax: 3, bytesMax: 100_000 };
    const journal = () => new Journal(machine.ledger, machine.clock, bounds);
    for (let seq = 1; seq <= 5; seq++) journal().addDeadLetter(letter(seq));
    const { deadLetterRows } = journal();
    expect([...deadLetterRows.newest()].map(([id, { seq }]) => [id, seq])).toEqual([
      [5, 5],
      [4, 4],
      [3, 3],
    ]);
    expect(deadLetterRows.size).toMatchObject({ rows: 3, dropped: 2 });
    expect(journal().payload(2)).toBeUndefined();
    expect([...machine.ledger.facts("journal/dead/")]).toHaveLength(6);
    expect(journal().conflictRows.size).toEqual({ rows: 0, bytes: 0, dropped: 0 });
  });

  it("lets the oldest rows go for the bytes of a new one", () => {
    const machine = new VirtualMachine();
    const journal = new Journal(machine.ledger, machine.clock, { rowsMax: 100, bytesMax: 10_000 });
    const large = (seq: number) => ({ ...letter(seq), payload: Buffer.alloc(4_000) });
    for (let seq = 1; seq <= 3; seq++) journal.addDeadLetter(large(seq));
    expect(journal.allDeadLetters().map(([id]) => id)).toEqual([2, 3]);
    expect(journal.deadLetterRows.size.bytes).toBeLessThanOrEqual(10_000);
    // Alone it is kept, whatever its size: a bound that refused it would lose what it is there to keep.
    journal.addDeadLetter({ ...letter(4), payload: Buffer.alloc(20_000) });
    expect(journal.allDeadLetters().map(([id]) => id)).toEqual([4]);
    expect(journal.deadLetterRows.size).toMatchObject({ rows: 1, dropped: 3 });
  });

  it("forgets a row that is done with, and steps over its place", () => {
    const machine = new VirtualMachine();
    const journal = new Journal(machine.ledger, machine.clock, { rowsMax: 3, bytesMax: 100_000 });
    for (let seq = 1; seq <= 3; seq++) journal.addDeadLetter(letter(seq));
    journal.deadLetterRows.delete(1);
    journal.deadLetterRows.delete(2);
    journal.deadLetterRows.delete(2);
    expect(journal.deadLetterRows.size).toMatchObject({ rows: 1, dropped: 0 });
    for (let seq = 4; seq <= 6; seq++) journal.addDeadLetter(letter(seq));
    expect(journal.allDeadLetters().map(([id]) => id)).toEqual([4, 5, 6]);
    expect(journal.deadLetterRows.size).toMatchObject({ rows: 3, dropped: 1 });
  });
});
