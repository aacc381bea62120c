import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Generation } from "../../../site-agent/ledger/generation.ts";
import { Journal, type WriteAt } from "../../../site-agent/ledger/journal.ts";
import { ErrorCode, type IsthmusError } from "../../../topology/errors.ts";

// Goal: a journal replays exactly the records that are whole and without a gap above what the tables contain. Method: the
// files are cut, altered and left behind as a crash or a power cut could do it.

let directory: string;
let open: Journal[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "isthmus-journal-"));
  open = [];
});
afterEach(async () => {
  for (const journal of open) await journal.close(false);
  rmSync(directory, { recursive: true });
});

function opened(contained: number, segmentBytes = 1e6, write?: WriteAt): Journal {
  const journal = new Journal(directory, contained, segmentBytes, write);
  open.push(journal);
  return journal;
}

async function reopened(contained: number, segmentBytes = 1e6): Promise<Journal> {
  for (const journal of open.splice(0)) await journal.close(false);
  return opened(contained, segmentBytes);
}

/** Record `n`: a row of its own in one table, the last number in another, and what record n - 1 put goes. */
function record(n: number): Generation {
  const generation = new Generation();
  generation.set("entries", `\xffkey ${n}`, Buffer.alloc(20, n));
  generation.set("meta", "last", Buffer.from([n]));
  generation.set("facts", `fact ${n}`, Buffer.alloc(0));
  generation.set("facts", `fact ${n - 1}`, undefined);
  return generation;
}

/** All that a generation changes. */
const changes = (of: Generation) =>
  (["meta", "facts", "entries", "outbox"] as const).map((table) => new Map(of.changes(table)));

/** What replaying records `from`..`to` must give. */
function records(from: number, to: number): Generation {
  const all = new Generation();
  for (let n = from; n <= to; n++) all.add(record(n));
  return all;
}

function append(journal: Journal, from: number, to: number): void {
  for (let n = from; n <= to; n++) journal.append(record(n));
}

function expectReplayed(journal: Journal, from: number, to: number): void {
  expect(journal.seq).toBe(to);
  expect(changes(journal.replayed)).toEqual(changes(records(from, to)));
}

const files = () => readdirSync(directory).sort();
const file = (name: string | undefined) => join(directory, name ?? "none");
const failure = (action: () => unknown): IsthmusError | undefined => {
  try {
    action();
    return undefined;
  } catch (error) {
    return error as IsthmusError;
  }
};

describe("a journal", () => {
  it("replays what was appended above what the tables contain, and goes on above it", async () => {
    append(opened(0), 1, 5);
    expectReplayed(await reopened(0), 1, 5);
    const journal = await reopened(3);
    expectReplayed(journal, 4, 5);
    append(journal, 6, 7);
    expectReplayed(await reopened(3), 4, 7);
  });

  it("makes no file before its first record", () => {
    opened(7);
    expect(files()).toEqual([]);
  });

  it("leaves no trace of an outbox row that came and went in one generation", () => {
    const generation = new Generation();
    generation.set("outbox", "a", Buffer.alloc(10));
    generation.set("outbox", "a", undefined);
    generation.set("outbox", "b", undefined);
    expect(changes(generation)[3]).toEqual(new Map([["b", undefined]]));
    expect(generation.size).toBe(1);
  });

  it("whose end was cut off anywhere replays the whole records before, and goes on there", async () => {
    append(opened(0), 1, 3);
    const path = file(files()[0]);
    const ends: number[] = [statSync(path).size];
    for (let n = 4; n <= 6; n++) {
      append(open[0] as Journal, n, n);
      ends.push(statSync(path).size);
    }
    const bytes = readFileSync(path);
    for (let end = ends[0] ?? 0; end <= bytes.length; end++) {
      for (const name of files()) rmSync(file(name));
      writeFileSync(path, bytes.subarray(0, end));
      const last = 2 + ends.filter((one) => one <= end).length;
      const journal = await reopened(0);
      expectReplayed(journal, 1, last);
      expect(journal.lostBytes).toBe(end - (ends[last - 3] ?? 0));
      append(journal, last + 1, last + 1);
      const again = await reopened(0);
      expectReplayed(again, 1, last + 1);
      expect(again.lostBytes).toBe(0);
    }
  });

  it("replays nothing from an altered byte on, wherever it is", async () => {
    append(opened(0), 1, 3);
    const path = file(files()[0]);
    const start = statSync(path).size;
    append(open[0] as Journal, 4, 4);
    const fourth = statSync(path).size;
    append(open[0] as Journal, 5, 6);
    const bytes = readFileSync(path);
    for (let at = start; at < bytes.length; at++) {
      const altered = Buffer.from(bytes);
      altered[at] = (altered[at] ?? 0) ^ (1 << (at % 8));
      writeFileSync(path, altered);
      const journal = await reopened(0);
      const last = at < fourth ? 3 : at < fourth + (fourth - start) ? 4 : 5;
      expectReplayed(journal, 1, last);
    }
  });

  it("takes zeros for no record: a power cut can leave a file longer than its data", async () => {
    append(opened(0), 1, 2);
    const path = file(files()[0]);
    truncateSync(path, statSync(path).size + 500);
    expectReplayed(await reopened(0), 1, 2);
    truncateSync(path, 0);
    truncateSync(path, 500);
    expectReplayed(await reopened(0), 1, 0);
    expect(files()).toEqual([]);
  });

  it("of a newer format is refused and left as it is", () => {
    append(opened(0), 1, 2);
    const path = file(files()[0]);
    const bytes = readFileSync(path);
    bytes[11] = 9;
    writeFileSync(path, bytes);
    const error = failure(() => opened(0));
    expect([error?.code, error?.message]).toEqual([
      ErrorCode.LedgerFormat,
      expect.stringMatching(/format 9.*up to 1/),
    ]);
    expect(readFileSync(path)).toEqual(bytes);
  });
});

describe("a journal of several files", () => {
  it("replays them as one, also with records longer than a file", async () => {
    append(opened(0, 250), 1, 9);
    expect(files().length).toBeGreaterThan(3);
    expectReplayed(await reopened(0, 10), 1, 9);
    append(open[0] as Journal, 10, 12);
    expectReplayed(await reopened(0), 1, 12);
    await open[0]?.sync();
  });

  it("drops those that the tables contain, never the one that is written to", async () => {
    const journal = opened(0, 10);
    append(journal, 1, 5);
    expect(files()).toHaveLength(5);
    expect(journal.hasBehind(0)).toBe(false);
    const sync = journal.sync();
    await journal.dropBehind(3);
    await sync;
    expect(files().map((name) => Number.parseInt(name.slice(-14), 16))).toEqual([4, 5]);
    await journal.dropBehind(5);
    expect(files()).toHaveLength(1);
    append(journal, 6, 6);
    expectReplayed(await reopened(4), 5, 6);
  });

  it("needs none that a crash left behind after the tables contained it, whole or not", async () => {
    append(opened(0, 10), 1, 5);
    writeFileSync(file(files()[1]), "not a journal's");
    expectReplayed(await reopened(3), 4, 5);
    expect(files()).toHaveLength(2);
    expectReplayed(await reopened(5), 6, 5);
    expect(files()).toEqual([]);
  });

  it("replays none behind a gap, and none of them returns later", async () => {
    append(opened(0, 10), 1, 6);
    const third = file(files()[2]);
    truncateSync(third, statSync(third).size - 1);
    const journal = await reopened(0, 10);
    expectReplayed(journal, 1, 2);
    expect(journal.lostBytes).toBeGreaterThan(0);
    append(journal, 3, 3);
    expectReplayed(await reopened(0, 10), 1, 3);
    expect(files()).toHaveLength(3);
  });

  it("that ends below what the tables contain goes on above that", async () => {
    append(opened(0), 1, 4);
    const journal = await reopened(9);
    expectReplayed(journal, 10, 9);
    append(journal, 10, 11);
    expectReplayed(await reopened(9), 10, 11);
    // An older part that came back with a power cut, torn below what the tables contain.
    for (const one of open.splice(0)) await one.close(false);
    writeFileSync(file("journal-00000000000001"), "ISTHMUSJ");
    expectReplayed(opened(9), 10, 11);
  });

  it("goes away whole when it is closed with all of it contained", async () => {
    const journal = opened(0, 10);
    append(journal, 1, 3);
    await journal.close(true);
    open = [];
    expect(files()).toEqual([]);
  });
});

describe("a journal on a full disk", () => {
  it("keeps no part of the record that did not fit", async () => {
    let room = 500;
    const journal = opened(0, 1e6, (to, from, offset, length, at) => {
      if (room === 0) throw new Error("ENOSPC: no space left on device, write");
      const bytes = Math.min(room, length);
      room -= bytes;
      return writeSync(to, from, offset, bytes, at);
    });
    let n = 0;
    while (failure(() => journal.append(record(n + 1))) === undefined) n += 1;
    expect(n).toBeGreaterThan(2);
    expect(journal.seq).toBe(n);
    expect(failure(() => journal.append(record(n + 1)))?.message).toContain("ENOSPC");
    const again = await reopened(0);
    expectReplayed(again, 1, n);
    expect(again.lostBytes).toBe(0);
  });

  it("writes on where a write was short", async () => {
    const journal = opened(0, 1e6, (to, from, offset, length, at) =>
      writeSync(to, from, offset, Math.min(length, 3), at),
    );
    append(journal, 1, 3);
    expectReplayed(await reopened(0), 1, 3);
  });
});
