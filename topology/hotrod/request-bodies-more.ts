import {
  readCounterConfiguration,
  readModification,
  readXid,
  writeCounterConfiguration,
  writeModification,
  writeXid,
} from "./body-parts.ts";
import type { BodyCodec } from "./body-parts.ts";
import { readExpiration, writeExpiration } from "./expiration.ts";
import type { RequestBodies } from "./messages.ts";
import type { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

type Codecs<O extends keyof RequestBodies> = {
  readonly [K in O]: BodyCodec<RequestBodies[K], number>;
};

const NOTHING: BodyCodec<object, number> = { read: () => ({}), write: () => {} };

const STREAM_ID: BodyCodec<RequestBodies["endPutStream"], number> = {
  read: (r) => ({ streamId: r.i32() }),
  write: (w, body) => w.i32(body.streamId),
};

/** Values sent in parts: in one frame (2.6 to 4.0) or in several (4.1). */
export const STREAM_REQUEST_BODIES: Codecs<
  | "getStream"
  | "putStream"
  | "startPutStream"
  | "nextPutStream"
  | "endPutStream"
  | "startGetStream"
  | "nextGetStream"
  | "endGetStream"
> = {
  getStream: {
    read: (r) => ({ key: r.bytes(), offset: r.vInt() }),
    write: (w, body) => {
      w.bytes(body.key);
      w.vInt(body.offset);
    },
  },
  putStream: {
    read: (r, version) => ({
      key: r.bytes(),
      expiration: readExpiration(r, version),
      entryVersion: r.i64(),
      chunks: r.sequence(readChunk),
    }),
    write: (w, body, version) => {
      w.bytes(body.key);
      writeExpiration(w, body.expiration, version);
      w.i64(body.entryVersion);
      // An empty chunk would read as the end.
      for (const chunk of body.chunks) if (chunk.length > 0) w.bytes(chunk);
      w.vInt(0);
    },
  },
  startPutStream: {
    read: (r, version) => ({
      key: r.bytes(),
      expiration: readExpiration(r, version),
      entryVersion: r.i64(),
    }),
    write: (w, body, version) => {
      w.bytes(body.key);
      writeExpiration(w, body.expiration, version);
      w.i64(body.entryVersion);
    },
  },
  nextPutStream: {
    read: (r) => ({ streamId: r.i32(), last: r.bool(), chunk: r.bytes() }),
    write: (w, body) => {
      w.i32(body.streamId);
      w.bool(body.last);
      w.bytes(body.chunk);
    },
  },
  endPutStream: STREAM_ID,
  startGetStream: {
    read: (r) => ({ key: r.bytes(), batchSize: r.vInt() }),
    write: (w, body) => {
      w.bytes(body.key);
      w.vInt(body.batchSize);
    },
  },
  nextGetStream: STREAM_ID,
  endGetStream: STREAM_ID,
};

function readChunk(r: Reader): Buffer | undefined {
  const chunk = r.bytes();
  return chunk.length === 0 ? undefined : chunk;
}

const XID: BodyCodec<RequestBodies["commitTx"], number> = {
  read: (r) => ({ xid: readXid(r) }),
  write: (w, body) => writeXid(w, body.xid),
};

function writeModifications(w: Writer, body: RequestBodies["prepareTx"], version: number): void {
  w.vInt(body.modifications.length);
  for (const modification of body.modifications) writeModification(w, modification, version);
}

/** Hot Rod transactions. */
export const TX_REQUEST_BODIES: Codecs<
  "prepareTx" | "commitTx" | "rollbackTx" | "forgetTx" | "fetchTxRecovery" | "prepareTx2"
> = {
  prepareTx: {
    read: (r, version) => ({
      xid: readXid(r),
      onePhase: r.bool(),
      modifications: r.list(r.vInt(), (it) => readModification(it, version)),
    }),
    write: (w, body, version) => {
      writeXid(w, body.xid);
      w.bool(body.onePhase);
      writeModifications(w, body, version);
    },
  },
  commitTx: XID,
  rollbackTx: XID,
  forgetTx: XID,
  fetchTxRecovery: NOTHING,
  prepareTx2: {
    read: (r, version) => ({
      xid: readXid(r),
      onePhase: r.bool(),
      recoverable: r.bool(),
      timeoutMs: r.i64(),
      modifications: r.list(r.vInt(), (it) => readModification(it, version)),
    }),
    write: (w, body, version) => {
      writeXid(w, body.xid);
      w.bool(body.onePhase);
      w.bool(body.recoverable);
      w.i64(body.timeoutMs);
      writeModifications(w, body, version);
    },
  },
};

const NAME: BodyCodec<RequestBodies["counterGet"], number> = {
  read: (r) => ({ name: r.string() }),
  write: (w, body) => w.string(body.name),
};

const COUNTER_LISTENER: BodyCodec<RequestBodies["counterAddListener"], number> = {
  read: (r) => ({ name: r.string(), listenerId: r.bytes() }),
  write: (w, body) => {
    w.string(body.name);
    w.bytes(body.listenerId);
  },
};

/** Counters. */
export const COUNTER_REQUEST_BODIES: Codecs<Extract<keyof RequestBodies, `counter${string}`>> = {
  counterCreate: {
    read: (r) => ({ name: r.string(), configuration: readCounterConfiguration(r) }),
    write: (w, body) => {
      w.string(body.name);
      writeCounterConfiguration(w, body.configuration);
    },
  },
  counterGetConfiguration: NAME,
  counterIsDefined: NAME,
  counterAddAndGet: {
    read: (r) => ({ name: r.string(), delta: r.i64() }),
    write: (w, body) => {
      w.string(body.name);
      w.i64(body.delta);
    },
  },
  counterReset: NAME,
  counterGet: NAME,
  counterCas: {
    read: (r) => ({ name: r.string(), expected: r.i64(), update: r.i64() }),
    write: (w, body) => {
      w.string(body.name);
      w.i64(body.expected);
      w.i64(body.update);
    },
  },
  counterAddListener: COUNTER_LISTENER,
  counterRemoveListener: COUNTER_LISTENER,
  counterRemove: NAME,
  counterGetNames: NOTHING,
  counterGetAndSet: {
    read: (r) => ({ name: r.string(), update: r.i64() }),
    write: (w, body) => {
      w.string(body.name);
      w.i64(body.update);
    },
  },
};

function readDuplicates(r: Reader, version: number): boolean {
  return version >= 40 && r.bool();
}

function writeDuplicates(w: Writer, body: RequestBodies["multimapSize"], version: number): void {
  if (version >= 40) w.bool(body.supportsDuplicates);
}

const MULTIMAP_KEY: BodyCodec<RequestBodies["multimapGet"], number> = {
  read: (r, version) => ({ key: r.bytes(), supportsDuplicates: readDuplicates(r, version) }),
  write: (w, body, version) => {
    w.bytes(body.key);
    writeDuplicates(w, body, version);
  },
};

const MULTIMAP_ENTRY: BodyCodec<RequestBodies["multimapPut"], number> = {
  read: (r, version) => ({
    key: r.bytes(),
    expiration: readExpiration(r, version),
    value: r.bytes(),
    supportsDuplicates: readDuplicates(r, version),
  }),
  write: (w, body, version) => {
    w.bytes(body.key);
    writeExpiration(w, body.expiration, version);
    w.bytes(body.value);
    writeDuplicates(w, body, version);
  },
};

/** Multimaps. */
export const MULTIMAP_REQUEST_BODIES: Codecs<Extract<keyof RequestBodies, `multimap${string}`>> = {
  multimapGet: MULTIMAP_KEY,
  multimapGetWithMetadata: MULTIMAP_KEY,
  multimapPut: MULTIMAP_ENTRY,
  multimapRemoveKey: MULTIMAP_KEY,
  multimapRemoveEntry: MULTIMAP_ENTRY,
  multimapSize: {
    read: (r, version) => ({ supportsDuplicates: readDuplicates(r, version) }),
    write: writeDuplicates,
  },
  multimapContainsEntry: MULTIMAP_ENTRY,
  multimapContainsKey: MULTIMAP_KEY,
  multimapContainsValue: {
    read: (r, version) => ({
      expiration: readExpiration(r, version),
      value: r.bytes(),
      supportsDuplicates: readDuplicates(r, version),
    }),
    write: (w, body, version) => {
      writeExpiration(w, body.expiration, version);
      w.bytes(body.value);
      writeDuplicates(w, body, version);
    },
  },
};
