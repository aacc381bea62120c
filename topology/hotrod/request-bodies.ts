import {
  readFactory,
  readFactoryParams,
  readKeyValue,
  readParam,
  writeFactory,
  writeFactoryParams,
  writeKeyValue,
  writeParam,
} from "./body-parts.ts";
import type { BodyCodec } from "./body-parts.ts";
import { readExpiration, writeExpiration } from "./expiration.ts";
import type { FactoryCall, RequestBodies } from "./messages.ts";
import type { RequestOp } from "./opcodes.ts";
import type { Reader } from "./reader.ts";
import {
  COUNTER_REQUEST_BODIES,
  MULTIMAP_REQUEST_BODIES,
  STREAM_REQUEST_BODIES,
  TX_REQUEST_BODIES,
} from "./request-bodies-more.ts";
import type { Writer } from "./writer.ts";

/** A request's body depends on the protocol version alone. */
type RequestBodyCodec<O extends RequestOp> = BodyCodec<RequestBodies[O], number>;

const NOTHING: BodyCodec<object, number> = { read: () => ({}), write: () => {} };

const KEY: RequestBodyCodec<"get"> = {
  read: (r) => ({ key: r.bytes() }),
  write: (w, body) => w.bytes(body.key),
};

const WRITE: RequestBodyCodec<"put"> = {
  read: (r, version) => ({
    key: r.bytes(),
    expiration: readExpiration(r, version),
    value: r.bytes(),
  }),
  write: (w, body, version) => {
    w.bytes(body.key);
    writeExpiration(w, body.expiration, version);
    w.bytes(body.value);
  },
};

const LISTENER_ID: RequestBodyCodec<"removeClientListener"> = {
  read: (r) => ({ listenerId: r.bytes() }),
  write: (w, body) => w.bytes(body.listenerId),
};

const ITERATION_ID: RequestBodyCodec<"iterationNext"> = {
  read: (r) => ({ iterationId: r.string() }),
  write: (w, body) => w.string(body.iterationId),
};

const ADD_LISTENER: RequestBodyCodec<"addClientListener"> = {
  read: (r, version) => ({
    listenerId: r.bytes(),
    includeState: r.bool(),
    filter: readFactory(r),
    converter: readFactory(r),
    useRawData: version >= 21 && r.bool(),
    interests: version >= 26 ? r.vInt() : 0,
  }),
  write: (w, body, version) => {
    w.bytes(body.listenerId);
    w.bool(body.includeState);
    writeFactory(w, body.filter);
    writeFactory(w, body.converter);
    if (version >= 21) w.bool(body.useRawData);
    if (version >= 26) w.vInt(body.interests);
  },
};

const EXEC: RequestBodyCodec<"exec"> = {
  read: (r) => ({ task: r.string(), taskParams: r.list(r.u8(), readParam) }),
  write: (w, body) => {
    w.string(body.task);
    w.u8(body.taskParams.length);
    for (const param of body.taskParams) writeParam(w, param);
  },
};

const ITERATION_START: RequestBodyCodec<"iterationStart"> = {
  read: (r, version) => ({
    segments: r.optionalBytes(),
    filterConverter: readOptionalFactory(r),
    batchSize: r.vInt(),
    includeMetadata: version >= 24 && r.bool(),
  }),
  write: (w, body, version) => {
    w.optionalBytes(body.segments);
    writeOptionalFactory(w, body.filterConverter);
    w.vInt(body.batchSize);
    if (version >= 24) w.bool(body.includeMetadata);
  },
};

/** Other than a listener's, an iteration's factory may have an empty name: absence is a length of -1. */
function readOptionalFactory(r: Reader): FactoryCall | undefined {
  const name = r.optionalString();
  return name === undefined ? undefined : { name, params: readFactoryParams(r) };
}

function writeOptionalFactory(w: Writer, factory: FactoryCall | undefined): void {
  w.optionalBytes(factory && Buffer.from(factory.name, "utf8"));
  if (factory !== undefined) writeFactoryParams(w, factory.params);
}

/** How the body of each operation's request is read and written. Source: Infinispan's `hotrod.gr`. */
export const REQUEST_BODIES: { readonly [O in RequestOp]: RequestBodyCodec<O> } = {
  put: WRITE,
  get: KEY,
  putIfAbsent: WRITE,
  replace: WRITE,
  replaceIfUnmodified: {
    read: (r, version) => ({
      key: r.bytes(),
      expiration: readExpiration(r, version),
      entryVersion: r.i64(),
      value: r.bytes(),
    }),
    write: (w, body, version) => {
      w.bytes(body.key);
      writeExpiration(w, body.expiration, version);
      w.i64(body.entryVersion);
      w.bytes(body.value);
    },
  },
  remove: KEY,
  removeIfUnmodified: {
    read: (r) => ({ key: r.bytes(), entryVersion: r.i64() }),
    write: (w, body) => {
      w.bytes(body.key);
      w.i64(body.entryVersion);
    },
  },
  containsKey: KEY,
  getWithVersion: KEY,
  clear: NOTHING,
  stats: NOTHING,
  ping: NOTHING,
  bulkGet: {
    read: (r) => ({ count: r.vInt() }),
    write: (w, body) => w.vInt(body.count),
  },
  getWithMetadata: KEY,
  bulkGetKeys: {
    read: (r) => ({ scope: r.vInt() }),
    write: (w, body) => w.vInt(body.scope),
  },
  query: {
    read: (r) => ({ query: r.bytes() }),
    write: (w, body) => w.bytes(body.query),
  },
  authMechList: NOTHING,
  auth: {
    read: (r) => ({ mechanism: r.string(), response: r.bytes() }),
    write: (w, body) => {
      w.string(body.mechanism);
      w.bytes(body.response);
    },
  },
  addClientListener: ADD_LISTENER,
  removeClientListener: LISTENER_ID,
  size: NOTHING,
  exec: EXEC,
  putAll: {
    read: (r, version) => ({
      expiration: readExpiration(r, version),
      entries: r.list(r.vInt(), readKeyValue),
    }),
    write: (w, body, version) => {
      writeExpiration(w, body.expiration, version);
      w.vInt(body.entries.length);
      for (const entry of body.entries) writeKeyValue(w, entry);
    },
  },
  getAll: {
    read: (r) => ({ keys: r.list(r.vInt(), (it) => it.bytes()) }),
    write: (w, body) => {
      w.vInt(body.keys.length);
      for (const key of body.keys) w.bytes(key);
    },
  },
  iterationStart: ITERATION_START,
  iterationNext: ITERATION_ID,
  iterationEnd: ITERATION_ID,
  addBloomNearCacheListener: {
    read: (r) => ({ listenerId: r.bytes(), bits: r.vInt() }),
    write: (w, body) => {
      w.bytes(body.listenerId);
      w.vInt(body.bits);
    },
  },
  updateBloomFilter: {
    read: (r) => ({ filter: r.bytes() }),
    write: (w, body) => w.bytes(body.filter),
  },
  ...STREAM_REQUEST_BODIES,
  ...TX_REQUEST_BODIES,
  ...COUNTER_REQUEST_BODIES,
  ...MULTIMAP_REQUEST_BODIES,
};
