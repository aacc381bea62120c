import { describe, expect, it } from "vitest";
import { protostreamKey } from "../../../topology/key-text.ts";
import { localKeysOf } from "../../../topology/policy/local-keys.ts";
import type { Key } from "../../../topology/version/entry.ts";

const raw = (text: string): Key => Buffer.from(text, "utf8").toString("latin1");

describe("keys that stay at their site", () => {
  it("are told by what their text begins with, as bytes or as a string of ProtoStream's", () => {
    const isLocal = localKeysOf(["task::", "größe:"]);
    for (const key of [raw, protostreamKey]) {
      expect(
        ["task::", "task::clear", `task::${"x".repeat(300)}`, "größe:1"].map(key).every(isLocal),
      ).toBe(true);
      expect(["task:", "a task::", "node:1", "t", "gro", ""].map(key).some(isLocal)).toBe(false);
    }
    // A byte that is text in one and a length in the other.
    expect(isLocal(raw("Jtask::"))).toBe(false);
    expect(["J task::1", "J-task::", "Jé task::1"].map(raw).some(isLocal)).toBe(false);
    // Of a long one the length takes three bytes.
    const long = `task::${"x".repeat(20_000)}`;
    expect(isLocal(`J\u{a6}\u{9c}\u{1}${long}`)).toBe(true);
  });

  it("are none where the file names none", () => {
    expect(localKeysOf([])(raw("task::"))).toBe(false);
  });
});
