import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../topology/errors.ts";
import { parseKey, protostreamKey, protostreamText, showKey } from "../../../topology/key-text.ts";

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

  it("is found in a string of ProtoStream, and in nothing that only looks like one", () => {
    // As Infinispan's REST endpoint and its Java client write the key basket-4.
    expect(protostreamText(parseKey("hex:4a086261736b65742d34"))).toBe("basket-4");
    expect(protostreamKey("basket-4")).toBe(parseKey("hex:4a086261736b65742d34"));
    for (const length of [1, 127, 128, 300, 16_383]) {
      const text = "k".repeat(length);
      expect(protostreamText(protostreamKey(text))).toBe(text);
    }
    for (const bytes of ["", "4a", "4a00", "4a0161ff", "4a0261", "4a0101", "4b0161", "4a808001"])
      expect(protostreamText(parseKey(`hex:${bytes}`))).toBeUndefined();
  });

  it("is refused when it says hex and is none", () => {
    for (const text of ["hex:0", "hex:zz", "hex:00 "])
      expect(() => parseKey(text)).toThrow(
        expect.objectContaining({ code: ErrorCode.UsageInvalid }),
      );
  });
});
