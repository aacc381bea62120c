import * as fc from "fast-check";
import type { Expiration } from "../../topology/hotrod/expiration.ts";
import { mediaTypeOf } from "../../topology/hotrod/media-type.ts";
import type { MediaType } from "../../topology/hotrod/media-type.ts";
import type {
  EntryMetadata,
  HotRodRequest,
  HotRodResponse,
  RequestBodies,
  ResponseBodies,
} from "../../topology/hotrod/messages.ts";
import { OPCODES, Status } from "../../topology/hotrod/opcodes.ts";
import type { RequestOp } from "../../topology/hotrod/opcodes.ts";

/** Every protocol version that the codec speaks. */
export const VERSIONS = [20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 40, 41] as const;

/** Every operation. */
export const OPS = Object.keys(OPCODES) as RequestOp[];

const bytes = fc.uint8Array({ maxLength: 300 }).map((it) => Buffer.from(it));
const filled = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((it) => Buffer.from(it));
const name = fc.string({ unit: "grapheme", maxLength: 12 });
const factoryName = fc.string({ minLength: 1, maxLength: 12 });
const vInt = fc.nat(0xffff_ffff);
const i32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const long = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const vLong = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const keyValue = fc.record({ key: bytes, value: bytes });
const param = fc.record({ name, value: bytes });
const few = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(item, { maxLength: 40 });
const maybe = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(item, { nil: undefined });

const duration = fc
  .tuple(fc.integer({ min: 0, max: 8 }), vLong)
  .map(([unit, amount]) => ({ unit, amount: unit < 7 ? amount : 0n }));
const seconds = vInt.map((amount) => ({ unit: 0, amount: BigInt(amount) }));
const expiration = (version: number): fc.Arbitrary<Expiration> => {
  const one = version < 22 ? seconds : duration;
  return fc.record({ lifespan: one, maxIdle: one });
};

const mediaType: fc.Arbitrary<MediaType | undefined> = maybe(
  fc.oneof(
    fc.constantFrom("application/x-protostream", "application/octet-stream").map(mediaTypeOf),
    fc.record({
      id: fc.constant(undefined),
      name: factoryName,
      params: few(fc.tuple(name, name)),
    }),
    fc.record({
      id: fc.constant(13),
      name: fc.constant("text/plain"),
      params: fc.array(fc.tuple(name, name), { minLength: 1, maxLength: 3 }),
    }),
  ),
);

const factory = maybe(fc.record({ name: factoryName, params: few(bytes) }));
const xid = fc.record({
  format: i32,
  transaction: bytes.filter((b) => b.length < 256),
  branch: filled,
});
const configuration = fc
  .tuple(fc.constantFrom(0, 1, 2, 4, 5, 6), vInt, long, long, long)
  .map(([flags, concurrency, lower, upper, initial]) => ({
    flags,
    concurrency: (flags & 1) === 0 ? undefined : concurrency,
    bounds: (flags & 2) === 0 ? undefined : { lower, upper },
    initial,
  }));
const modification = (version: number) =>
  fc
    .record({
      key: bytes,
      control: fc.nat(7),
      versionRead: long,
      write: fc.record({ expiration: expiration(version), value: bytes }),
    })
    .map((it) => ({
      ...it,
      versionRead: (it.control & 3) === 0 ? it.versionRead : undefined,
      write: (it.control & 4) === 0 ? it.write : undefined,
    }));

const time = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const metadata: fc.Arbitrary<EntryMetadata> = fc
  .tuple(maybe(fc.tuple(time, vInt)), maybe(fc.tuple(time, vInt)), long)
  .map(([mortal, idle, entryVersion]) => ({
    createdMs: mortal?.[0],
    lifespanSeconds: mortal?.[1],
    lastUsedMs: idle?.[0],
    maxIdleSeconds: idle?.[1],
    entryVersion,
  }));

type Bodies<B> = { readonly [O in RequestOp]: fc.Arbitrary<B[O & keyof B]> };

function requestBodies(version: number): Bodies<RequestBodies> {
  const nothing = fc.constant({});
  const key = fc.record({ key: bytes });
  const write = fc.record({ key: bytes, expiration: expiration(version), value: bytes });
  const listenerId = fc.record({ listenerId: bytes });
  const iterationId = fc.record({ iterationId: name });
  const streamId = fc.record({ streamId: i32 });
  const named = fc.record({ name });
  const counterListener = fc.record({ name, listenerId: bytes });
  const withXid = fc.record({ xid });
  const supportsDuplicates = version >= 40 ? fc.boolean() : fc.constant(false);
  const multimapKey = fc.record({ key: bytes, supportsDuplicates });
  const multimapEntry = fc.record({
    key: bytes,
    expiration: expiration(version),
    value: bytes,
    supportsDuplicates,
  });
  const prepare = { xid, onePhase: fc.boolean(), modifications: few(modification(version)) };
  const startWrite = { key: bytes, expiration: expiration(version), entryVersion: long };
  return {
    put: write,
    get: key,
    putIfAbsent: write,
    replace: write,
    replaceIfUnmodified: fc.record({ ...startWrite, value: bytes }),
    remove: key,
    removeIfUnmodified: fc.record({ key: bytes, entryVersion: long }),
    containsKey: key,
    getWithVersion: key,
    clear: nothing,
    stats: nothing,
    ping: nothing,
    bulkGet: fc.record({ count: vInt }),
    getWithMetadata: key,
    bulkGetKeys: fc.record({ scope: vInt }),
    query: fc.record({ query: bytes }),
    authMechList: nothing,
    auth: fc.record({ mechanism: name, response: bytes }),
    addClientListener: fc.record({
      listenerId: bytes,
      includeState: fc.boolean(),
      filter: factory,
      converter: factory,
      useRawData: version >= 21 ? fc.boolean() : fc.constant(false),
      interests: version >= 26 ? fc.nat(15) : fc.constant(0),
    }),
    removeClientListener: listenerId,
    size: nothing,
    exec: fc.record({ task: name, taskParams: few(param) }),
    putAll: fc.record({ expiration: expiration(version), entries: few(keyValue) }),
    getAll: fc.record({ keys: few(bytes) }),
    iterationStart: fc.record({
      segments: maybe(bytes),
      filterConverter: factory,
      batchSize: vInt,
      includeMetadata: version >= 24 ? fc.boolean() : fc.constant(false),
    }),
    iterationNext: iterationId,
    iterationEnd: iterationId,
    getStream: fc.record({ key: bytes, offset: vInt }),
    putStream: fc.record({ ...startWrite, chunks: few(filled) }),
    startPutStream: fc.record(startWrite),
    nextPutStream: fc.record({ streamId: i32, last: fc.boolean(), chunk: bytes }),
    endPutStream: streamId,
    startGetStream: fc.record({ key: bytes, batchSize: vInt }),
    nextGetStream: streamId,
    endGetStream: streamId,
    addBloomNearCacheListener: fc.record({ listenerId: bytes, bits: vInt }),
    updateBloomFilter: fc.record({ filter: bytes }),
    prepareTx: fc.record(prepare),
    commitTx: withXid,
    rollbackTx: withXid,
    forgetTx: withXid,
    fetchTxRecovery: nothing,
    prepareTx2: fc.record({ ...prepare, recoverable: fc.boolean(), timeoutMs: long }),
    counterCreate: fc.record({ name, configuration }),
    counterGetConfiguration: named,
    counterIsDefined: named,
    counterAddAndGet: fc.record({ name, delta: long }),
    counterReset: named,
    counterGet: named,
    counterCas: fc.record({ name, expected: long, update: long }),
    counterAddListener: counterListener,
    counterRemoveListener: counterListener,
    counterRemove: named,
    counterGetNames: nothing,
    counterGetAndSet: fc.record({ name, update: long }),
    multimapGet: multimapKey,
    multimapGetWithMetadata: multimapKey,
    multimapPut: multimapEntry,
    multimapRemoveKey: multimapKey,
    multimapRemoveEntry: multimapEntry,
    multimapSize: fc.record({ supportsDuplicates }),
    multimapContainsEntry: multimapEntry,
    multimapContainsKey: multimapKey,
    multimapContainsValue: fc.record({
      expiration: expiration(version),
      value: bytes,
      supportsDuplicates,
    }),
  };
}

/** Any request of that operation and protocol version. */
export function requestArbitrary(op: RequestOp, version: number): fc.Arbitrary<HotRodRequest> {
  const header = fc.record({
    id: fc.nat(Number.MAX_SAFE_INTEGER),
    version: fc.constant(version),
    cache: name,
    flags: fc.nat(0x3f),
    intelligence: fc.integer({ min: 1, max: 3 }),
    topologyId: vInt,
    keyMediaType: version >= 28 ? mediaType : fc.constant(undefined),
    valueMediaType: version >= 28 ? mediaType : fc.constant(undefined),
    params: version >= 40 ? few(param) : fc.constant([]),
  });
  return fc
    .tuple(header, requestBodies(version)[op] as fc.Arbitrary<object>)
    .map(([it, body]) => ({ op, header: it, ...body }) as HotRodRequest);
}

function responseBodies(version: number, status: number): Bodies<ResponseBodies> {
  const ok = status === Status.Ok;
  const nothing = fc.constant({});
  const ifOk = <T>(item: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
    ok ? item : fc.constant(undefined);
  const hasPrevious = status === Status.OkWithPrevious || status === Status.NotExecutedWithPrevious;
  const previous = fc.record({
    previous: hasPrevious
      ? fc.record({ metadata: version >= 40 ? metadata : fc.constant(undefined), value: bytes })
      : fc.constant(undefined),
  });
  const entry = fc.record({ entry: ifOk(fc.record({ metadata, value: bytes })) });
  const xaCode = fc.record({ xaCode: ifOk(i32) });
  const counter = fc.record({ value: ifOk(long) });
  const result = fc.record({ result: ifOk(fc.boolean()) });
  const size = fc.record({ size: vLong });
  const array = fc.record({ result: bytes });
  const iterationEntry = (values: number) =>
    fc.record({
      metadata: version >= 25 ? maybe(metadata) : fc.constant(undefined),
      key: bytes,
      values: fc.array(bytes, { minLength: values, maxLength: values }),
    });
  const part = { streamId: i32, complete: fc.boolean(), value: bytes };
  return {
    put: previous,
    get: fc.record({ value: ifOk(bytes) }),
    putIfAbsent: previous,
    replace: previous,
    replaceIfUnmodified: previous,
    remove: previous,
    removeIfUnmodified: previous,
    containsKey: nothing,
    getWithVersion: fc.record({ entry: ifOk(fc.record({ entryVersion: long, value: bytes })) }),
    clear: nothing,
    stats: fc.record({ stats: few(fc.tuple(name, name)).map((pairs) => new Map(pairs)) }),
    ping: fc.record({
      keyMediaType: version >= 29 ? mediaType : fc.constant(undefined),
      valueMediaType: version >= 29 ? mediaType : fc.constant(undefined),
      server:
        version >= 30
          ? fc.record({ version: fc.nat(255), opcodes: few(fc.nat(0xffff)) })
          : fc.constant(undefined),
    }),
    bulkGet: fc.record({ entries: few(keyValue) }),
    getWithMetadata: entry,
    bulkGetKeys: fc.record({ keys: few(bytes) }),
    query: array,
    authMechList: fc.record({ mechanisms: few(name) }),
    auth: fc.record({ complete: fc.boolean(), challenge: bytes }),
    addClientListener: nothing,
    removeClientListener: nothing,
    size,
    exec: array,
    putAll: nothing,
    getAll: fc.record({ entries: few(keyValue) }),
    iterationStart: fc.record({ iterationId: name }),
    iterationNext: fc.record({
      finishedSegments: bytes,
      entries: (version >= 24 ? fc.integer({ min: 1, max: 20 }) : fc.constant(1)).chain((values) =>
        fc.array(iterationEntry(values), { maxLength: 5 }),
      ),
    }),
    iterationEnd: nothing,
    getStream: entry,
    putStream: previous,
    startPutStream: fc.record({ streamId: i32 }),
    nextPutStream: previous,
    endPutStream: nothing,
    startGetStream: fc.record({ part: ifOk(fc.record({ ...part, metadata })) }),
    nextGetStream: fc.record({ part: ifOk(fc.record(part)) }),
    endGetStream: nothing,
    addBloomNearCacheListener: nothing,
    updateBloomFilter: nothing,
    prepareTx: xaCode,
    commitTx: xaCode,
    rollbackTx: xaCode,
    forgetTx: xaCode,
    fetchTxRecovery: fc.record({ xids: few(xid) }),
    prepareTx2: xaCode,
    counterCreate: nothing,
    counterGetConfiguration: fc.record({ configuration: ifOk(configuration) }),
    counterIsDefined: nothing,
    counterAddAndGet: counter,
    counterReset: nothing,
    counterGet: counter,
    counterCas: counter,
    counterAddListener: nothing,
    counterRemoveListener: nothing,
    counterRemove: nothing,
    counterGetNames: fc.record({ names: few(name) }),
    counterGetAndSet: counter,
    multimapGet: fc.record({ values: ifOk(few(bytes)) }),
    multimapGetWithMetadata: fc.record({
      entry: ifOk(fc.record({ metadata, values: few(bytes) })),
    }),
    multimapPut: nothing,
    multimapRemoveKey: result,
    multimapRemoveEntry: result,
    multimapSize: size,
    multimapContainsEntry: result,
    multimapContainsKey: result,
    multimapContainsValue: result,
  };
}

const topology = (intelligence: number) =>
  maybe(
    fc.record({
      id: vInt,
      servers: few(fc.record({ host: name, port: fc.nat(0xffff) })),
      hash:
        intelligence === 3
          ? fc.oneof(
              fc.record({
                hashFunction: fc.constant(0),
                segmentCount: vInt,
                owners: fc.constant([]),
              }),
              fc
                .array(fc.array(fc.nat(300), { maxLength: 4 }), { maxLength: 40 })
                .map((owners) => ({ hashFunction: 3, segmentCount: owners.length, owners })),
            )
          : fc.constant(undefined),
    }),
  );

/** Any response to a request of that operation, protocol version and intelligence. */
export function responseArbitrary(
  op: RequestOp,
  version: number,
  intelligence: number,
): fc.Arbitrary<HotRodResponse> {
  return fc.constantFrom(0, 1, 2, 3, 4, 5).chain((status) =>
    fc
      .tuple(
        fc.record({
          id: fc.nat(Number.MAX_SAFE_INTEGER),
          status: fc.constant(status),
          topology: topology(intelligence),
        }),
        responseBodies(version, status)[op] as fc.Arbitrary<object>,
      )
      .map(([header, body]) => ({ op, header, ...body }) as HotRodResponse),
  );
}

const eventHeader = fc.record({
  id: fc.nat(Number.MAX_SAFE_INTEGER),
  status: fc.constant(0),
  topology: fc.constant(undefined),
});

/** Any event or error. */
export const unaskedArbitrary: fc.Arbitrary<HotRodResponse> = fc.oneof(
  fc
    .record({
      op: fc.constantFrom("created", "modified", "removed", "expired"),
      header: eventHeader,
      listenerId: bytes,
      custom: fc.nat(2),
      retried: fc.boolean(),
      data: bytes,
      entryVersion: long,
    })
    .map((event) => ({
      ...event,
      entryVersion:
        event.custom === 0 && (event.op === "created" || event.op === "modified")
          ? event.entryVersion
          : undefined,
    })),
  fc.record({
    op: fc.constant("counterEvent" as const),
    header: eventHeader,
    counter: name,
    listenerId: bytes,
    states: fc.nat(255),
    oldValue: long,
    newValue: long,
  }),
  fc.record({
    op: fc.constant("error" as const),
    header: fc.record({
      id: fc.nat(1000),
      status: fc.integer({ min: 0x81, max: 0x88 }),
      topology: fc.constant(undefined),
    }),
    message: name,
  }),
);
