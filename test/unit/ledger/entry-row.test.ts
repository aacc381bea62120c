import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readEntry, type SiteIds, writeEntry } from "../../../site-agent/ledger/entry-row.ts";
import { RowReader, RowWriter } from "../../../site-agent/ledger/row-bytes.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import type { Entry, Sibling } from "../../../topology/version/entry.ts";

const SITES = ["nyc", "lon", "tyo", "syd", "fra"];
const sites: SiteIds = {
  idOf: (site) => SITES.indexOf(site),
  siteOf: (id) => SITES[id],
};

function encode(entry: Entry): Buffer {
  const row = new RowWriter().start();
  writeEntry(row, entry, sites);
  return row.finish();
}

function decode(bytes: Uint8Array): Entry {
  const row = new RowReader(bytes);
  const entry = readEntry(row, sites);
  row.done();
  return entry;
}

const site = fc.constantFrom(...SITES);
const dot = fc.bigInt(0n, 2n ** 64n - 1n);
const ms = fc.integer({ min: 0, max: 2 ** 48 });
const hash = fc.stringMatching(/^[0-9a-f]{32}$/);
const expiry = { expiresAt: fc.oneof(fc.constant(0), ms), maxIdleMs: fc.oneof(fc.constant(0), ms) };

const sibling: fc.Arbitrary<Sibling> = fc.oneof(
  fc.record(
    {
      author: site,
      dot,
      at: ms,
      kind: fc.constant("put" as const),
      hash,
      ...expiry,
      offsetMs: fc.integer({ min: -1e9, max: 1e9 }),
      value: fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes)),
    },
    {
      requiredKeys: ["author", "dot", "at", "kind", "hash", "expiresAt", "maxIdleMs", "offsetMs"],
    },
  ),
  fc.record({
    author: site,
    dot,
    at: ms,
    kind: fc.constant("remove" as const),
    hash: fc.constant(""),
    expiresAt: fc.constant(0),
    maxIdleMs: fc.constant(0),
    offsetMs: fc.constant(0),
  }),
);

const entry: fc.Arbitrary<Entry> = fc
  .record({
    presence: fc.constantFrom("live" as const, "tombstone" as const, "absent" as const),
    context: fc.array(fc.tuple(site, dot)).map((pairs) => new Map(pairs)),
    siblings: fc.array(sibling, { maxLength: 5 }),
    held: fc.option(
      fc.record({
        hash,
        token: fc.option(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), { nil: undefined }),
        seenBy: fc.nat(),
        ...expiry,
      }),
      { nil: undefined },
    ),
    outboxSeq: fc.maxSafeNat(),
    seenDots: fc.boolean(),
  })
  .map(({ seenDots, ...one }) => {
    // As in real entries, a version's dot is mostly the context's; and what is held mostly has its hash.
    if (!seenDots) return one;
    const context = new Map([
      ...one.context,
      ...one.siblings.map((s) => [s.author, s.dot] as const),
    ]);
    const first = one.siblings[0];
    const held = one.held && first?.kind === "put" ? { ...one.held, hash: first.hash } : one.held;
    return { ...one, context, held };
  });

const common: Entry = {
  presence: "live",
  context: new Map([["nyc", makeDot(1_790_000_000_000, 3)]]),
  siblings: [
    {
      author: "nyc",
      dot: makeDot(1_790_000_000_000, 3),
      at: 1_790_000_000_000,
      kind: "put",
      hash: "00112233445566778899aabbccddeeff",
      expiresAt: 1_790_000_000_000 + 36_000_000,
      maxIdleMs: 1_800_000,
      offsetMs: -12,
    },
  ],
  held: {
    hash: "00112233445566778899aabbccddeeff",
    token: 0x1234567890abcdefn,
    seenBy: 4,
    expiresAt: 1_790_000_000_000 + 36_000_000,
    maxIdleMs: 1_800_000,
  },
  outboxSeq: 1_000_000,
};

describe("an entry's row", () => {
  it("comes back as it went", () => {
    fc.assert(
      fc.property(entry, (one) => {
        expect(decode(encode(one))).toEqual(one);
      }),
      { numRuns: 500 },
    );
  });

  it("of one version takes at most 90 bytes", () => {
    expect(decode(encode(common))).toEqual(common);
    expect(encode(common).length).toBeLessThanOrEqual(90);
  });

  it("has the bytes that the ledger's format says", () => {
    const seen = "01a0c4506c000003";
    const life = "80c4aa22"; // 36,000,000 ms, zigzag
    const idle = "c0ee6d"; // 1,800,000 ms
    const expiresAt = "80fad6b38c34";
    expect(encode(common).toString("hex")).toBe(
      [
        "0c c0843d", // live, held with a token; outbox sequence 1,000,000
        `01 00 ${seen}`, // context: nyc's dot
        `01 00 3f 00112233445566778899aabbccddeeff ${life} ${idle} 17`, // one put of nyc, offset -12
        `01 1234567890abcdef 04 ${expiresAt} ${idle}`, // held: the hash of sibling 0, token, listener, expiry
      ]
        .join("")
        .replaceAll(" ", ""),
    );
  });

  it("cut short, too long or altered is never read as something it cannot be", () => {
    const bytes = encode(common);
    const codeOf = (altered: Uint8Array) => {
      try {
        decode(altered);
        return "read";
      } catch (error) {
        if (error instanceof IsthmusError) return error.code;
        throw error;
      }
    };
    for (let end = 0; end < bytes.length; end++) {
      expect(codeOf(bytes.subarray(0, end))).toBe(ErrorCode.LedgerCorrupt);
    }
    expect(codeOf(Buffer.concat([bytes, Buffer.from([0])]))).toBe(ErrorCode.LedgerCorrupt);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (random) => {
        expect(["read", ErrorCode.LedgerCorrupt]).toContain(codeOf(random));
      }),
      { numRuns: 2000 },
    );
  });
});
