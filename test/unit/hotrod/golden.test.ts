import { isDeepStrictEqual } from "node:util";
import { describe, expect, it } from "vitest";
import { FrameDecoder, NOTHING_PENDING } from "../../../topology/hotrod/frame.ts";
import type {
  HotRodRequest,
  HotRodResponse,
  RequestContext,
} from "../../../topology/hotrod/messages.ts";
import type { RequestOp } from "../../../topology/hotrod/opcodes.ts";
import { decodeRequest, encodeRequest } from "../../../topology/hotrod/request.ts";
import { decodeResponse, encodeResponse } from "../../../topology/hotrod/response.ts";
import { keycloakFrames, vectorFrames } from "../../support/golden-frames.ts";
import type { GoldenFrame } from "../../support/golden-frames.ts";
import { OP_TEXT, requestText, responseText } from "../../support/hot-rod-text.ts";

type Message = HotRodRequest | HotRodResponse;

/** A decoder of one side's frames, that knows the requests before them. */
interface Case {
  readonly frame: GoldenFrame;
  readonly decoder: () => FrameDecoder<Message>;
  readonly context: RequestContext | undefined;
}

function cases(frames: readonly GoldenFrame[]): Case[] {
  const requests = new Map<number, RequestContext>();
  return frames.map((frame) => {
    if (frame.from === "client") {
      const decoder = () => new FrameDecoder((r) => decodeRequest(r) as Message);
      decoder().push(frame.bytes, ({ message }) => {
        const { op, header } = message as HotRodRequest;
        requests.set(header.id, { op, ...header });
      });
      return { frame, decoder, context: undefined };
    }
    const known = new Map(requests);
    const unrecorded = contextOfText(frame.text);
    if (unrecorded !== undefined && !known.has(unrecorded.id)) {
      known.set(unrecorded.id, unrecorded);
    }
    const decoder = () =>
      new FrameDecoder((r) => decodeResponse(r, (id) => known.get(id)) as Message);
    const id = Number.parseInt(frame.text, 10);
    return { frame, decoder, context: known.get(id) };
  });
}

/** Of a request that the recording shows as text only, because it was long: what its response says. */
function contextOfText(text: string): (RequestContext & { id: number }) | undefined {
  const [, id, name] = /^(\d+) ([A-Z_]+)_R /.exec(text) ?? [];
  const op = (Object.keys(OP_TEXT) as RequestOp[]).find((known) => OP_TEXT[known] === name);
  return op && { id: Number(id), op, version: 41, intelligence: 1 };
}

function decodeChunks(of: Case, chunks: readonly Buffer[]): Message[] {
  const messages: Message[] = [];
  const decoder = of.decoder();
  let needed = 0;
  let left = of.frame.bytes.length;
  for (const chunk of chunks) {
    needed = decoder.push(chunk, ({ message }) => messages.push(message));
    // A frame that has not ended asks for at least one byte and at most what is left of it.
    left -= chunk.length;
    if (needed > left || (left > 0 && needed === 0)) {
      expect.fail(`asks for ${needed} more bytes of ${left}`);
    }
  }
  expect(needed).toBe(NOTHING_PENDING);
  return messages;
}

/** Every offset of a short frame, about a hundred of a long one. */
function offsets(length: number): number[] {
  const step = Math.max(1, Math.floor(length / 100));
  return Array.from({ length: Math.ceil((length - 1) / step) }, (_, i) => 1 + i * step);
}

const recordings = [
  { name: "the vectors of Infinispan 16.0.7", all: cases(vectorFrames()), count: 117 },
  { name: "the trace of Keycloak 26.7.3", all: cases(keycloakFrames()), count: 327 },
];

describe.each(recordings)("every frame of $name", ({ all, count }) => {
  it("is there", () => {
    expect(all.length).toBe(count);
  });

  it("decodes to what the recording says of it", () => {
    for (const one of all) {
      const [message] = decodeChunks(one, [one.frame.bytes]);
      const text =
        one.frame.from === "client"
          ? requestText(message as HotRodRequest)
          : responseText(message as HotRodResponse);
      expect(text).toBe(one.frame.text);
    }
  });

  it("is encoded to the same bytes again", () => {
    for (const one of all) {
      const [message] = decodeChunks(one, [one.frame.bytes]);
      const bytes =
        one.frame.from === "client"
          ? encodeRequest(message as HotRodRequest)
          : encodeResponse(message as HotRodResponse, one.context);
      expect(bytes.toString("hex")).toBe(one.frame.bytes.toString("hex"));
    }
  });

  it("decodes the same from single bytes", () => {
    for (const one of all) {
      const whole = decodeChunks(one, [one.frame.bytes]);
      const bytes = Array.from(one.frame.bytes, (byte) => Buffer.from([byte]));
      if (!isDeepStrictEqual(decodeChunks(one, bytes), whole)) expect.fail(one.frame.text);
    }
  });

  it("decodes the same from two parts, wherever it is cut", () => {
    for (const one of all) {
      const { bytes } = one.frame;
      const whole = decodeChunks(one, [bytes]);
      for (const at of offsets(bytes.length)) {
        const parts = decodeChunks(one, [bytes.subarray(0, at), bytes.subarray(at)]);
        if (!isDeepStrictEqual(parts, whole)) expect.fail(`cut at ${at}: ${one.frame.text}`);
      }
    }
  });
});

describe("a stream of frames", () => {
  it("is cut into the same raw frames, whatever the size of the chunks", () => {
    const requests = keycloakFrames().filter((frame) => frame.from === "client");
    const stream = Buffer.concat(requests.map((frame) => frame.bytes));
    for (const size of [1, 7, 100, 1000, stream.length]) {
      const raws: string[] = [];
      const decoder = new FrameDecoder(decodeRequest);
      for (let at = 0; at < stream.length; at += size) {
        decoder.push(stream.subarray(at, at + size), ({ raw }) => raws.push(raw.toString("hex")));
      }
      expect(raws).toEqual(requests.map((frame) => frame.bytes.toString("hex")));
    }
  });
});
