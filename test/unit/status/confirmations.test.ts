import { describe, expect, it } from "vitest";
import { NOTHING_ASIDE } from "../../../gateway/receive/position-tracker.ts";
import { Confirmations } from "../../../gateway/status/confirmations.ts";

const only = (row: number) => ({ above: row - 1, upTo: row });

/** Rows that were confirmed, in their order. */
function waitingFor(confirmations: Confirmations, rows: number[], targets: string[]) {
  const done: number[] = [];
  const waits = rows.map((row) => confirmations.wait(only(row), targets, () => done.push(row)));
  return { done, waits };
}

const upTo = (seq: number, ranges: Array<[number, number]> = [], aside = NOTHING_ASIDE) => ({
  seq,
  ranges,
  aside,
});

/** A batch whose counter is its sequence. */
const batch = (outboxSeq: number, seq: number, counter = seq) => ({ outboxSeq, seq, counter });

describe("a wait for an outbox row", () => {
  it("ends when every target has applied the batch that carries it, in any order of news", () => {
    const confirmations = new Confirmations();
    const { done, waits } = waitingFor(confirmations, [1, 2, 3], ["lon", "sin"]);
    confirmations.published("i", batch(2, 10));
    confirmations.confirmed("lon", "i", upTo(10));
    expect([done, [...(waits[0]?.missing ?? [])]]).toEqual([[], ["sin"]]);
    confirmations.confirmed("sin", "i", upTo(9));
    expect(done).toEqual([]);
    confirmations.confirmed("sin", "i", upTo(12));
    expect(done).toEqual([1, 2]);
    confirmations.confirmed("lon", "i", upTo(12));
    expect(done).toEqual([1, 2]);
    confirmations.published("i", batch(3, 12));
    expect(done).toEqual([1, 2, 3]);
  });

  it("ends at once for a row that the targets have", () => {
    const confirmations = new Confirmations();
    for (const n of [1, 2, 3, 4]) confirmations.published("i", batch(n * 10, n));
    confirmations.confirmed("lon", "i", upTo(2));
    const { done } = waitingFor(confirmations, [1, 10, 11, 20, 21, 40], ["lon"]);
    expect(done).toEqual([1, 10, 11, 20]);
  });

  it("ends by a range beyond the prefix, and is not undone by a beat that names no ranges", () => {
    const confirmations = new Confirmations();
    confirmations.published("i", batch(1, 5));
    confirmations.published("i", batch(2, 6));
    confirmations.confirmed("lon", "i", upTo(4, [[6, 6]]));
    confirmations.confirmed("lon", "i", upTo(4));
    const { done } = waitingFor(confirmations, [1, 2], ["lon"]);
    expect(done).toEqual([2]);
  });

  it("ends for nobody by what was applied of another incarnation, nor by old news", () => {
    const confirmations = new Confirmations();
    confirmations.published("old", batch(1, 90));
    const lost = waitingFor(confirmations, [1], ["lon"]);
    confirmations.published("new", batch(2, 3));
    confirmations.confirmed("lon", "old", upTo(90));
    const { done } = waitingFor(confirmations, [2], ["lon"]);
    expect([lost.done, done]).toEqual([[], []]);
    confirmations.confirmed("lon", "new", upTo(3));
    confirmations.confirmed("lon", "new", upTo(1));
    expect([lost.done, done]).toEqual([[], [2]]);
    expect(waitingFor(confirmations, [2], ["lon"]).done).toEqual([2]);
  });

  it("counts what was announced before this run published anything", () => {
    const confirmations = new Confirmations();
    confirmations.confirmed("lon", "i", upTo(7));
    const { done } = waitingFor(confirmations, [1], ["lon"]);
    confirmations.published("i", batch(1, 7));
    expect(done).toEqual([1]);
  });

  it("ends with the target that set the batch aside, whatever the others did", () => {
    const confirmations = new Confirmations();
    const ends: unknown[] = [];
    const wait = (row: number) =>
      confirmations.wait(only(row), ["lon", "sin"], (refused) => ends.push([row, refused]));
    wait(1);
    wait(2);
    confirmations.published("i", batch(1, 1));
    confirmations.published("i", batch(2, 2));
    confirmations.confirmed("lon", "i", upTo(2, [], { seqs: [1], counters: [] }));
    confirmations.confirmed("sin", "i", upTo(2));
    expect(ends).toEqual([
      [1, "lon"],
      [2, undefined],
    ]);
  });

  it("is not ended by another batch that a log which lost its end gave the same sequence", () => {
    const confirmations = new Confirmations();
    const ends: unknown[] = [];
    const wait = (row: number) =>
      confirmations.wait(only(row), ["lon"], (refused) => ends.push([row, refused]));
    confirmations.published("i", batch(1, 2, 1));
    wait(1);
    confirmations.published("i", batch(2, 2, 2));
    wait(2);
    confirmations.confirmed("lon", "i", upTo(2, [], { seqs: [], counters: [[1, 1]] }));
    expect(ends).toEqual([
      [1, "lon"],
      [2, undefined],
    ]);
  });

  it("ends for several rows when all of them are there, in whatever order that happens", () => {
    const confirmations = new Confirmations();
    for (const n of [1, 2, 3, 4]) confirmations.published("i", batch(n, n));
    const done: string[] = [];
    const wait = (above: number, last: number) =>
      confirmations.wait({ above, upTo: last }, ["lon"], () => done.push(`${above}-${last}`));
    wait(1, 3);
    wait(1, 4);
    wait(1, 5);
    confirmations.confirmed("lon", "i", upTo(1, [[3, 3]]));
    expect(done).toEqual([]);
    confirmations.confirmed("lon", "i", upTo(1, [[2, 3]]));
    expect(done).toEqual(["1-3"]);
    confirmations.confirmed("lon", "i", upTo(4));
    expect(done).toEqual(["1-3", "1-4"]);
    confirmations.published("i", batch(6, 5));
    confirmations.confirmed("lon", "i", upTo(5));
    expect(done).toEqual(["1-3", "1-4", "1-5"]);
  });

  it("ends for several rows as refused if one of them was set aside", () => {
    const confirmations = new Confirmations();
    for (const n of [1, 2, 3, 4]) confirmations.published("i", batch(n, n));
    const ends: unknown[] = [];
    const wait = (above: number, last: number) =>
      confirmations.wait({ above, upTo: last }, ["lon"], (by) => ends.push([above, last, by]));
    wait(0, 1);
    wait(1, 3);
    wait(2, 4);
    confirmations.confirmed("lon", "i", upTo(4, [], { seqs: [2], counters: [] }));
    expect(ends).toEqual([
      [0, 1, undefined],
      [1, 3, "lon"],
      [2, 4, undefined],
    ]);
  });

  it("follows a row that a later one replaced before it was published", () => {
    const confirmations = new Confirmations();
    const { done } = waitingFor(confirmations, [1, 2, 3], ["lon"]);
    confirmations.replaced(1, 4);
    confirmations.published("i", batch(3, 1));
    confirmations.confirmed("lon", "i", upTo(1));
    expect(done).toEqual([2, 3]);
    confirmations.replaced(4, 5);
    confirmations.published("i", batch(4, 2));
    confirmations.confirmed("lon", "i", upTo(2));
    expect(done).toEqual([2, 3]);
    confirmations.published("i", batch(5, 3));
    confirmations.confirmed("lon", "i", upTo(3));
    expect(done).toEqual([2, 3, 1]);
  });

  it("tells nobody once it is cancelled", () => {
    const confirmations = new Confirmations();
    const { done, waits } = waitingFor(confirmations, [1], ["lon"]);
    waits[0]?.cancel();
    confirmations.published("i", batch(1, 1));
    confirmations.confirmed("lon", "i", upTo(1));
    expect(done).toEqual([]);
  });

  it("forgets old batches, of which a later one that it remembers stands for the rows", () => {
    const confirmations = new Confirmations();
    for (let n = 1; n <= 40_000; n++) confirmations.published("i", batch(n, n));
    confirmations.confirmed("lon", "i", upTo(20_000));
    expect(waitingFor(confirmations, [1], ["lon"]).done).toEqual([]);
    confirmations.confirmed("lon", "i", upTo(40_000));
    expect(waitingFor(confirmations, [1, 40_000], ["lon"]).done).toEqual([1, 40_000]);
  });
});
