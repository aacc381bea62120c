import { Writable } from "node:stream";
import { describe, expect, it } from "vitest";
import { JoinedWrites } from "../../../site-agent/front-door/joined-writes.ts";
import { DOOR_JOINED_BYTES_MAX } from "../../../topology/limits.ts";

/** What each system call would send. */
class Calls extends Writable {
  readonly sent: Buffer[][] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.sent.push([chunk]);
    done();
  }

  override _writev(chunks: Array<{ chunk: Buffer }>, done: () => void): void {
    this.sent.push(chunks.map(({ chunk }) => chunk));
    done();
  }
}

const texts = (calls: Calls): string[] => calls.sent.map((call) => Buffer.concat(call).toString());

describe("joined writes", () => {
  it("send neighbours in one buffer uncopied, in one call", () => {
    const [calls, chunk] = [new Calls(), Buffer.from("onetwothree")];
    const joined = new JoinedWrites(calls);
    joined.gather();
    for (const [from, to] of [
      [0, 3],
      [3, 6],
      [6, 11],
    ])
      joined.write(chunk.subarray(from, to));
    expect(calls.sent).toEqual([]);
    joined.flush();
    expect(texts(calls)).toEqual(["onetwothree"]);
    expect(calls.sent[0]?.[0]?.buffer).toBe(chunk.buffer);
    expect(calls.sent[0]?.[0]?.byteOffset).toBe(chunk.byteOffset);
  });

  it("keep the order of what lies apart, and leave out what lies between", () => {
    const [calls, chunk] = [new Calls(), Buffer.from("onetwothree")];
    const joined = new JoinedWrites(calls);
    joined.gather();
    joined.write(chunk.subarray(6, 11));
    joined.write(Buffer.from("!"));
    joined.write(chunk.subarray(0, 3));
    joined.write(chunk.subarray(6, 11));
    joined.flush();
    expect(texts(calls)).toEqual(["three!onethree"]);
  });

  it("send much of it in one call too, uncopied", () => {
    const calls = new Calls();
    const joined = new JoinedWrites(calls);
    const parts = ["a", "b", "c"].map((letter) => Buffer.alloc(DOOR_JOINED_BYTES_MAX / 2, letter));
    joined.gather();
    for (const part of parts) joined.write(part);
    joined.flush();
    expect(calls.sent).toEqual([parts]);
    expect(calls.sent[0]?.[2]).toBe(parts[2]);
  });

  it("send what does not gather before the event loop goes on, together", async () => {
    const calls = new Calls();
    const joined = new JoinedWrites(calls);
    joined.write(Buffer.from("one"));
    joined.write(Buffer.from("two"));
    await new Promise((resolve) => setImmediate(resolve));
    expect(texts(calls)).toEqual(["onetwo"]);
    joined.write(Buffer.from("three"));
    joined.gather();
    joined.write(Buffer.from("four"));
    joined.flush();
    await new Promise((resolve) => setImmediate(resolve));
    expect(texts(calls)).toEqual(["onetwo", "threefour"]);
  });

  it("send nothing to a socket that is closed", () => {
    const calls = new Calls();
    const joined = new JoinedWrites(calls);
    joined.write(Buffer.from("one"));
    calls.destroy();
    joined.flush();
    expect(calls.sent).toEqual([]);
  });
});
