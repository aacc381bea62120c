import { describe, expect, it } from "vitest";
import { Unconfirmed } from "../../../gateway/status/unconfirmed.ts";
import { UNCONFIRMED_BATCHES_MAX } from "../../../topology/limits.ts";

const batch = (seq: number) => ({ seq, mutations: 2, bytes: 10, at: 1_000 + seq });

describe("what a target has not confirmed", () => {
  it("is what was published, less what it applied, ranges beyond its position included", () => {
    const unconfirmed = new Unconfirmed();
    for (const seq of [3, 5, 8, 9]) unconfirmed.published("a", batch(seq));
    unconfirmed.confirmed("a", { seq: 3, ranges: [[8, 8]] });
    expect(unconfirmed.atRisk()).toEqual({ mutations: 4, bytes: 20, oldestAt: 1_005 });
    expect(unconfirmed.confirmedSeq("a")).toBe(3);
    unconfirmed.confirmed("a", { seq: 9, ranges: [] });
    expect(unconfirmed.atRisk()).toEqual({ mutations: 0, bytes: 0, oldestAt: undefined });
  });

  it("is not lessened by a position of another incarnation of the log", () => {
    const unconfirmed = new Unconfirmed();
    unconfirmed.published("b", batch(4));
    unconfirmed.confirmed("a", { seq: 99, ranges: [] });
    expect(unconfirmed.atRisk().mutations).toBe(2);
    expect([unconfirmed.confirmedSeq("a"), unconfirmed.confirmedSeq("b")]).toEqual([0, 0]);
  });

  it("is nothing of what a resync brought, nor of a log that is gone", () => {
    const unconfirmed = new Unconfirmed();
    for (const seq of [3, 5, 8]) unconfirmed.published("a", batch(seq));
    unconfirmed.madeUp("a", 5);
    expect(unconfirmed.atRisk().mutations).toBe(2);
    expect(unconfirmed.confirmedSeq("a")).toBe(0);
    unconfirmed.madeUp("b", 0);
    expect(unconfirmed.atRisk().mutations).toBe(0);
  });

  it("is bounded: beyond the bound batches count together, and none is forgotten", () => {
    const unconfirmed = new Unconfirmed();
    const all = UNCONFIRMED_BATCHES_MAX + 10;
    for (let seq = 1; seq <= all; seq++) unconfirmed.published("a", batch(seq));
    expect(unconfirmed.atRisk()).toEqual({ mutations: 2 * all, bytes: 10 * all, oldestAt: 1_001 });
    unconfirmed.confirmed("a", { seq: all - 1, ranges: [] });
    expect(unconfirmed.atRisk().mutations).toBe(2 * 11);
    unconfirmed.confirmed("a", { seq: all, ranges: [] });
    expect(unconfirmed.atRisk().mutations).toBe(0);
  });
});
