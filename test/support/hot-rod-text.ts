import type { Expiration, Duration } from "../../topology/hotrod/expiration.ts";
import type { MediaType } from "../../topology/hotrod/media-type.ts";
import type {
  EntryMetadata,
  FactoryCall,
  HotRodRequest,
  HotRodResponse,
} from "../../topology/hotrod/messages.ts";

// Renders messages as the recordings in test/golden do. Their text was made by another decoder than ours, in another
// language: that the texts are equal says more than that our encoder undoes what our decoder did.

/** The recordings' names of the operations. */
export const OP_TEXT: Partial<Record<HotRodResponse["op"], string>> = {
  put: "PUT",
  get: "GET",
  putIfAbsent: "PUT_IF_ABSENT",
  replace: "REPLACE",
  replaceIfUnmodified: "REPLACE_IF_UNMOD",
  remove: "REMOVE",
  removeIfUnmodified: "REMOVE_IF_UNMOD",
  containsKey: "CONTAINS",
  clear: "CLEAR",
  ping: "PING",
  getWithMetadata: "GET_WITH_META",
  query: "QUERY",
  authMechList: "AUTH_MECH",
  addClientListener: "ADD_LISTENER",
  removeClientListener: "REMOVE_LISTENER",
  size: "SIZE",
  putAll: "PUT_ALL",
  iterationStart: "ITER_START",
  iterationNext: "ITER_NEXT",
  iterationEnd: "ITER_END",
  created: "EV_CREATED",
  modified: "EV_MODIFIED",
  removed: "EV_REMOVED",
  expired: "EV_EXPIRED",
};

const MEDIA_TEXT: Readonly<Record<number, string>> = { 1: "object", 3: "octet", 12: "protostream" };

const hex = (n: number): string => n.toString(16);
const media = (type: MediaType | undefined): string =>
  type === undefined ? "-" : (MEDIA_TEXT[type.id ?? 0] ?? type.name);
const version = (v: bigint): string => BigInt.asUintN(64, v).toString(16).padStart(16, "0");
const opText = (op: HotRodResponse["op"]): string => OP_TEXT[op] ?? `no text for ${op}`;

function short(bytes: Buffer): string {
  const head =
    bytes.length <= 40
      ? bytes.toString("hex")
      : `${bytes.subarray(0, 40).toString("hex")}..(${bytes.length})`;
  const chars = [...bytes.subarray(0, 160)].map((b) =>
    b >= 32 && b < 127 ? String.fromCharCode(b) : ".",
  );
  return `${head} ${chars.join("")}`;
}

function duration(d: Duration): string {
  if (d.unit === 7) return "d";
  return d.unit === 8 ? "inf" : `${d.amount}u${d.unit}`;
}

function expiration(e: Expiration): string {
  const units = hex((e.lifespan.unit << 4) | e.maxIdle.unit).padStart(2, "0");
  return `exp[${units} ls=${duration(e.lifespan)} mi=${duration(e.maxIdle)}]`;
}

function factory(call: FactoryCall | undefined): string {
  const params = (call?.params ?? []).map((p) => `'${p.toString("hex")}'`);
  return `'${call?.name ?? ""}'[${params.join(", ")}]`;
}

function metadata(m: EntryMetadata): string {
  let text = `mf=${(m.createdMs === undefined ? 1 : 0) | (m.lastUsedMs === undefined ? 2 : 0)}`;
  if (m.createdMs !== undefined) text += ` created=${m.createdMs} ls=${m.lifespanSeconds}`;
  if (m.lastUsedMs !== undefined) text += ` used=${m.lastUsedMs} mi=${m.maxIdleSeconds}`;
  return `${text} ver=${version(m.entryVersion)}`;
}

/** One request as the recordings show it. */
export function requestText(m: HotRodRequest): string {
  const h = m.header;
  return (
    `${h.id} v${h.version} ${opText(m.op)} cache='${h.cache}' fl=${hex(h.flags)} ` +
    `ci=${h.intelligence} tid=${hex(h.topologyId)} k=${media(h.keyMediaType)} ` +
    `v=${media(h.valueMediaType)}  | ${requestBodyText(m)}`
  ).trimEnd();
}

function requestBodyText(m: HotRodRequest): string {
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- only what the recordings hold
  switch (m.op) {
    case "put":
    case "putIfAbsent":
    case "replace":
      return `key=${short(m.key)} ${expiration(m.expiration)} val=${short(m.value)}`;
    case "replaceIfUnmodified":
      return (
        `key=${short(m.key)} ${expiration(m.expiration)} ver=${version(m.entryVersion)} ` +
        `val=${short(m.value)}`
      );
    case "get":
    case "remove":
    case "containsKey":
    case "getWithMetadata":
      return `key=${short(m.key)}`;
    case "removeIfUnmodified":
      return `key=${short(m.key)} ver=${version(m.entryVersion)}`;
    case "clear":
    case "ping":
    case "authMechList":
    case "size":
      return "";
    case "query":
      return `q=${short(m.query)}`;
    case "addClientListener":
      return (
        `lid=${m.listenerId.toString("hex")} inc=${Number(m.includeState)} ` +
        `filter=${factory(m.filter)} conv=${factory(m.converter)} ` +
        `raw=${Number(m.useRawData)} interests=${hex(m.interests)}`
      );
    case "removeClientListener":
      return `lid=${m.listenerId.toString("hex")}`;
    case "putAll":
      return (
        expiration(m.expiration) +
        m.entries.map((e) => ` ${short(e.key)}=${short(e.value)}`).join("")
      );
    case "iterationStart":
      return (
        `seg=${m.segments?.toString("hex") ?? "None"}  ` +
        `batch=${m.batchSize} meta=${Number(m.includeMetadata)}`
      );
    case "iterationNext":
    case "iterationEnd":
      return `it=${m.iterationId}`;
    default:
      return `no text for ${m.op}`;
  }
}

/** One response or event as the recordings show it, with an iteration's entries on lines of their own. */
export function responseText(m: HotRodResponse): string {
  const { id, status, topology } = m.header;
  const isResponse = !("listenerId" in m) && m.op !== "error";
  let text = `${id} ${m.op === "error" ? "ERROR" : opText(m.op)}${isResponse ? "_R" : ""} `;
  text += `st=${hex(status).padStart(2, "0")} `;
  if (topology !== undefined) {
    const servers = topology.servers.map((s) => `'${s.host}:${s.port}'`).join(", ");
    text += `TOPO id=${hex(topology.id)} [${servers}]`;
    if (topology.hash !== undefined) {
      text += ` hash=${topology.hash.hashFunction} segs=${topology.hash.segmentCount}`;
    }
  }
  return `${text} | ${responseBodyText(m)}`.trimEnd();
}

function responseBodyText(m: HotRodResponse): string {
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- only what the recordings hold
  switch (m.op) {
    case "error":
      return `ERR ${m.message}`;
    case "created":
    case "modified":
    case "removed":
    case "expired": {
      const tail = m.entryVersion === undefined ? "" : ` ver=${version(m.entryVersion)}`;
      return (
        `lid=${m.listenerId.toString("hex")} custom=${m.custom} retried=${Number(m.retried)} ` +
        `data=${short(m.data)}${tail}`
      );
    }
    case "get":
      return m.value === undefined ? "" : short(m.value);
    case "getWithMetadata":
      return m.entry === undefined ? "" : `${metadata(m.entry.metadata)} ${short(m.entry.value)}`;
    case "put":
    case "putIfAbsent":
    case "replace":
    case "replaceIfUnmodified":
    case "remove":
    case "removeIfUnmodified":
      if (m.previous === undefined) return "";
      return (
        (m.previous.metadata === undefined ? "" : `${metadata(m.previous.metadata)} `) +
        short(m.previous.value)
      );
    case "ping": {
      const opcodes = m.server?.opcodes ?? [];
      return (
        `k=${media(m.keyMediaType)} v=${media(m.valueMediaType)} srv=${m.server?.version} ` +
        `ops(${opcodes.length})=${opcodes.map(hex).join(",")}`
      );
    }
    case "query":
      return short(m.result);
    case "authMechList":
      return `[${m.mechanisms.map((name) => `'${name}'`).join(", ")}]`;
    case "size":
      return String(m.size);
    case "iterationStart":
      return m.iterationId;
    case "iterationNext": {
      const entries = m.entries.map(
        (e) =>
          `\n${e.metadata === undefined ? "" : `${metadata(e.metadata)} `}${short(e.key)}` +
          e.values.map((v) => ` = ${short(v)}`).join(""),
      );
      return `segs=${m.finishedSegments.toString("hex")} n=${m.entries.length}${entries.join("")}`;
    }
    default:
      return "";
  }
}
