import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeEntries,
  decodeKeys,
  decodeUses,
  encodeEntries,
  encodeKeys,
  encodeUses,
} from "../../../gateway/resync/peer-entries.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { packPlain, type Plain } from "../../../topology/mutation/plain-msgpack.ts";
import type { Sibling } from "../../../topology/version/entry.ts";

const bytes = fc.uint8Array({ maxLength: 40 }).map((raw) => Buffer.from(raw));
const key = bytes.map((raw) => raw.toString("latin1"));
const site = fc.constantFrom("nyc", "lon", "a-b-c", "x");
const dot = fc.bigInt(0n, 2n ** 64n - 1n);
const ms = fc.integer({ min: 0, max: 2 ** 48 });
const context = fc
  .uniqueArray(fc.tuple(site, dot), { selector: ([name]) => name })
  .map((pairs) => new Map(pairs));
const sibling: fc.Arbitrary<Sibling> = fc
  .record({
    author: site,
    dot,
    at: ms,
    kind: fc.constantFrom("put" as const, "remove" as const),
    hash: fc.stringMatching(/^[0-9a-f]{32}$/),
    expiresAt: ms,
    maxIdleMs: ms,
    offsetMs: fc.integer({ min: -100_000, max: 100_000 }),
    value: fc.option(bytes, { nil: undefined }),
  })
  .map(({ value, ...rest }) => (value === undefined ? rest : { ...rest, value }));
const entry = fc.record({
  key,
  versions: fc.option(fc.record({ context, siblings: fc.array(sibling, { maxLength: 3 }) }), {
    nil: undefined,
  }),
  floor: context,
});

const decoders: ReadonlyArray<(payload: Uint8Array) => unknown> = [
  decodeKeys,
  decodeEntries,
  (payload) => decodeUses(payload, 1),
];

/** What a decoder made of a payload: its result, or the code of its error; anything else fails the test. */
function outcome(decode: (payload: Uint8Array) => unknown, payload: Uint8Array): unknown {
  try {
    return decode(payload);
  } catch (error) {
    expect(error).toMatchObject({ code: ErrorCode.PeerMessageInvalid });
    return ErrorCode.PeerMessageInvalid;
  }
}

describe("what peers tell each other of keys", () => {
  it("comes back as it was sent, keys and values byte for byte, dots to the last bit (I8)", () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 4 }), (entries) => {
        expect(decodeEntries(encodeEntries(entries))).toEqual(entries);
      }),
    );
    fc.assert(
      fc.property(fc.string(), fc.array(key), (cache, keys) => {
        expect(decodeKeys(encodeKeys(cache, keys))).toEqual({ cache, keys });
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.record({ usedAt: ms, heldUntil: ms })), (uses) => {
        expect(decodeUses(encodeUses(uses), uses.length)).toEqual(uses);
      }),
    );
  });

  it("is refused by one error, whatever the bytes are: cut short, flipped, or never ours", () => {
    fc.assert(
      fc.property(
        fc.array(entry, { minLength: 1, maxLength: 2 }),
        fc.nat(),
        fc.nat(255),
        (entries, at, byte) => {
          const whole = Buffer.from(encodeEntries(entries));
          for (const decode of decoders) {
            expect(outcome(decode, whole.subarray(0, at % whole.length))).toBe(
              ErrorCode.PeerMessageInvalid,
            );
            const flipped = Buffer.from(whole);
            flipped[at % whole.length] = byte;
            outcome(decode, flipped);
          }
        },
      ),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        for (const decode of decoders) outcome(decode, noise);
      }),
    );
  });

  it("is refused when it is msgpack of another shape", () => {
    const { plain } = fc.letrec<{ plain: Plain }>((tie) => ({
      plain: fc.oneof(
        { depthSize: "small" },
        fc.constantFrom<Plain>(null, true, "text", 1, 1.5, -1, 2n ** 63n),
        fc.uint8Array({ maxLength: 4 }),
        fc.array(tie("plain"), { maxLength: 5 }),
      ),
    }));
    fc.assert(
      fc.property(plain, fc.boolean(), (shape, isVersioned) => {
        const payload = packPlain(isVersioned ? [1, shape] : shape);
        for (const decode of decoders) outcome(decode, payload);
      }),
    );
    for (const decode of decoders) {
      expect(outcome(decode, packPlain([2, []]))).toBe(ErrorCode.PeerMessageInvalid);
      expect(outcome(decode, packPlain([1, 7, 7]))).toBe(ErrorCode.PeerMessageInvalid);
    }
  });

  it("is refused when there are not as many answers as questions", () => {
    const payload = encodeUses([{ usedAt: 1, heldUntil: 2 }]);
    expect(() => decodeUses(payload, 2)).toThrow("not 2 last uses");
  });
});
