import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EMPTY_CONTEXT, equalContexts } from "../../../topology/version/context.ts";
import type { Context, Sibling, Versions } from "../../../topology/version/entry.ts";
import {
  contradicts,
  joinVersion,
  localWrite,
  mergeVersions,
} from "../../../topology/version/join.ts";

/** The one version that an author made with a dot: every site that holds it holds the same. */
const version = (author: string, dot: bigint): Sibling => ({
  author,
  dot,
  at: Number((dot * 7n) % 5n),
  kind: (dot + BigInt(author.charCodeAt(0))) % 2n === 0n ? "put" : "remove",
  hash: `${author}${dot}`,
  expiresAt: 0,
  maxIdleMs: 0,
  offsetMs: 0,
});

/** Versions as sites can hold them: an author's sibling is its latest dot that was seen. */
const versions: fc.Arbitrary<Versions> = fc
  .array(fc.record({ dot: fc.bigInt(0n, 4n), holds: fc.boolean() }), {
    minLength: 4,
    maxLength: 4,
  })
  .map((bySite) => {
    const named = bySite.map((s, i) => ({ ...s, site: "abcd".charAt(i) }));
    return {
      context: new Map(named.map(({ site, dot }) => [site, dot])),
      siblings: named.filter((s) => s.holds && s.dot > 0n).map((s) => version(s.site, s.dot)),
    };
  });

const canonical = (v: Versions | undefined) =>
  v && {
    context: new Map([...v.context].filter(([, dot]) => dot > 0n)),
    siblings: v.siblings,
  };

const merge = (a: Versions | undefined, b: Versions | undefined) =>
  mergeVersions(a, EMPTY_CONTEXT, b, EMPTY_CONTEXT).versions;

describe("merging two entries", () => {
  it("is commutative", () => {
    fc.assert(
      fc.property(versions, versions, (a, b) => {
        expect(canonical(merge(a, b))).toEqual(canonical(merge(b, a)));
      }),
    );
  });

  it("is associative where nothing vanishes on the way", () => {
    fc.assert(
      fc.property(versions, versions, versions, (a, b, c) => {
        const [ab, bc] = [merge(a, b), merge(b, c)];
        fc.pre(ab !== undefined && bc !== undefined);
        expect(canonical(merge(ab, c))).toEqual(canonical(merge(a, bc)));
      }),
    );
  });

  it("is idempotent", () => {
    fc.assert(
      fc.property(versions, (a) => {
        fc.pre(a.siblings.length > 0);
        expect(canonical(merge(a, a))).toEqual(canonical(a));
      }),
    );
  });

  it("takes a dropped side's floor as what it had seen, and joins floors when nothing is left", () => {
    const entry = localWrite(undefined, EMPTY_CONTEXT, write("a", 5n));
    const behind: Context = new Map([["a", 4n]]);
    expect(mergeVersions(entry, EMPTY_CONTEXT, undefined, behind).versions?.siblings).toHaveLength(
      1,
    );
    const level: Context = new Map([["a", 5n]]);
    const gone = mergeVersions(entry, new Map([["b", 2n]]), undefined, level);
    expect(gone.versions).toBeUndefined();
    expect(gone.floor).toEqual(
      new Map([
        ["a", 5n],
        ["b", 2n],
      ]),
    );
  });

  it("keeps the local offset, and a value that only the other side kept", () => {
    const mine = { ...version("a", 2n), offsetMs: 3 };
    const theirs = { ...version("a", 2n), offsetMs: 9, value: Buffer.from("v") };
    const context = new Map([["a", 2n]]);
    const both = merge({ context, siblings: [mine] }, { context, siblings: [theirs] });
    expect(both?.siblings).toEqual([{ ...mine, value: Buffer.from("v") }]);
  });
});

const write = (site: string, dot: bigint) => ({
  site,
  dot,
  at: 1,
  kind: "put" as const,
  hash: "h",
  expiresAt: 0,
  maxIdleMs: 0,
});

describe("a version", () => {
  it("written here takes the whole context and replaces all siblings", () => {
    fc.assert(
      fc.property(versions, (entry) => {
        const { context, siblings } = localWrite(entry, EMPTY_CONTEXT, write("a", 9n));
        expect(siblings.map((s) => [s.author, s.dot])).toEqual([["a", 9n]]);
        expect(equalContexts(context, new Map(entry.context).set("a", 9n))).toBe(true);
      }),
    );
  });

  it("written here without an entry has seen the floor", () => {
    const floor = new Map([["b", 7n]]);
    expect(localWrite(undefined, floor, write("a", 9n)).context).toEqual(
      new Map([
        ["b", 7n],
        ["a", 9n],
      ]),
    );
  });

  it("is never written with a dot that was seen", () => {
    const entry = localWrite(undefined, EMPTY_CONTEXT, write("a", 9n));
    expect(() => localWrite(entry, EMPTY_CONTEXT, write("a", 9n))).toThrow("local dot 9");
  });

  it("that arrives twice changes nothing the second time", () => {
    fc.assert(
      fc.property(versions, versions, (entry, writer) => {
        const arrival = { ...version("e", 3n), context: writer.context };
        const once = joinVersion(entry, EMPTY_CONTEXT, arrival);
        expect(once.changed).toBe(true);
        const twice = joinVersion(once.versions, EMPTY_CONTEXT, arrival);
        expect(twice).toEqual({ versions: once.versions, changed: false });
      }),
    );
  });

  it("that a floor covers is dropped", () => {
    const arrival = { ...version("a", 3n), context: EMPTY_CONTEXT };
    expect(joinVersion(undefined, new Map([["a", 3n]]), arrival)).toEqual({
      versions: undefined,
      changed: false,
    });
  });

  it("supersedes its author's earlier one also when its context omits it", () => {
    const entry = localWrite(undefined, EMPTY_CONTEXT, write("a", 2n));
    const { versions: joined } = joinVersion(entry, EMPTY_CONTEXT, {
      ...version("a", 3n),
      context: EMPTY_CONTEXT,
    });
    expect(joined?.siblings.map((s) => s.dot)).toEqual([3n]);
  });

  it("with a known dot and another hash is told apart", () => {
    const entry = localWrite(undefined, EMPTY_CONTEXT, write("a", 2n));
    expect(contradicts(entry, { ...version("a", 2n), hash: "other" })).toBe(true);
    expect(contradicts(entry, { ...version("a", 2n), hash: "h" })).toBe(false);
    expect(contradicts(entry, { ...version("b", 2n), hash: "other" })).toBe(false);
  });
});
