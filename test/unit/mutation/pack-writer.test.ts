import * as fc from "fast-check";
import { expect, it } from "vitest";
import { PackWriter } from "../../../topology/mutation/pack-writer.ts";
import { packPlain, type Plain } from "../../../topology/mutation/plain-msgpack.ts";

const EDGES = [0, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32];
const whole = fc.oneof(
  fc.maxSafeInteger(),
  fc.constantFrom(...EDGES, ...EDGES.map((edge) => -edge - 1)),
);
const leaf: fc.Arbitrary<Plain> = fc.oneof(
  fc.constant(null),
  whole,
  fc.bigInt(0n, 2n ** 64n - 1n),
  fc.uint8Array({ maxLength: 300 }),
);

function write(writer: PackWriter, value: Plain): void {
  if (value === null) writer.nil();
  else if (typeof value === "number") writer.int(value);
  else if (typeof value === "bigint") writer.uint64(value);
  else if (value instanceof Uint8Array) writer.bin(value);
  else if (Array.isArray(value)) {
    writer.array(value.length);
    for (const element of value as readonly Plain[]) write(writer, element);
  } else throw new Error("not for this writer");
}

it("writes the bytes that packPlain makes of the same values, one value after another", () => {
  const writer = new PackWriter();
  fc.assert(
    fc.property(fc.array(fc.oneof(leaf, fc.array(leaf, { maxLength: 20 }))), (values) => {
      writer.start();
      write(writer, values);
      expect(writer.finish()).toEqual(packPlain(values));
    }),
  );
});

it("writes bytes given as text, and grows for what is larger than its scratch", () => {
  const writer = new PackWriter();
  const large = Buffer.alloc(3_000_000, 0xe9);
  writer.start();
  writer.array(3);
  writer.latin1(large.toString("latin1"));
  expect(writer.hex("00ff")).toBe(2);
  writer.bin(large.subarray(0, 70_000));
  const expected = packPlain([large, Buffer.from([0, 255]), large.subarray(0, 70_000)]);
  expect(writer.finish().equals(expected)).toBe(true);
  writer.start();
  writer.nil();
  expect(writer.finish()).toEqual(packPlain(null));
});
