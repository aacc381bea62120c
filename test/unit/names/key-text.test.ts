import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../topology/errors.ts";
import { parseKey, showKey } from "../../../topology/key-text.ts";

const keyOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

describe("a key as text", () => {
  it("is its UTF-8 when every character is printable, else hex", () => {
    const shown = (text: string) => showKey(keyOf(Buffer.from(text)));
    expect(shown("user 1/é€")).toBe("user 1/é€");
    for (const text of ["", "a\nb", "a\u0000", "\u202Eabc", "\uFEFFabc", "hex:00"])
      expect(shown(text)).toBe(`hex:${Buffer.from(text).toString("hex")}`);
    expect(showKey("\xff\x01")).toBe("hex:ff01");
  });

  it("is read back in either form, whatever its bytes", () => {
    const anyKey = fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.string({ unit: "binary" }).map((text) => Buffer.from(text)),
    );
    fc.assert(
      fc.property(anyKey, (bytes) => {
        const key = keyOf(bytes);
        expect(parseKey(showKey(key))).toBe(key);
        expect(parseKey(`hex:${Buffer.from(bytes).toString("hex")}`)).toBe(key);
      }),
    );
  });

  it("is refused when it says hex and is none", () => {
    for (const text of ["hex:0", "hex:zz", "hex:00 "])
      expect(() => parseKey(text)).toThrow(
        expect.objectContaining({ code: ErrorCode.UsageInvalid }),
      );
  });
});
