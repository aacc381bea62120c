import {
  readCounterConfiguration,
  readKeyValue,
  readMetadata,
  readXid,
  writeCounterConfiguration,
  writeKeyValue,
  writeMetadata,
  writeXid,
} from "./body-parts.ts";
import type { BodyCodec } from "./body-parts.ts";
import { readMediaType, writeMediaType } from "./media-type.ts";
import type { IterationEntry, KeyValue, PreviousValue, ResponseBodies } from "./messages.ts";
import { Status } from "./opcodes.ts";
import type { RequestOp } from "./opcodes.ts";
import type { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

/** What the layout of a response's body depends on. */
export interface ResponseLayout {
  readonly status: number;
  /** The version of the request's protocol. */
  readonly version: number;
}

type ResponseBodyCodec<O extends RequestOp> = BodyCodec<ResponseBodies[O], ResponseLayout>;

const isOk = (layout: ResponseLayout): boolean =>
  layout.status === Status.Ok || layout.status === Status.OkObjectStorage;

const hasPrevious = ({ status }: ResponseLayout): boolean =>
  status === Status.OkWithPrevious ||
  status === Status.NotExecutedWithPrevious ||
  status === Status.OkWithPreviousObjectStorage ||
  status === Status.NotExecutedWithPreviousObjectStorage;

const NOTHING: BodyCodec<object, ResponseLayout> = { read: () => ({}), write: () => {} };

/**
 * The value before the write. From 4.0 with its metadata. If there was none although the status says so (a forced put of
 * a new key), Infinispan sends an empty value with version -1.
 */
const PREVIOUS: ResponseBodyCodec<"put"> = {
  read: (r, layout) => ({ previous: hasPrevious(layout) ? readPrevious(r, layout) : undefined }),
  write: (w, body, layout) => {
    if (!hasPrevious(layout)) return;
    if (layout.version >= 40) writeMetadata(w, body.previous?.metadata ?? NO_METADATA);
    w.bytes(body.previous?.value ?? EMPTY);
  },
};

const EMPTY = Buffer.alloc(0);

const NO_METADATA = {
  createdMs: undefined,
  lifespanSeconds: undefined,
  lastUsedMs: undefined,
  maxIdleSeconds: undefined,
  entryVersion: -1n,
};

function readPrevious(r: Reader, { version }: ResponseLayout): PreviousValue {
  return { metadata: version >= 40 ? readMetadata(r) : undefined, value: r.bytes() };
}

/** A codec of a body that is one field, there only if the status is ok. */
function ifOk<K extends string, V>(
  name: K,
  read: (r: Reader) => V,
  write: (w: Writer, value: V) => void,
): BodyCodec<Readonly<Record<K, V | undefined>>, ResponseLayout> {
  return {
    read: (r, layout) =>
      ({ [name]: isOk(layout) ? read(r) : undefined }) as Record<K, V | undefined>,
    write: (w, body, layout) => {
      const value = body[name];
      if (isOk(layout) && value !== undefined) write(w, value);
    },
  };
}

/** A codec of a body that is one field, there always. */
function always<K extends string, V>(
  name: K,
  read: (r: Reader) => V,
  write: (w: Writer, value: V) => void,
): BodyCodec<Readonly<Record<K, V>>, ResponseLayout> {
  return {
    read: (r) => ({ [name]: read(r) }) as Record<K, V>,
    write: (w, body) => write(w, body[name]),
  };
}

function readCounted<T>(read: (r: Reader) => T): (r: Reader) => T[] {
  return (r) => r.list(r.vInt(), read);
}

function writeCounted<T>(write: (w: Writer, item: T) => void) {
  return (w: Writer, items: readonly T[]): void => {
    w.vInt(items.length);
    for (const item of items) write(w, item);
  };
}

const readBytes = (r: Reader): Buffer => r.bytes();
const writeBytes = (w: Writer, value: Buffer): void => w.bytes(value);
const readString = (r: Reader): string => r.string();
const writeString = (w: Writer, value: string): void => w.string(value);
const readLong = (r: Reader): bigint => r.i64();
const writeLong = (w: Writer, value: bigint): void => w.i64(value);

const XA_CODE = ifOk(
  "xaCode",
  (r) => r.i32(),
  (w, code: number) => w.i32(code),
);
const COUNTER_VALUE = ifOk("value", readLong, writeLong);
const RESULT = ifOk(
  "result",
  (r) => r.bool(),
  (w, result: boolean) => w.bool(result),
);
const SIZE = always(
  "size",
  (r) => r.vLong(),
  (w, size: bigint) => w.vLong(size),
);
const METADATA_VALUE: ResponseBodyCodec<"getWithMetadata"> = ifOk(
  "entry",
  (r) => ({ metadata: readMetadata(r), value: r.bytes() }),
  (w, entry) => {
    writeMetadata(w, entry.metadata);
    w.bytes(entry.value);
  },
);

const STATS: ResponseBodyCodec<"stats"> = always(
  "stats",
  (r): ReadonlyMap<string, string> =>
    new Map(r.list(r.vInt(), (it) => [it.string(), it.string()] as const)),
  (w, stats) => {
    w.vInt(stats.size);
    for (const [name, value] of stats) {
      w.string(name);
      w.string(value);
    }
  },
);

const PING: ResponseBodyCodec<"ping"> = {
  read: (r, { version }) => ({
    keyMediaType: version >= 29 ? readMediaType(r) : undefined,
    valueMediaType: version >= 29 ? readMediaType(r) : undefined,
    server:
      version >= 30 ? { version: r.u8(), opcodes: r.list(r.vInt(), (it) => it.u16()) } : undefined,
  }),
  write: (w, body, { version }) => {
    if (version >= 29) {
      writeMediaType(w, body.keyMediaType);
      writeMediaType(w, body.valueMediaType);
    }
    if (version >= 30) {
      w.u8(body.server?.version ?? version);
      const opcodes = body.server?.opcodes ?? [];
      w.vInt(opcodes.length);
      for (const opcode of opcodes) w.u16(opcode);
    }
  },
};

/** Items that are each announced by a byte 1; a byte 0 ends them. */
function marked<T extends object>(read: (r: Reader) => T): (r: Reader) => T[] {
  return (r) => r.sequence((it) => (it.u8() === 0 ? undefined : read(it)));
}

function writeMarked<T>(write: (w: Writer, item: T) => void) {
  return (w: Writer, items: readonly T[]): void => {
    for (const item of items) {
      w.u8(1);
      write(w, item);
    }
    w.u8(0);
  };
}

/** From 2.4 a batch with entries says how many values each has, from 2.5 each entry says whether it has metadata. */
const ITERATION_NEXT: ResponseBodyCodec<"iterationNext"> = {
  read: (r, { version }) => {
    const finishedSegments = r.bytes();
    const count = r.vInt();
    const valueCount = count > 0 && version >= 24 ? r.vInt() : 1;
    r.boundItems(count * valueCount);
    const readEntry = (it: Reader): IterationEntry => ({
      metadata: version >= 25 && it.bool() ? readMetadata(it) : undefined,
      key: it.bytes(),
      values: valueCount === 1 ? [it.bytes()] : it.list(valueCount, readBytes),
    });
    return { finishedSegments, entries: r.list(count, readEntry) };
  },
  write: (w, body, { version }) => {
    w.bytes(body.finishedSegments);
    w.vInt(body.entries.length);
    const [first] = body.entries;
    if (first !== undefined && version >= 24) w.vInt(first.values.length);
    for (const entry of body.entries) {
      if (version >= 25) w.bool(entry.metadata !== undefined);
      if (version >= 25 && entry.metadata !== undefined) writeMetadata(w, entry.metadata);
      w.bytes(entry.key);
      for (const value of entry.values) w.bytes(value);
    }
  },
};

const START_GET_STREAM: ResponseBodyCodec<"startGetStream"> = ifOk(
  "part",
  (r) => ({
    streamId: r.i32(),
    complete: r.bool(),
    metadata: readMetadata(r),
    value: r.bytes(),
  }),
  (w, part) => {
    w.i32(part.streamId);
    w.bool(part.complete);
    writeMetadata(w, part.metadata);
    w.bytes(part.value);
  },
);

const NEXT_GET_STREAM: ResponseBodyCodec<"nextGetStream"> = ifOk(
  "part",
  (r) => ({ streamId: r.i32(), complete: r.bool(), value: r.bytes() }),
  (w, part) => {
    w.i32(part.streamId);
    w.bool(part.complete);
    w.bytes(part.value);
  },
);

const MULTIMAP_ENTRY: ResponseBodyCodec<"multimapGetWithMetadata"> = ifOk(
  "entry",
  (r) => ({ metadata: readMetadata(r), values: r.list(r.vInt(), readBytes) }),
  (w, entry) => {
    writeMetadata(w, entry.metadata);
    writeCounted(writeBytes)(w, entry.values);
  },
);

/** How the body of each operation's response is read and written. Source: Infinispan's `Encoder2x.java`, `Encoder4x.java`. */
export const RESPONSE_BODIES: { readonly [O in RequestOp]: ResponseBodyCodec<O> } = {
  put: PREVIOUS,
  get: ifOk("value", readBytes, writeBytes),
  putIfAbsent: PREVIOUS,
  replace: PREVIOUS,
  replaceIfUnmodified: PREVIOUS,
  remove: PREVIOUS,
  removeIfUnmodified: PREVIOUS,
  containsKey: NOTHING,
  getWithVersion: ifOk(
    "entry",
    (r) => ({ entryVersion: r.i64(), value: r.bytes() }),
    (w, entry) => {
      w.i64(entry.entryVersion);
      w.bytes(entry.value);
    },
  ),
  clear: NOTHING,
  stats: STATS,
  ping: PING,
  bulkGet: always("entries", marked(readKeyValue), writeMarked<KeyValue>(writeKeyValue)),
  getWithMetadata: METADATA_VALUE,
  bulkGetKeys: always("keys", marked(readBytes), writeMarked(writeBytes)),
  query: always("result", readBytes, writeBytes),
  authMechList: always("mechanisms", readCounted(readString), writeCounted(writeString)),
  auth: {
    read: (r) => ({ complete: r.bool(), challenge: r.bytes() }),
    write: (w, body) => {
      w.bool(body.complete);
      w.bytes(body.challenge);
    },
  },
  addClientListener: NOTHING,
  removeClientListener: NOTHING,
  size: SIZE,
  exec: always("result", readBytes, writeBytes),
  putAll: NOTHING,
  getAll: always("entries", readCounted(readKeyValue), writeCounted<KeyValue>(writeKeyValue)),
  iterationStart: always("iterationId", readString, writeString),
  iterationNext: ITERATION_NEXT,
  iterationEnd: NOTHING,
  getStream: METADATA_VALUE,
  putStream: PREVIOUS,
  startPutStream: always(
    "streamId",
    (r) => r.i32(),
    (w, id: number) => w.i32(id),
  ),
  nextPutStream: PREVIOUS,
  endPutStream: NOTHING,
  startGetStream: START_GET_STREAM,
  nextGetStream: NEXT_GET_STREAM,
  endGetStream: NOTHING,
  addBloomNearCacheListener: NOTHING,
  updateBloomFilter: NOTHING,
  prepareTx: XA_CODE,
  commitTx: XA_CODE,
  rollbackTx: XA_CODE,
  forgetTx: XA_CODE,
  fetchTxRecovery: always("xids", readCounted(readXid), writeCounted(writeXid)),
  prepareTx2: XA_CODE,
  counterCreate: NOTHING,
  counterGetConfiguration: ifOk(
    "configuration",
    readCounterConfiguration,
    writeCounterConfiguration,
  ),
  counterIsDefined: NOTHING,
  counterAddAndGet: COUNTER_VALUE,
  counterReset: NOTHING,
  counterGet: COUNTER_VALUE,
  counterCas: COUNTER_VALUE,
  counterAddListener: NOTHING,
  counterRemoveListener: NOTHING,
  counterRemove: NOTHING,
  counterGetNames: always("names", readCounted(readString), writeCounted(writeString)),
  counterGetAndSet: COUNTER_VALUE,
  multimapGet: ifOk("values", readCounted(readBytes), writeCounted(writeBytes)),
  multimapGetWithMetadata: MULTIMAP_ENTRY,
  multimapPut: NOTHING,
  multimapRemoveKey: RESULT,
  multimapRemoveEntry: RESULT,
  multimapSize: SIZE,
  multimapContainsEntry: RESULT,
  multimapContainsKey: RESULT,
  multimapContainsValue: RESULT,
};
