import { describe, expect, it } from "vitest";
import {
  comparedText,
  digestOf,
  lowerOf,
  whoLacks,
  type Side,
} from "../../../topology/version/compare.ts";
import type { Context, Entry, Sibling } from "../../../topology/version/entry.ts";

const sibling = (author: string, dot: bigint, more: Partial<Sibling> = {}): Sibling => ({
  author,
  dot,
  at: Number(dot),
  kind: "put",
  hash: `${author}${dot}`,
  expiresAt: 0,
  maxIdleMs: 0,
  offsetMs: 0,
  ...more,
});

const entry = (siblings: Sibling[], more: Partial<Entry> = {}): Entry => ({
  context: new Map(siblings.map((s) => [s.author, s.dot])),
  siblings,
  presence: "live",
  held: undefined,
  outboxSeq: 0,
  ...more,
});

const by = (level: Context = new Map()) => ({ level, now: 1_000, copies: true });

describe("what two sites compare of an entry", () => {
  it("is the same whatever is a site's own: token, outbox, clock offset, kept bytes, order of the context", () => {
    const [a, b] = [sibling("a", 5n), sibling("b", 6n)];
    const one = entry([a, b]);
    const held = { hash: a.hash, token: 9n, seenBy: 1, expiresAt: 0, maxIdleMs: 0 };
    const value = Buffer.from("kept");
    const other = entry(
      [
        { ...a, offsetMs: 40 },
        { ...b, value },
      ],
      { held, outboxSeq: 7 },
    );
    const turned = { ...other, context: new Map([...other.context].toReversed()) };
    expect(comparedText("k", turned, by())).toBe(comparedText("k", one, by()));
  });

  it("differs by key, version, hash, what was seen, and a copy that is missing", () => {
    const texts = [
      comparedText("k", entry([sibling("a", 5n)]), by()),
      comparedText("l", entry([sibling("a", 5n)]), by()),
      comparedText("k", entry([sibling("a", 6n)]), by()),
      comparedText("k", entry([sibling("a", 5n, { hash: "x" })]), by()),
      comparedText("k", entry([sibling("a", 5n, { kind: "remove" })]), by()),
      comparedText(
        "k",
        entry([sibling("a", 5n)], {
          context: new Map([
            ["a", 5n],
            ["b", 1n],
          ]),
        }),
        by(),
      ),
      comparedText("k", entry([sibling("a", 5n)], { presence: "absent" }), by()),
    ];
    expect(new Set(texts.map((text) => digestOf(text ?? "").toString("hex"))).size).toBe(7);
  });

  it("leaves out what the lower floor covers: dots of the context, and a tombstone whole", () => {
    const seen: Context = new Map([
      ["a", 5n],
      ["b", 3n],
    ]);
    const level: Context = new Map([["b", 3n]]);
    expect(comparedText("k", entry([sibling("a", 5n)], { context: seen }), by(level))).toBe(
      comparedText("k", entry([sibling("a", 5n)]), by(level)),
    );
    const gone = entry([sibling("b", 3n, { kind: "remove" })], { presence: "tombstone" });
    expect(comparedText("k", gone, by(level))).toBeUndefined();
    expect(comparedText("k", gone, by(new Map([["b", 2n]])))).toBeDefined();
    // It has seen more than the floor says.
    const wise = {
      ...gone,
      context: new Map([
        ["a", 9n],
        ["b", 3n],
      ]),
    };
    expect(comparedText("k", wise, by(level))).toBeDefined();
  });

  it("misses no copy that expired, went idle, or is not to be there", () => {
    const text = (more: Partial<Sibling>, options = by()) =>
      comparedText("k", entry([sibling("a", 5n, more)], { presence: "absent" }), options);
    const here = comparedText("k", entry([sibling("a", 5n)]), by());
    expect(text({})).not.toBe(here);
    expect(text({ expiresAt: 900, offsetMs: 100 })).toBe(here);
    expect(text({ maxIdleMs: 50 })).toBe(here);
    expect(text({}, { ...by(), copies: false })).toBe(here);
  });

  it("takes of two floors the lower dot of each site", () => {
    const floor = lowerOf(
      new Map([
        ["a", 5n],
        ["b", 3n],
      ]),
      new Map([
        ["a", 4n],
        ["c", 9n],
      ]),
    );
    expect([...floor]).toEqual([["a", 4n]]);
  });
});

describe("who lacks something", () => {
  const side = (found: Entry | undefined, floor: Context = new Map()): Side => ({
    versions: found,
    floor,
    isLive: found?.presence === "live",
    lacksCopy: found?.presence === "absent",
  });
  const lacks = (mine: Side, theirs: Side, level: Context = new Map()) => {
    const { mine: one, theirs: other } = whoLacks(mine, theirs, level);
    return `${one ? "mine" : ""}${other ? "theirs" : ""}`;
  };
  const old = entry([sibling("a", 5n)]);
  const newer = entry([sibling("a", 6n)]);
  const other = entry([sibling("b", 6n)]);

  it("is the side that is behind, or both when neither saw the other's", () => {
    expect(lacks(side(old), side(newer))).toBe("mine");
    expect(lacks(side(newer), side(old))).toBe("theirs");
    expect(lacks(side(old), side(other))).toBe("minetheirs");
    expect(lacks(side(undefined), side(old))).toBe("mine");
    expect(lacks(side(old), side(old))).toBe("");
  });

  it("is the side without a copy, when the other has one", () => {
    const absent = { ...old, presence: "absent" as const };
    expect(lacks(side(absent), side(old))).toBe("mine");
    expect(lacks(side(absent), side(absent))).toBe("");
  });

  it("is the side that holds what the other's floor covers, and not the one that dropped it", () => {
    const floor: Context = new Map([["a", 9n]]);
    expect(lacks(side(old), side(undefined, floor))).toBe("mine");
    expect(lacks(side(undefined, floor), side(old))).toBe("theirs");
    // Once it has taken that away there is nothing left to say.
    const gone = entry([], { context: floor, presence: "tombstone" });
    expect(lacks(side(gone), side(undefined, floor))).toBe("");
  });
});
