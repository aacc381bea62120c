import { describe, expect, it } from "vitest";
import type { Context, Sibling } from "../../../topology/version/entry.ts";
import {
  appliedEverywhere,
  beginRound,
  dropsInRound,
  floorAfterRound,
  roundIsOver,
} from "../../../topology/version/tombstone.ts";

const context = (of: Record<string, bigint>): Context => new Map(Object.entries(of));
const announce = (
  applied: Record<string, Record<string, bigint>>,
  ends: Record<string, bigint>,
) => ({
  sites: ["a", "b"],
  applied: new Map(Object.entries(applied).map(([site, of]) => [site, context(of)])),
  ends: context(ends),
});
const sibling = (author: string, dot: bigint, over: Partial<Sibling> = {}): Sibling => ({
  author,
  dot,
  at: 1,
  kind: "remove",
  hash: "",
  expiresAt: 0,
  maxIdleMs: 0,
  offsetMs: 0,
  ...over,
});

describe("a round of dropping tombstones", () => {
  it("counts as applied only what every site that handles the cache applied", () => {
    const announced = announce({ a: { a: 5n, b: 3n }, b: { a: 4n, b: 6n } }, { a: 5n, b: 6n });
    expect(appliedEverywhere(announced)).toEqual(context({ a: 4n, b: 3n }));
    expect(appliedEverywhere(announce({ a: { a: 5n } }, { a: 5n }))).toEqual(context({}));
  });

  it("is over when every site reached every noted end, not before", () => {
    const round = beginRound(
      announce({ a: { a: 5n, b: 3n }, b: { a: 4n, b: 6n } }, { a: 5n, b: 6n }),
    );
    const later = { a: 9n, b: 9n };
    expect(roundIsOver(round, announce({ a: { a: 9n, b: 5n }, b: { a: 9n, b: 9n } }, later))).toBe(
      false,
    );
    expect(roundIsOver(round, announce({ a: { a: 9n, b: 6n }, b: { a: 5n, b: 9n } }, later))).toBe(
      true,
    );
  });

  it("drops what was applied everywhere when it began, and leaves what came later", () => {
    const round = { level: context({ a: 4n, b: 3n }), ends: context({ a: 5n, b: 6n }) };
    const old = sibling("a", 4n);
    expect(dropsInRound(round, [old], old, 0)).toBe(true);
    expect(dropsInRound(round, [old, sibling("b", 4n)], old, 0)).toBe(false);
    expect(dropsInRound(round, [sibling("a", 5n)], sibling("a", 5n), 0)).toBe(false);
  });

  it("keeps a remove that hides a put, for another policy would show it, until that has expired", () => {
    const round = { level: context({ a: 4n, b: 4n }), ends: context({ a: 5n, b: 6n }) };
    const remove = sibling("a", 4n);
    const hidden = sibling("b", 4n, { kind: "put", hash: "h" });
    expect(dropsInRound(round, [remove, hidden], remove, 9_999)).toBe(false);
    const expiring = { ...hidden, expiresAt: 1_000 };
    expect(dropsInRound(round, [remove, expiring], remove, 1_000)).toBe(false);
    expect(dropsInRound(round, [remove, expiring], remove, 1_001)).toBe(true);
  });

  it("drops an expired put only after the margin, in the local clock, and an idle one never", () => {
    const round = { level: context({ a: 4n }), ends: context({ a: 5n }) };
    const expired = sibling("a", 4n, { kind: "put", expiresAt: 1000, offsetMs: 10 });
    expect(dropsInRound(round, [expired], expired, 1010)).toBe(false);
    expect(dropsInRound(round, [expired], expired, 1011)).toBe(true);
    const idle = sibling("a", 4n, { kind: "put", maxIdleMs: 5 });
    expect(dropsInRound(round, [idle], idle, 1e12)).toBe(false);
  });

  it("raises the floor to the noted ends", () => {
    const round = { level: context({}), ends: context({ a: 5n, b: 6n }) };
    expect(floorAfterRound(context({ a: 7n, c: 1n }), round)).toEqual(
      context({ a: 7n, b: 6n, c: 1n }),
    );
  });
});
