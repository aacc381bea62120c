import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { answers } from "../../../deploy/lab/server-process.ts";

/** Longer than a test may take: no answer of these comes from the time that is up. */
const NEVER_MS = 600_000;

const isHello = (bytes: Buffer): boolean => bytes.toString() === "hello";

describe("a server that is asked whether it is ready", () => {
  it("is when its first bytes are those, in however many parts", async () => {
    const socket = new PassThrough();
    const asked = answers(() => socket, isHello, NEVER_MS);
    socket.write("hel");
    setImmediate(() => socket.write("lo"));
    expect(await asked).toBe(true);
  });

  it("is not when it says something else and closes, at once", async () => {
    const socket = new PassThrough();
    const asked = answers(() => socket, isHello, NEVER_MS);
    socket.write("not yet");
    setImmediate(() => socket.destroy());
    expect(await asked).toBe(false);
  });

  it("is not when it breaks, or says nothing in time", async () => {
    const broken = new PassThrough();
    const asked = answers(() => broken, isHello, NEVER_MS);
    broken.destroy(new Error("broken"));
    expect(await asked).toBe(false);
    expect(await answers(() => new PassThrough(), isHello, 5)).toBe(false);
  });
});
