import { describe, expect, it } from "vitest";
import type { Sibling } from "../../../topology/version/entry.ts";
import { shown, valuesNeeded, valuesToKeep } from "../../../topology/version/show.ts";
import { POLICIES, unionMerge } from "./sites-model.ts";

const put = (author: string, at: number, over: Partial<Sibling> = {}): Sibling => ({
  author,
  dot: BigInt(at) << 16n,
  at,
  kind: "put",
  hash: `${author}${at}`,
  expiresAt: 0,
  maxIdleMs: 0,
  offsetMs: 0,
  value: Buffer.from(author),
  ...over,
});
const remove = (author: string, at: number): Sibling => {
  const { value: _, ...rest } = put(author, at);
  return { ...rest, kind: "remove", hash: "" };
};

const [a1, b2, c3] = [put("a", 1), put("b", 2), put("c", 3)];
const [d2, d9] = [remove("d", 2), remove("d", 9)];

describe("what shows", () => {
  it.each([
    ["the latest", "last-writer-wins", [a1, c3, b2, d2], c3],
    ["the earliest", "first-writer-wins", [c3, a1, b2, d2], a1],
    ["the latest put", "prefer-put", [a1, b2, d9], b2],
    ["a remove without puts", "prefer-put", [remove("a", 1), d9], d9],
    ["the latest remove", "prefer-remove", [a1, c3, d2], d2],
    ["a put without removes", "prefer-remove", [a1, c3], c3],
    ["the first listed site", { preferSite: ["x", "b", "a"] }, [a1, b2, c3], b2],
    ["the lowest name if none is listed", { preferSite: ["x"] }, [c3, a1, b2], a1],
    ["a remove that is newer than every put of a merge", { merge: "union" }, [a1, b2, d9], d9],
    ["the only put under a merge, unaltered", { merge: "union" }, [b2, remove("a", 1)], b2],
  ] as const)("is %s", (_, policy, siblings, winner) => {
    expect(shown(siblings, policy, unionMerge)).toBe(winner);
    expect(shown(siblings.toReversed(), policy, unionMerge)).toBe(winner);
  });

  it("is nothing without siblings and the only sibling under every policy", () => {
    for (const policy of POLICIES) {
      expect(shown([], policy, unionMerge)).toBeUndefined();
      expect(shown([d9], policy, unionMerge)).toBe(d9);
    }
  });

  it("falls to dot, then site name, when `at` ties", () => {
    const early = put("z", 5, { dot: 1n });
    const [x, y] = [put("x", 5, { dot: 2n }), put("y", 5, { dot: 2n })];
    expect(shown([early, x], "last-writer-wins")).toBe(x);
    expect(shown([y, early, x], "last-writer-wins")).toBe(y);
    expect(shown([y, early, x], "first-writer-wins")).toBe(early);
  });

  it("is one value made of all puts in order of their sites under a merge", () => {
    const siblings = [c3, d2, put("a", 1, { expiresAt: 70, offsetMs: 4 }), b2];
    expect(shown(siblings, { merge: "union" }, unionMerge)).toMatchObject({
      kind: "merged",
      value: Buffer.from("abc"),
      expiresAt: 70,
      offsetMs: 4,
      of: [{ author: "a" }, { author: "b" }, { author: "c" }],
    });
  });

  it("needs the values of a merge, and a registered merge", () => {
    const { value: _, ...bare } = a1;
    expect(() => shown([bare, b2], { merge: "union" }, unionMerge)).toThrow("value of a's version");
    expect(() => shown([a1, b2], { merge: "none" }, unionMerge)).toThrow(
      '"none" is not registered',
    );
    expect(valuesNeeded([a1, c3, d2], { merge: "union" })).toEqual([a1, c3]);
    expect(valuesNeeded([a1, b2, d9], { merge: "union" })).toEqual([]);
    expect(valuesNeeded([a1, b2], "last-writer-wins")).toEqual([]);
  });
});

describe("the ledger keeps the values", () => {
  it("of puts that do not show, and of none that does", () => {
    expect(valuesToKeep([a1, b2, d2], shown([a1, b2, d2], "prefer-put"))).toEqual([a1]);
    expect(valuesToKeep([a1, d9], shown([a1, d9], "last-writer-wins"))).toEqual([a1]);
    expect(valuesToKeep([a1], shown([a1], "last-writer-wins"))).toEqual([]);
  });

  it("of every put that a merge was made of", () => {
    const merged = shown([a1, c3, d2], { merge: "union" }, unionMerge);
    expect(merged?.kind).toBe("merged");
    expect(valuesToKeep([a1, c3, d2], merged)).toEqual([a1, c3]);
  });
});
