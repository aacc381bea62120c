import { describe, expect, it } from "vitest";
import { Journal } from "../../../deploy/site/journal.ts";
import { JOURNAL_ROWS_MAX } from "../../../topology/limits.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";
import { arrival } from "../site-agent/applier-bench.ts";

const journalOf = (machine: VirtualMachine) => new Journal(machine.ledger, machine.clock);
const letter = (seq: number) => ({
  origin: "nyc",
  cache: "sessions",
  seq,
  key: "k",
  reason: "too large",
  payload: Buffer.from("bytes"),
});

describe("the journal", () => {
  it("keeps a conflict with its siblings, its policy and what showed, without a value byte", () => {
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
    expect(row?.siblings).toEqual([
      { author: "lon", dot: a.dot, at: 1, kind: "put", hash: a.hash },
      { author: "nyc", dot: b.dot, at: 2, kind: "remove", hash: "" },
    ]);
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
    const [[, dead] = [], [, large] = []] = journal.allDeadLetters();
    expect(dead).toMatchObject({ origin: "nyc", seq: 7, key: "k", reason: "too large" });
    expect(String(Buffer.from(dead?.payload ?? []))).toBe("bytes");
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

  it("keeps the newest rows of each kind, and no more than its bound (I12)", () => {
    const machine = new VirtualMachine();
    machine.ledger.setFact("journal/dead/000000000001", letter(1));
    machine.ledger.setFact(`journal/dead/${String(JOURNAL_ROWS_MAX).padStart(12, "0")}`, letter(2));
    const journal = journalOf(machine);
    journal.addDeadLetter(letter(3));
    const ids = journal.allDeadLetters().map(([id]) => id);
    expect(ids).toEqual([JOURNAL_ROWS_MAX, JOURNAL_ROWS_MAX + 1]);
  });
});
