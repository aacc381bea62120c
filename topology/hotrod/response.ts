import type { BodyCodec } from "./body-parts.ts";
import type {
  CacheEvent,
  HotRodEvent,
  HotRodResponse,
  RequestContext,
  ResponseHeader,
  Topology,
} from "./messages.ts";
import {
  ERROR_OPCODE,
  EVENT_OPCODES,
  Intelligence,
  OPCODES,
  RESPONSE_MAGIC,
  VERSION_MAX,
} from "./opcodes.ts";
import type { EventOp, RequestOp } from "./opcodes.ts";
import type { Reader } from "./reader.ts";
import { RESPONSE_BODIES } from "./response-bodies.ts";
import type { ResponseLayout } from "./response-bodies.ts";
import { Writer } from "./writer.ts";

/** What an entry of the table looks like once the operation is known at run time only. */
type AnyBodyCodec = BodyCodec<object, ResponseLayout>;

const OP_BY_OPCODE = new Map<number, RequestOp>(
  (Object.keys(OPCODES) as RequestOp[]).map((op) => [OPCODES[op][1], op]),
);

const EVENT_BY_OPCODE = new Map<number, EventOp>(
  (Object.keys(EVENT_OPCODES) as EventOp[]).map((op) => [EVENT_OPCODES[op], op]),
);

const ERROR_STATUS_MIN = 0x80;

/**
 * Reads one response or event; its buffers are views. What it returns counts only if the reader did not turn short.
 * `lookup` tells of the request with an id; it may be asked more than once for one response.
 * @throws IsthmusError HotRodProtocol, also for a response whose request `lookup` does not know
 */
export function decodeResponse(
  r: Reader,
  lookup: (id: number) => RequestContext | undefined,
): HotRodResponse | undefined {
  const magic = r.u8();
  if (magic !== RESPONSE_MAGIC && !r.isShort)
    r.malformed(`magic 0xa1, found 0x${magic.toString(16)}`);
  const id = r.vLongNumber();
  const opcode = r.u8();
  const status = r.u8();
  const topologyChanged = r.u8();
  if (r.isShort) return undefined;
  r.opcode = opcode;
  const context = lookup(id);
  const topology = topologyChanged === 0 ? undefined : readTopology(r, context?.intelligence ?? 0);
  const header: ResponseHeader = { id, status, topology };
  const event = EVENT_BY_OPCODE.get(opcode);
  if (event !== undefined) return readEvent(r, event, header);
  if (opcode === ERROR_OPCODE) return { op: "error", header, message: r.string() };
  const op = OP_BY_OPCODE.get(opcode);
  if (op === undefined) return r.malformed("a known opcode");
  if (context?.op !== op) {
    return r.malformed(`the answer to ${context?.op ?? "no request"} with id ${id}, found ${op}`);
  }
  if (status >= ERROR_STATUS_MIN) r.malformed(`opcode 0x50 with status 0x${status.toString(16)}`);
  const layout = { status, version: context.version };
  const body = (RESPONSE_BODIES[op] as AnyBodyCodec).read(r, layout);
  return { op, header, ...body } as HotRodResponse;
}

/** One response or event as a frame, laid out for the request that `request` tells of. @throws IsthmusError HotRodProtocol */
export function encodeResponse(
  response: HotRodResponse,
  request: Pick<RequestContext, "version" | "intelligence"> = BASIC,
): Buffer {
  const w = new Writer();
  const { header, op } = response;
  w.u8(RESPONSE_MAGIC);
  w.vInt(header.id);
  w.u8(responseOpcode(op));
  w.u8(header.status);
  if (header.topology === undefined) w.u8(0);
  else writeTopology(w, header.topology, request.intelligence);
  if (op === "error") w.string(response.message);
  else if (op in EVENT_OPCODES) writeEvent(w, response as HotRodEvent);
  else {
    const layout = { status: header.status, version: request.version };
    (RESPONSE_BODIES[op as RequestOp] as AnyBodyCodec).write(w, response, layout);
  }
  return w.finish();
}

const BASIC = { version: VERSION_MAX, intelligence: Intelligence.Basic };

function responseOpcode(op: HotRodResponse["op"]): number {
  if (op === "error") return ERROR_OPCODE;
  return op in EVENT_OPCODES ? EVENT_OPCODES[op as EventOp] : OPCODES[op as RequestOp][1];
}

function readTopology(r: Reader, intelligence: number): Topology {
  const id = r.vInt();
  const servers = r.list(r.vInt(), (it) => ({ host: it.string(), port: it.u16() }));
  if (intelligence !== Intelligence.HashDistributionAware) return { id, servers, hash: undefined };
  const hashFunction = r.u8();
  const segmentCount = r.vInt();
  const owners =
    hashFunction === 0
      ? []
      : r.list(segmentCount, (it) => it.list(it.u8(), (owner) => owner.vInt()));
  return { id, servers, hash: { hashFunction, segmentCount, owners } };
}

function writeTopology(w: Writer, topology: Topology, intelligence: number): void {
  w.u8(1);
  w.vInt(topology.id);
  w.vInt(topology.servers.length);
  for (const { host, port } of topology.servers) {
    w.string(host);
    w.u16(port);
  }
  if (intelligence !== Intelligence.HashDistributionAware) return;
  w.u8(topology.hash?.hashFunction ?? 0);
  w.vInt(topology.hash?.segmentCount ?? 0);
  for (const segment of topology.hash?.owners ?? []) {
    w.u8(segment.length);
    for (const owner of segment) w.vInt(owner);
  }
}

function readEvent(r: Reader, op: EventOp, header: ResponseHeader): HotRodEvent {
  if (op === "counterEvent") {
    return {
      op,
      header,
      counter: r.string(),
      listenerId: r.bytes(),
      states: r.u8(),
      oldValue: r.i64(),
      newValue: r.i64(),
    };
  }
  const listenerId = r.bytes();
  const custom = r.u8();
  const retried = r.bool();
  const data = r.bytes();
  const entryVersion = hasVersion(op, custom) ? r.i64() : undefined;
  return { op, header, listenerId, custom, retried, data, entryVersion };
}

function writeEvent(w: Writer, event: HotRodEvent): void {
  if (event.op === "counterEvent") {
    w.string(event.counter);
    w.bytes(event.listenerId);
    w.u8(event.states);
    w.i64(event.oldValue);
    w.i64(event.newValue);
    return;
  }
  w.bytes(event.listenerId);
  w.u8(event.custom);
  w.bool(event.retried);
  w.bytes(event.data);
  if (hasVersion(event.op, event.custom)) w.i64(event.entryVersion ?? 0n);
}

/** Plain events of entries that are there carry the version behind the key. */
function hasVersion(op: CacheEvent["op"], custom: number): boolean {
  return custom === 0 && (op === "created" || op === "modified");
}
