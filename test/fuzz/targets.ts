import { isDeepStrictEqual } from "node:util";
import { renderDiagnostic } from "../../topology/config/diagnostic.ts";
import { parseConfig } from "../../topology/config/parse-config.ts";
import { IsthmusError } from "../../topology/errors.ts";
import { decodeEagerEvent, encodeEagerEvent } from "../../topology/hotrod/eager-event.ts";
import { requestDecoder, responseDecoder, type FrameDecoder } from "../../topology/hotrod/frame.ts";
import type { HotRodRequest, HotRodResponse } from "../../topology/hotrod/messages.ts";
import { OPCODES, type RequestOp } from "../../topology/hotrod/opcodes.ts";
import { encodeRequest, type UnknownRequest } from "../../topology/hotrod/request.ts";
import { encodeResponse } from "../../topology/hotrod/response.ts";
import { decodeRecord, encodeBatch, encodeTermBegin } from "../../topology/mutation/batch.ts";
import { isBeatContent } from "../../gateway/link/beat-content.ts";
import { decodeBeat } from "../../gateway/link/heartbeat.ts";
import {
  decodeEntries,
  decodeKeys,
  decodeUses,
  encodeEntries,
} from "../../gateway/resync/peer-entries.ts";
import * as resync from "../../gateway/resync/resync-messages.ts";
import { decodeApplied } from "../../gateway/status/applied-exchange.ts";

/** What is fuzzed: bytes in, and whatever is wrong is thrown. */
export interface FuzzTarget {
  readonly name: string;
  /** The compiled files whose coverage counts. */
  readonly covers: RegExp;
  /**
   * Bytes of a mutated input before what is decoded: they choose how that is done.
   *
   * @throws anything but a refusal of the input
   */
  run(input: Buffer): void;
}

/** What was decoded is not what its encoder's bytes decode to. */
class NotItself extends Error {}

const OPS = Object.keys(OPCODES) as RequestOp[];
const VERSIONS = [20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 40, 41] as const;

/** Bytes before a frame: kind, operation, version and intelligence of its request, and where the frame is cut in two. */
export const CODEC_HEAD_BYTES = 4;
export const CodecKind = { Request: 0, Response: 1, EagerEvent: 2 } as const;

/** The Hot Rod codec, both directions, in one or two chunks, and back. */
const codec: FuzzTarget = {
  name: "codec",
  covers: /\/topology\/hotrod\//,
  run(input) {
    if (input.length < CODEC_HEAD_BYTES) return;
    const [kind = 0, op = 0, layout = 0, cut = 0] = input;
    const frame = input.subarray(CODEC_HEAD_BYTES);
    if (kind % 3 === CodecKind.EagerEvent) {
      orRefused(() => {
        const event = decodeEagerEvent(frame);
        expectSame(event, decodeEagerEvent(encodeEagerEvent(event)));
      });
      return;
    }
    const at = Math.floor((cut / 256) * frame.length);
    if (kind % 3 === CodecKind.Request) {
      pushed(requestDecoder(), frame, at, (message) => {
        if (isKnown(message)) again(requestDecoder(), encodeRequest(message), message);
      });
      return;
    }
    const context = {
      op: OPS[op % OPS.length] ?? "ping",
      version: VERSIONS[(layout >> 2) % VERSIONS.length] ?? 41,
      intelligence: layout & 3,
    };
    pushed(
      responseDecoder(() => context),
      frame,
      at,
      (message) => {
        const bytes = encodeResponse(message, context);
        again<HotRodResponse>(
          responseDecoder(() => context),
          bytes,
          message,
        );
      },
    );
  },
};

function isKnown(message: HotRodRequest | UnknownRequest): message is HotRodRequest {
  return Object.hasOwn(OPCODES, message.op);
}

/** Pushes the bytes in two chunks; after a refusal there is nothing more to push. */
function pushed<M>(
  decoder: FrameDecoder<M>,
  bytes: Buffer,
  at: number,
  onMessage: (message: M) => void,
): void {
  const messages: M[] = [];
  orRefused(() => {
    decoder.push(bytes.subarray(0, at), ({ message }) => messages.push(message));
    decoder.push(bytes.subarray(at), ({ message }) => messages.push(message));
  });
  for (const message of messages) onMessage(message);
}

/** What was decoded is encoded and decoded once more: the same, or the encoder refuses it. */
function again<M>(decoder: FrameDecoder<M>, bytes: Buffer, message: M): void {
  let found: M | undefined;
  decoder.push(bytes, (frame) => {
    found = frame.message;
  });
  expectSame(message, found);
}

/** Bytes before a message between sites: its kind, an index into {@link MESSAGES}. */
export const WIRE_HEAD_BYTES = 1;
export const WireKind = {
  Record: 0,
  Beat: 1,
  Applied: 2,
  Entries: 3,
  Keys: 4,
  Uses: 5,
  DigestQuestion: 6,
  DigestAnswer: 7,
  KeysQuestion: 8,
  KeysAnswer: 9,
  ExchangeQuestion: 10,
  ExchangeAnswer: 11,
  PushQuestion: 12,
  PushAnswer: 13,
} as const;

/** Decodes, and where it can be encoded from what was decoded, decodes that once more. */
const backAndForth =
  <T>(decode: (bytes: Uint8Array) => T, encode?: (message: T) => Uint8Array) =>
  (bytes: Uint8Array): void => {
    const message = decode(bytes);
    if (encode !== undefined) expectSame(message, decode(encode(message)));
  };

const MESSAGES: readonly ((bytes: Buffer) => void)[] = [
  recordAndBack,
  useBeat,
  backAndForth(decodeApplied),
  backAndForth(decodeEntries, encodeEntries),
  backAndForth(decodeKeys),
  backAndForth((bytes) => decodeUses(bytes, 2)),
  backAndForth(resync.decodeDigestQuestion, resync.encodeDigestQuestion),
  backAndForth(resync.decodeDigestAnswer, resync.encodeDigestAnswer),
  backAndForth(resync.decodeKeysQuestion, resync.encodeKeysQuestion),
  backAndForth(resync.decodeKeysAnswer, resync.encodeKeysAnswer),
  // Its values are not sent back.
  backAndForth(resync.decodeExchangeQuestion),
  backAndForth(resync.decodeExchangeAnswer, resync.encodeExchangeAnswer),
  backAndForth(resync.decodePushQuestion, resync.encodePushQuestion),
  backAndForth(resync.decodePushAnswer, resync.encodePushAnswer),
];

/** Everything that comes from another site: records of a log, heartbeats, positions, entries and digests of a resync. */
const wire: FuzzTarget = {
  name: "wire",
  covers: /\/(topology\/mutation|gateway\/(link\/(heartbeat|beat-content)|resync|status))/,
  run(input) {
    const [kind = 0] = input;
    orRefused(() => MESSAGES[kind % MESSAGES.length]?.(input.subarray(WIRE_HEAD_BYTES)));
  },
};

function recordAndBack(bytes: Buffer): void {
  const record = decodeRecord(bytes);
  const packed =
    record.kind === "batch"
      ? encodeBatch(record.header, record.mutations)
      : encodeTermBegin(record);
  expectSame(record, decodeRecord(packed));
}

/** A heartbeat is read far from where it was decoded: so must be whatever it may be. */
function useBeat(bytes: Buffer): void {
  const { content } = decodeBeat(bytes, "nyc", isBeatContent);
  const { log, ends, applied, policyHashes } = content;
  let sum = BigInt((log?.lastSeq ?? 0) + (log?.firstSeq ?? 0) + content.term);
  for (const { logSeq, outboxRows, dot } of Object.values(ends)) {
    sum += dot + BigInt(logSeq + outboxRows);
  }
  for (const caches of Object.values(applied)) {
    for (const { incarnation, seq, dot } of Object.values(caches)) {
      sum += dot + BigInt(seq + incarnation.length);
    }
  }
  for (const hash of Object.values(policyHashes)) sum += BigInt(hash.length);
  if (typeof sum !== "bigint") throw new TypeError("unreachable");
}

/** The reader of isthmus.yaml. */
const file: FuzzTarget = {
  name: "file",
  covers: /\/topology\/(config|policy)\//,
  run(input) {
    const { config, diagnostics } = parseConfig(input.toString("utf8"), { file: "isthmus.yaml" });
    const hasErrors = diagnostics.some(({ severity }) => severity === "error");
    if (hasErrors !== (config === undefined))
      throw new NotItself("a config beside errors, or none");
    for (const diagnostic of diagnostics) {
      if (!(diagnostic.line >= 1 && diagnostic.col >= 1))
        throw new NotItself("a fault of no place");
      renderDiagnostic(diagnostic);
    }
  },
};

/** A refusal is an IsthmusError; anything else is a finding. */
function orRefused(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof IsthmusError)) throw error;
  }
}

function expectSame(a: unknown, b: unknown): void {
  if (!isDeepStrictEqual(a, b)) {
    throw new NotItself("what was decoded differs from what its own encoding decodes to");
  }
}

/** Every target, in the order in which they run. */
export const TARGETS: readonly FuzzTarget[] = [codec, wire, file];
