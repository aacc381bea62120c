import { describe, expect, it } from "vitest";
import { JournalLists } from "../../../deploy/operator/journal-lists.ts";
import { JOURNAL_ANSWER_BYTES_MAX, JOURNAL_ANSWER_ROWS_MAX } from "../../../topology/limits.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import { OperatorBench } from "./operator-bench.ts";

const ALL = { cache: undefined, since: undefined };

function listed(b: OperatorBench) {
  return new JournalLists("lon", b.journal, b.bench.machine.clock);
}

describe("a site's list of conflicts", () => {
  it("says who lost and what showed, with sizes and hashes, and never a value", async () => {
    const b = new OperatorBench();
    await b.conflict("mine", "their secret");
    const { rows, isCut, kept } = await listed(b).conflicts(ALL);
    expect(rows).toMatchObject([
      {
        id: "lon:1",
        cache: "sessions",
        key: "k",
        policy: "last-writer-wins",
        shows: "nyc",
        lost: ["lon"],
        restored: null,
      },
    ]);
    expect(rows[0]?.versions).toMatchObject([
      { author: "lon", kind: "put", bytes: 4 },
      { author: "nyc", kind: "put", bytes: null },
    ]);
    expect([isCut, kept.rows, kept.dropped]).toEqual([false, 1, 0]);
    expect(JSON.stringify(rows)).not.toMatch(/mine|secret/);
  });

  it("names every put of a merge as one that can come back", async () => {
    const b = new OperatorBench();
    const id = await b.conflict("mine", "theirs");
    const row = b.journal.conflictRows.get(id);
    if (row !== undefined) b.journal.conflictRows.set(id, { ...row, shows: "(merged)" });
    const { rows } = await listed(b).conflicts(ALL);
    expect(rows[0]?.lost).toEqual(["lon", "nyc"]);
  });
});

describe("a site's list of dead letters", () => {
  const letter = (cache: string, key: string, reason = "r") => ({
    origin: "nyc",
    cache,
    seq: 7,
    key,
    dot: makeDot(1, 0),
    reason,
    payload: Buffer.from("secret"),
  });

  it("is the newest first, of one cache or from a time on, if asked for", async () => {
    const b = new OperatorBench();
    const { clock } = b.bench.machine;
    b.journal.addDeadLetter(letter("sessions", "\xff"));
    await b.bench.machine.pass(1_000);
    const since = clock.now();
    b.journal.addDeadLetter(letter("other", "b"));
    b.journal.addUnsendable("sessions", "c", 99);
    const ids = async (filter: object) =>
      (await listed(b).deadLetters({ ...ALL, ...filter })).rows.map(({ id }) => id);
    expect(await ids({})).toEqual(["lon:3", "lon:2", "lon:1"]);
    expect(await ids({ cache: "sessions" })).toEqual(["lon:3", "lon:1"]);
    expect(await ids({ since })).toEqual(["lon:3", "lon:2"]);
    const { rows } = await listed(b).deadLetters(ALL);
    expect(rows[0]).toMatchObject({ key: "c", origin: null, seq: null, bytes: 0 });
    expect(rows[2]).toMatchObject({ key: "hex:ff", origin: "nyc", seq: 7, bytes: 6 });
  });

  it("is cut, and says so, at a number of rows and at a number of bytes", async () => {
    const b = new OperatorBench();
    for (let i = 0; i <= JOURNAL_ANSWER_ROWS_MAX; i++) b.journal.addDeadLetter(letter("c", `${i}`));
    const answer = listed(b).deadLetters(ALL);
    expect(await b.bench.machine.settle(answer)).toMatchObject({ isCut: true });
    expect((await answer).rows).toHaveLength(JOURNAL_ANSWER_ROWS_MAX);
    const large = new OperatorBench();
    const reason = "x".repeat(JOURNAL_ANSWER_BYTES_MAX);
    large.journal.addDeadLetter(letter("c", "k", reason));
    large.journal.addDeadLetter(letter("c", "k".repeat(10_000), reason));
    const cut = await listed(large).deadLetters(ALL);
    expect(cut).toMatchObject({ isCut: true, rows: [{ id: "lon:2" }] });
    expect(cut.rows[0]?.key).toMatch(/^k{256}… \(10000 bytes\)$/);
  });
});
