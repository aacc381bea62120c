import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { decodeEagerEvent } from "../../../topology/hotrod/eager-event.ts";
import { IMMORTAL } from "../../../topology/hotrod/expiration.ts";
import { requestDecoder, responseDecoder } from "../../../topology/hotrod/frame.ts";
import type { FrameDecoder } from "../../../topology/hotrod/frame.ts";
import type { HotRodRequest } from "../../../topology/hotrod/messages.ts";
import { OPCODES } from "../../../topology/hotrod/opcodes.ts";
import { encodeRequest, requestHeader } from "../../../topology/hotrod/request.ts";
import { HOT_ROD_FRAME_BYTES_MAX, HOT_ROD_LIST_ITEMS_MAX } from "../../../topology/limits.ts";
import { keycloakFrames, vectorFrames } from "../../support/golden-frames.ts";
import { OPS, VERSIONS } from "../../support/hot-rod-arbitrary.ts";

/** The error of pushing those bytes, if any; anything but our own error fails the test. */
function errorOf(decoder: FrameDecoder<unknown>, bytes: Buffer): IsthmusError | undefined {
  try {
    const needed = decoder.push(bytes, () => {});
    expect(needed).toBeLessThanOrEqual(HOT_ROD_FRAME_BYTES_MAX);
    return undefined;
  } catch (error) {
    if (!(error instanceof IsthmusError)) throw error;
    expect(error.code).toBe(ErrorCode.HotRodProtocol);
    return error;
  }
}

const anyBytes = fc.uint8Array({ maxLength: 200 }).map((it_) => Buffer.from(it_));

describe("bytes that no client or server sends", () => {
  it("are refused or waited for as a request, whatever the operation and version", () => {
    const op = fc.constantFrom(...OPS);
    fc.assert(
      fc.property(op, fc.constantFrom(...VERSIONS), anyBytes, (name, version, tail) => {
        const head = Buffer.from([0xa0, 1, version, OPCODES[name][0], 0, 0, 1, 0]);
        errorOf(requestDecoder(), Buffer.concat([head, tail]));
        errorOf(requestDecoder(), tail);
      }),
      { numRuns: 5000 },
    );
  });

  it("are refused or waited for as a response, whatever the operation and version", () => {
    const op = fc.constantFrom(...OPS);
    const flags = fc.record({ status: fc.nat(8), topology: fc.nat(1), intelligence: fc.nat(3) });
    fc.assert(
      fc.property(op, fc.constantFrom(...VERSIONS), flags, anyBytes, (name, version, it_, tail) => {
        const decoder = responseDecoder(() => ({ op: name, version, ...it_ }));
        const head = Buffer.from([0xa1, 1, OPCODES[name][1], it_.status, it_.topology]);
        errorOf(decoder, Buffer.concat([head, tail]));
      }),
      { numRuns: 5000 },
    );
  });

  it("are refused or waited for when they are a recorded frame with some bytes changed", () => {
    const frames = [...vectorFrames(), ...keycloakFrames()];
    const change = fc.tuple(fc.nat(600), fc.nat(255));
    fc.assert(
      fc.property(fc.constantFrom(...frames), fc.array(change, { maxLength: 4 }), (frame, all) => {
        const bytes = Buffer.from(frame.bytes);
        for (const [at, value] of all) bytes[at % bytes.length] = value;
        const context = { op: "put", version: 41, intelligence: 3 } as const;
        if (frame.from === "client") errorOf(requestDecoder(), bytes);
        else {
          errorOf(
            responseDecoder(() => context),
            bytes,
          );
        }
      }),
      { numRuns: 5000 },
    );
  });

  it("are refused as an eager event unless they are one", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        try {
          decodeEagerEvent(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(IsthmusError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a length beyond the limit", () => {
  const length = HOT_ROD_FRAME_BYTES_MAX;
  const vInt = [
    (length & 0x7f) | 0x80,
    ((length >> 7) & 0x7f) | 0x80,
    ((length >> 14) & 0x7f) | 0x80,
    length >> 21,
  ];

  it("is refused as soon as it is announced, with opcode and offset", () => {
    const get = Buffer.from([0xa0, 1, 41, 0x03, 0, 0, 1, 0, 0, 0, 0, ...vInt]);
    const error = errorOf(requestDecoder(), get);
    expect(error?.message).toContain("opcode 0x3");
    expect(error?.message).toContain(`a length of ${length} announced at offset 15`);
  });

  it("is refused for the number of a list's items, too", () => {
    const getAll = Buffer.from([0xa0, 1, 41, 0x2f, 0, 0, 1, 0, 0, 0, 0, ...vInt]);
    const message = errorOf(requestDecoder(), getAll)?.message;
    expect(message).toContain(`at most ${HOT_ROD_LIST_ITEMS_MAX} items, found ${length}`);
    expect(message).toContain("opcode 0x2f");
  });

  it("is refused for items that only their end announces, and for items of items", () => {
    const head = Buffer.from([0xa1, 1, OPCODES.bulkGetKeys[1], 0, 0]);
    const keys = Buffer.alloc(2 * (HOT_ROD_LIST_ITEMS_MAX + 1), Buffer.from([1, 0]));
    const bulk = responseDecoder(() => ({ op: "bulkGetKeys", version: 41, intelligence: 1 }));
    expect(errorOf(bulk, Buffer.concat([head, keys]))?.message).toContain("items");
    // 65,535 entries of 255 values each.
    const next = [0xa1, 1, OPCODES.iterationNext[1], 0, 0, 0, 0xff, 0xff, 0x03, 0xff, 0x01];
    const batch = responseDecoder(() => ({ op: "iterationNext", version: 41, intelligence: 1 }));
    expect(errorOf(batch, Buffer.from(next))?.message).toContain(`found ${65_535 * 255}`);
  });
});

describe("a long frame in small chunks", () => {
  const header = requestHeader({ id: 1, cache: "c" });

  it("costs no memory before its bytes arrive", () => {
    const key = Buffer.alloc(32 * 1024 * 1024);
    const get = encodeRequest({ op: "get", header, key });
    const decoder = requestDecoder();
    const before = process.memoryUsage().arrayBuffers;
    decoder.push(get.subarray(0, 1000), () => {});
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
  });

  it("is decoded in time linear in its length", () => {
    const entryCount = 100_000;
    const entries = Array.from({ length: entryCount }, (_, i) => ({
      key: Buffer.from(`key-${i}`),
      value: Buffer.from("v"),
    }));
    const request: HotRodRequest = { op: "putAll", header, expiration: IMMORTAL, entries };
    const bytes = encodeRequest(request);
    const decoder = requestDecoder();
    const found: unknown[] = [];
    // 60,000 chunks: decoding from the start with each would read 3 thousand million items.
    for (let at = 0; at < bytes.length; at += 20) {
      decoder.push(bytes.subarray(at, at + 20), ({ message }) => found.push(message));
    }
    expect(found).toEqual([request]);
  });

  it("is decoded in time linear in its length, however long its texts are", () => {
    const long = requestHeader({ id: 1, cache: "c".repeat(8 * 1024 * 1024) });
    const keys = Array.from({ length: 3_000 }, () => Buffer.from("k"));
    const request: HotRodRequest = { op: "getAll", header: long, keys };
    const bytes = encodeRequest(request);
    const decoder = requestDecoder();
    const found: unknown[] = [];
    const tail = bytes.length - 5_000;
    decoder.push(bytes.subarray(0, tail), ({ message }) => found.push(message));
    // Reading the name again with each byte would take half a minute.
    for (let at = tail; at < bytes.length; at += 1)
      decoder.push(bytes.subarray(at, at + 1), ({ message }) => found.push(message));
    expect(found).toEqual([request]);
  });
});
