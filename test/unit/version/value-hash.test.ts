import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { valueHash } from "../../../topology/version/value-hash.ts";

it("a value's hash is 128 bits of SHA-256 over the bytes, mixed with that of the media type", () => {
  const value = Buffer.from([1, 2, 3]);
  const sha = (data: Buffer | string) => createHash("sha256").update(data).digest().subarray(0, 16);
  const type = sha("application/x-protostream");
  const expected = sha(value).map((byte, i) => byte ^ (i < 12 ? 0 : (type[i - 12] ?? 0)));
  expect(valueHash("application/x-protostream", value)).toBe(Buffer.from(expected).toString("hex"));
});

it("equal bytes of two media types have two hashes, views hash as their bytes", () => {
  const value = Buffer.from("xxabcyy").subarray(2, 5);
  expect(valueHash("text/plain", value)).toBe(valueHash("text/plain", Buffer.from("abc")));
  expect(valueHash("text/plain", value)).not.toBe(valueHash("application/json", value));
});
