import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import {
  type BatchHeader,
  decodeBatch,
  decodeRecord,
  encodeBatch,
  encodeTermBegin,
} from "../../../topology/mutation/batch.ts";
import {
  packMutation,
  SiteTable,
  unpackMutation,
} from "../../../topology/mutation/mutation-codec.ts";
import type { Mutation } from "../../../topology/mutation/mutation.ts";
import { unpackPlain } from "../../../topology/mutation/plain-msgpack.ts";
import { WIRE_SCHEMA, WIRE_VERSION } from "../../../topology/mutation/wire-version.ts";
import { makeDot } from "../../../topology/version/dot.ts";

const header: BatchHeader = {
  origin: "nyc",
  cache: "sessions",
  epoch: 1,
  term: 300,
  incarnation: "i1",
  counter: 70_000,
  policyHash: "ph",
  mode: "sync",
  offsets: new Map([["lon", -3]]),
  mediaType: "text/plain",
  held: true,
};

const put: Mutation = {
  key: "k\xff",
  kind: "put",
  dot: makeDot(0x0102030405, 6),
  context: new Map([
    ["nyc", 1n],
    ["lon", 2n],
  ]),
  at: 0x0102030405,
  hash: "000102030405060708090a0b0c0d0e0f",
  expiresAt: 0x0102030405 + 1000,
  maxIdleMs: 5,
  value: Buffer.from("v"),
};

const remove: Mutation = {
  key: "r",
  kind: "remove",
  dot: 0xffff_ffff_ffff_ffffn,
  context: new Map(),
  at: 2 ** 48 - 1 - 7,
  hash: "",
  expiresAt: 0,
  maxIdleMs: 0,
};

// Written by hand from the msgpack specification: the encoder and the decoder do not vouch for each other.
const GOLDEN = hex(
  "95 01 00", // five elements: version 1, kind 0
  "9b a36e7963 a873657373696f6e73 01 cd012c a26931 ce00011170 a27068 a473796e63", // header to mode
  "92 00 fd aa746578742f706c61696e c3", // offsets of site 0, media type, held
  "92 a36c6f6e a36e7963", // sites: lon, nyc
  "92", // two mutations
  "98 c4026bff d30001020304050006", // the put: key, dot
  "94 01 d30000000000000001 00 d30000000000000002", // its context: nyc 1, lon 2
  "00 c410000102030405060708090a0b0c0d0e0f cd03e8 05 c40176", // at, hash, expiry, idle, value
  "94 c40172 cfffffffffffffffff 90 f9", // the remove: key, dot, context, at
);

const TERM_BEGIN = hex("93 01 01 94 a36e7963 02 09 a26931");

function hex(...parts: string[]): Buffer {
  return Buffer.from(parts.join("").replaceAll(" ", ""), "hex");
}

const codeOf = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    if (error instanceof IsthmusError) return error.code;
    throw error;
  }
  return "none";
};

const dot = fc.bigInt(0n, 2n ** 64n - 1n);
const site = fc.stringMatching(/^[a-z0-9-]{1,16}$/);
const ms = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const common = {
  key: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
  dot,
  context: fc.array(fc.tuple(site, dot), { maxLength: 4 }).map((pairs) => new Map(pairs)),
  at: ms,
};
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({
    ...common,
    kind: fc.constant("put" as const),
    hash: fc.stringMatching(/^[0-9a-f]{32}$/),
    expiresAt: ms,
    maxIdleMs: ms,
    value: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  }),
  fc.record({
    ...common,
    kind: fc.constant("remove" as const),
    hash: fc.constant(""),
    expiresAt: fc.constant(0),
    maxIdleMs: fc.constant(0),
  }),
);

describe("a batch", () => {
  it("has the bytes that the wire version says, and is read back from them", () => {
    expect(encodeBatch(header, [put, remove])).toEqual(GOLDEN);
    expect(decodeBatch(GOLDEN)).toEqual({ kind: "batch", header, mutations: [put, remove] });
  });

  it("comes back as it went, whatever it holds", () => {
    fc.assert(
      fc.property(fc.array(mutation, { maxLength: 5 }), (mutations) => {
        const decoded = decodeBatch(encodeBatch(header, mutations));
        expect(decoded).toEqual({ kind: "batch", header, mutations });
      }),
    );
  });

  it("carries a put without its value, as invalidation does", () => {
    const { value: _, ...bare } = put;
    expect(decodeBatch(encodeBatch(header, [bare])).mutations).toEqual([bare]);
  });

  it("of another wire version is refused with both versions named", () => {
    const bytes = Buffer.from(GOLDEN);
    bytes[1] = 7;
    expect(codeOf(() => decodeRecord(bytes))).toBe(ErrorCode.WireVersionUnknown);
    expect(() => decodeRecord(bytes)).toThrow(/version 7, .* version 1/);
    // Also when nothing but the first two bytes is as it is today.
    expect(codeOf(() => decodeRecord(hex("9f 02 c1")))).toBe(ErrorCode.WireVersionUnknown);
  });

  it("cut short at any byte, or with a byte too many, is malformed", () => {
    for (let end = 0; end < GOLDEN.length; end++) {
      expect(codeOf(() => decodeRecord(GOLDEN.subarray(0, end)))).toBe(ErrorCode.WireMalformed);
    }
    const longer = Buffer.concat([GOLDEN, Buffer.from([0])]);
    expect(codeOf(() => decodeRecord(longer))).toBe(ErrorCode.WireMalformed);
  });

  it.each([
    ["a map where an array belongs", "95 01 00 80 90 90"],
    ["an extension", "95 01 00 d40000 90 90"],
    ["an array longer than the record", "95 01 00 dd7fffffff 90 90"],
    ["a bin longer than the record", "95 01 00 90 90 91 91 c6ffffffff"],
    ["arrays nested without end", `95 01 00 ${"91".repeat(100_000)}`],
    ["an unknown kind", "93 01 05 90"],
    ["a header that is too short", "95 01 00 91 a1 61 90 90"],
    ["a site outside the table", GOLDEN.toString("hex").replace("9200fd", "9204fd")],
    ["an unknown mode", GOLDEN.toString("hex").replace("a473796e63", "a46e657665")],
    ["a hash of another length", GOLDEN.toString("hex").replace("c41000", "c40f")],
  ])("with %s is malformed", (_, bytes) => {
    expect(codeOf(() => decodeRecord(hex(bytes)))).toBe(ErrorCode.WireMalformed);
  });

  it("of random or altered bytes never fails otherwise than by its two codes", () => {
    const known = [ErrorCode.WireMalformed, ErrorCode.WireVersionUnknown, "none"];
    const altered = fc
      .array(fc.tuple(fc.nat(GOLDEN.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
      .map((changes) => {
        const bytes = Buffer.from(GOLDEN);
        for (const [at, byte] of changes) bytes[at] = byte;
        return bytes;
      });
    const prefixed = fc.uint8Array().map((bytes) => Buffer.concat([hex("95 01 00"), bytes]));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array(), prefixed, altered), (bytes) => {
        expect(known).toContain(codeOf(() => decodeRecord(bytes)));
      }),
      { numRuns: 5000 },
    );
  });

  it("claiming a huge array allocates nothing for it", () => {
    const before = process.memoryUsage().heapUsed;
    // 30 million elements claimed, none there.
    expect(unpackPlain(hex("dd01c9c380"))).toBeUndefined();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(20_000_000);
  });
});

describe("a term begin", () => {
  const record = { origin: "nyc", epoch: 2, term: 9, incarnation: "i1" };

  it("has the bytes that the wire version says, and is no batch", () => {
    expect(encodeTermBegin(record)).toEqual(TERM_BEGIN);
    expect(decodeRecord(TERM_BEGIN)).toEqual({ kind: "termBegin", ...record });
    expect(codeOf(() => decodeBatch(TERM_BEGIN))).toBe(ErrorCode.WireMalformed);
  });
});

describe("a mutation alone", () => {
  it("comes back as it went", () => {
    fc.assert(
      fc.property(mutation, (one) => {
        const sites = new SiteTable();
        expect(unpackMutation(packMutation(one, sites), sites.names)).toEqual(one);
      }),
    );
  });

  it("cut short is malformed", () => {
    const sites = new SiteTable();
    const bytes = packMutation(put, sites).subarray(0, -1);
    expect(codeOf(() => unpackMutation(bytes, sites.names))).toBe(ErrorCode.WireMalformed);
  });
});

it("the schema changes only together with the wire version: see the procedure above WIRE_VERSION", () => {
  const hash = createHash("sha256").update(JSON.stringify(WIRE_SCHEMA)).digest("hex").slice(0, 16);
  expect([WIRE_VERSION, hash]).toEqual([1, "ae557f1817a6c4bf"]);
});
