import { readParam, writeParam } from "./body-parts.ts";
import type { BodyCodec } from "./body-parts.ts";
import { readMediaType, writeMediaType } from "./media-type.ts";
import type { HeaderParam, HotRodRequest, RequestHeader } from "./messages.ts";
import { Intelligence, OPCODES, REQUEST_MAGIC, VERSION_MAX, VERSION_MIN } from "./opcodes.ts";
import type { RequestOp } from "./opcodes.ts";
import type { Reader } from "./reader.ts";
import { REQUEST_BODIES } from "./request-bodies.ts";
import { Writer } from "./writer.ts";

/** What an entry of the tables looks like once the operation is known at run time only. */
type AnyBodyCodec = BodyCodec<object, number>;

const BY_OPCODE = new Map<number, { op: RequestOp; body: AnyBodyCodec }>(
  (Object.keys(OPCODES) as RequestOp[]).map((op) => [
    OPCODES[op][0],
    { op, body: REQUEST_BODIES[op] },
  ]),
);

const NO_PARAMS: readonly HeaderParam[] = [];

/** A header with what is usual for a client that wants no topology: protocol 4.1, no flags, the cache's own media types. */
export function requestHeader(
  given: Pick<RequestHeader, "id" | "cache"> & Partial<RequestHeader>,
): RequestHeader {
  return {
    version: VERSION_MAX,
    flags: 0,
    intelligence: Intelligence.Basic,
    topologyId: 0,
    keyMediaType: undefined,
    valueMediaType: undefined,
    params: NO_PARAMS,
    ...given,
  };
}

/** A request that could not be understood, with what is needed to answer it. */
export interface UnknownRequest {
  readonly op: "unknown";
  readonly id: number;
  readonly version: number;
  /** Undefined when it is the version that is unknown, because then nothing after it can be read. */
  readonly opcode: number | undefined;
}

/**
 * Reads one request, protocols 2.0 to 4.1; its buffers are views. What it returns counts only if the reader did not turn
 * short. Nothing can be read after an unknown request, because its end is not known: answer it and close.
 * @throws IsthmusError HotRodProtocol
 */
export function decodeRequest(r: Reader): HotRodRequest | UnknownRequest {
  const magic = r.u8();
  if (magic !== REQUEST_MAGIC && !r.isShort)
    r.malformed(`magic 0xa0, found 0x${magic.toString(16)}`);
  const id = r.vLongNumber();
  const version = r.u8();
  if (version < VERSION_MIN || version > VERSION_MAX) {
    return { op: "unknown", id, version, opcode: undefined };
  }
  const opcode = r.u8();
  r.opcode = opcode;
  const known = BY_OPCODE.get(opcode);
  if (known === undefined) return { op: "unknown", id, version, opcode };
  const header: RequestHeader = {
    id,
    version,
    cache: r.string(),
    flags: r.vInt(),
    intelligence: r.u8(),
    topologyId: r.vInt(),
    keyMediaType: version >= 28 ? readMediaType(r) : undefined,
    valueMediaType: version >= 28 ? readMediaType(r) : undefined,
    params: version >= 40 ? readParams(r) : NO_PARAMS,
  };
  return { op: known.op, header, ...known.body.read(r, version) } as HotRodRequest;
}

function readParams(r: Reader): readonly HeaderParam[] {
  const count = r.vInt();
  return count === 0 ? NO_PARAMS : r.list(count, readParam);
}

/** One request as a frame. @throws IsthmusError HotRodProtocol if it is longer than a frame may be */
export function encodeRequest(request: HotRodRequest): Buffer {
  const w = new Writer();
  const { header, op } = request;
  w.u8(REQUEST_MAGIC);
  w.vInt(header.id);
  w.u8(header.version);
  w.u8(OPCODES[op][0]);
  w.string(header.cache);
  w.vInt(header.flags);
  w.u8(header.intelligence);
  w.vInt(header.topologyId);
  if (header.version >= 28) {
    writeMediaType(w, header.keyMediaType);
    writeMediaType(w, header.valueMediaType);
  }
  if (header.version >= 40) {
    w.vInt(header.params.length);
    for (const param of header.params) writeParam(w, param);
  }
  (REQUEST_BODIES[op] as AnyBodyCodec).write(w, request, header.version);
  return w.finish();
}
