import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeEagerEvent, encodeEagerEvent } from "../../../topology/hotrod/eager-event.ts";
import { requestDecoder, responseDecoder } from "../../../topology/hotrod/frame.ts";
import type { FrameDecoder } from "../../../topology/hotrod/frame.ts";
import type { RequestContext } from "../../../topology/hotrod/messages.ts";
import { encodeRequest } from "../../../topology/hotrod/request.ts";
import { encodeResponse } from "../../../topology/hotrod/response.ts";
import {
  OPS,
  requestArbitrary,
  responseArbitrary,
  unaskedArbitrary,
  VERSIONS,
} from "../../support/hot-rod-arbitrary.ts";

/** Decodes one frame, in chunks of `size` bytes. */
function decode<M>(decoder: FrameDecoder<M>, bytes: Buffer, size: number): M[] {
  const messages: M[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    decoder.push(bytes.subarray(at, at + size), ({ message }) => messages.push(message));
  }
  return messages;
}

const chunkSize = fc.constantFrom(1, 3, 50, 100_000);

describe.each(OPS)("%s", (op) => {
  it.each(VERSIONS)("requests of protocol %i are decoded to what was encoded", (version) => {
    fc.assert(
      fc.property(requestArbitrary(op, version), chunkSize, (request, size) => {
        expect(decode(requestDecoder(), encodeRequest(request), size)).toEqual([request]);
      }),
      { numRuns: 4 },
    );
  });

  it.each(VERSIONS)("responses of protocol %i are decoded to what was encoded", (version) => {
    const intelligence = fc.constantFrom(1, 2, 3);
    const any = intelligence.chain((level) =>
      fc.tuple(responseArbitrary(op, version, level), fc.constant(level)),
    );
    fc.assert(
      fc.property(any, chunkSize, ([response, level], size) => {
        const context: RequestContext = { op, version, intelligence: level };
        const decoder = responseDecoder((id) => (id === response.header.id ? context : undefined));
        expect(decode(decoder, encodeResponse(response, context), size)).toEqual([response]);
      }),
      { numRuns: 4 },
    );
  });
});

describe("what a server sends unasked", () => {
  it("is decoded to what was encoded, without knowing of any request", () => {
    fc.assert(
      fc.property(unaskedArbitrary, chunkSize, (message, size) => {
        const decoder = responseDecoder(() => undefined);
        expect(decode(decoder, encodeResponse(message), size)).toEqual([message]);
      }),
      { numRuns: 200 },
    );
  });

  it("carries key, value and token in an eager event, or the key alone", () => {
    const bytes = fc.uint8Array({ maxLength: 300 }).map((it_) => Buffer.from(it_));
    fc.assert(
      fc.property(bytes, fc.option(bytes, { nil: undefined }), (key, value) => {
        const event = { key, value, token: value && 0x1122334455667788n };
        expect(decodeEagerEvent(encodeEagerEvent(event))).toEqual(event);
      }),
    );
  });
});
