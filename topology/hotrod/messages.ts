import type { Expiration } from "./expiration.ts";
import type { MediaType } from "./media-type.ts";
import type { EventOp, RequestOp } from "./opcodes.ts";

/** One of a request's named parameters (protocol 4.0 and later), for example W3C tracing's `traceparent`. */
export interface HeaderParam {
  readonly name: string;
  readonly value: Buffer;
}

/** What every request begins with. */
export interface RequestHeader {
  /** Chosen by the client, 0 to 2^53 - 1; the response repeats it. */
  readonly id: number;
  /** Protocol version: major * 10 + minor, 20 to 41. */
  readonly version: number;
  /** The cache's name; "" is the default cache. */
  readonly cache: string;
  /** Bits of {@link Flag}. */
  readonly flags: number;
  /** One of {@link Intelligence}. */
  readonly intelligence: number;
  /** The topology that the client knows, as an unsigned 32-bit number; 0xffffffff when none. */
  readonly topologyId: number;
  /** Undefined: none named, the cache's storage type. Not on the wire before 2.8. */
  readonly keyMediaType: MediaType | undefined;
  readonly valueMediaType: MediaType | undefined;
  /** Not on the wire before 4.0. */
  readonly params: readonly HeaderParam[];
}

/** A key and its value. */
export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** A listener's filter or converter, by the name under which the server knows it. */
export interface FactoryCall {
  readonly name: string;
  readonly params: readonly Buffer[];
}

/** An XA transaction's id. */
export interface Xid {
  readonly format: number;
  readonly transaction: Buffer;
  readonly branch: Buffer;
}

/** One change of a Hot Rod transaction; `versionRead` and `write` are there as `control` says (1 not read, 2 non existing, 4 remove). */
export interface TxModification {
  readonly key: Buffer;
  readonly control: number;
  readonly versionRead: bigint | undefined;
  readonly write: { readonly expiration: Expiration; readonly value: Buffer } | undefined;
}

/** How a counter was defined; `bounds` and `concurrency` are there as `flags` says (1 weak, 2 bounded, 4 persistent). */
export interface CounterConfiguration {
  readonly flags: number;
  readonly concurrency: number | undefined;
  readonly bounds: { readonly lower: bigint; readonly upper: bigint } | undefined;
  readonly initial: bigint;
}

type NoBody = object;
interface KeyBody {
  readonly key: Buffer;
}
interface WriteBody extends KeyValue {
  readonly expiration: Expiration;
}
interface XidBody {
  readonly xid: Xid;
}
interface PrepareBody extends XidBody {
  readonly onePhase: boolean;
  readonly modifications: readonly TxModification[];
}
interface NameBody {
  readonly name: string;
}
interface CounterListenerBody extends NameBody {
  readonly listenerId: Buffer;
}
interface StreamIdBody {
  readonly streamId: number;
}
/** `supportsDuplicates` is on the wire from 4.0; before that it reads as false. */
interface MultimapBody {
  readonly supportsDuplicates: boolean;
}

/** What each operation's request carries after the header. Entry versions are signed 64-bit numbers, compared for equality only. */
export interface RequestBodies {
  put: WriteBody;
  get: KeyBody;
  putIfAbsent: WriteBody;
  replace: WriteBody;
  replaceIfUnmodified: WriteBody & { readonly entryVersion: bigint };
  remove: KeyBody;
  removeIfUnmodified: KeyBody & { readonly entryVersion: bigint };
  containsKey: KeyBody;
  getWithVersion: KeyBody;
  clear: NoBody;
  stats: NoBody;
  ping: NoBody;
  bulkGet: { readonly count: number };
  getWithMetadata: KeyBody;
  bulkGetKeys: { readonly scope: number };
  /** A protobuf QueryRequest (or JSON). It can delete. */
  query: { readonly query: Buffer };
  authMechList: NoBody;
  auth: { readonly mechanism: string; readonly response: Buffer };
  addClientListener: {
    readonly listenerId: Buffer;
    readonly includeState: boolean;
    readonly filter: FactoryCall | undefined;
    readonly converter: FactoryCall | undefined;
    /** On the wire from 2.1. */
    readonly useRawData: boolean;
    /** Bits of {@link Interest}, 0 for all. On the wire from 2.6. */
    readonly interests: number;
  };
  removeClientListener: { readonly listenerId: Buffer };
  size: NoBody;
  exec: { readonly task: string; readonly taskParams: readonly HeaderParam[] };
  putAll: { readonly expiration: Expiration; readonly entries: readonly KeyValue[] };
  getAll: { readonly keys: readonly Buffer[] };
  iterationStart: {
    /** A bit set, lowest segment first; undefined means all segments. */
    readonly segments: Buffer | undefined;
    readonly filterConverter: FactoryCall | undefined;
    readonly batchSize: number;
    /** On the wire from 2.4. */
    readonly includeMetadata: boolean;
  };
  iterationNext: { readonly iterationId: string };
  iterationEnd: { readonly iterationId: string };
  getStream: KeyBody & { readonly offset: number };
  /** `entryVersion` 0 puts, below 0 puts if absent, above 0 replaces if unmodified. */
  putStream: KeyBody & {
    readonly expiration: Expiration;
    readonly entryVersion: bigint;
    readonly chunks: readonly Buffer[];
  };
  startPutStream: KeyBody & { readonly expiration: Expiration; readonly entryVersion: bigint };
  /** The write is done when `last` is true, and answered as its put would be. */
  nextPutStream: StreamIdBody & { readonly last: boolean; readonly chunk: Buffer };
  endPutStream: StreamIdBody;
  startGetStream: KeyBody & { readonly batchSize: number };
  nextGetStream: StreamIdBody;
  endGetStream: StreamIdBody;
  addBloomNearCacheListener: { readonly listenerId: Buffer; readonly bits: number };
  updateBloomFilter: { readonly filter: Buffer };
  prepareTx: PrepareBody;
  commitTx: XidBody;
  rollbackTx: XidBody;
  forgetTx: XidBody;
  fetchTxRecovery: NoBody;
  prepareTx2: PrepareBody & { readonly recoverable: boolean; readonly timeoutMs: bigint };
  counterCreate: NameBody & { readonly configuration: CounterConfiguration };
  counterGetConfiguration: NameBody;
  counterIsDefined: NameBody;
  counterAddAndGet: NameBody & { readonly delta: bigint };
  counterReset: NameBody;
  counterGet: NameBody;
  counterCas: NameBody & { readonly expected: bigint; readonly update: bigint };
  counterAddListener: CounterListenerBody;
  counterRemoveListener: CounterListenerBody;
  counterRemove: NameBody;
  counterGetNames: NoBody;
  counterGetAndSet: NameBody & { readonly update: bigint };
  multimapGet: KeyBody & MultimapBody;
  multimapGetWithMetadata: KeyBody & MultimapBody;
  multimapPut: WriteBody & MultimapBody;
  multimapRemoveKey: KeyBody & MultimapBody;
  multimapRemoveEntry: WriteBody & MultimapBody;
  multimapSize: MultimapBody;
  multimapContainsEntry: WriteBody & MultimapBody;
  multimapContainsKey: KeyBody & MultimapBody;
  multimapContainsValue: {
    readonly expiration: Expiration;
    readonly value: Buffer;
  } & MultimapBody;
}

/** The request of one operation. */
export type RequestOf<O extends RequestOp> = {
  readonly op: O;
  readonly header: RequestHeader;
} & RequestBodies[O];

/** Any Hot Rod request. */
export type HotRodRequest = { [O in RequestOp]: RequestOf<O> }[RequestOp];

/** What the server tells of an entry beside its value. Pairs are undefined together: no lifespan, no max-idle. */
export interface EntryMetadata {
  /** When the entry was written, in ms since the epoch by the server's clock. */
  readonly createdMs: number | undefined;
  /** Whole seconds, rounded down: a lifespan below a second reads as 0. */
  readonly lifespanSeconds: number | undefined;
  readonly lastUsedMs: number | undefined;
  readonly maxIdleSeconds: number | undefined;
  /** The token: random, equality only. */
  readonly entryVersion: bigint;
}

/** The value before a write, as told when forced; its metadata only from protocol 4.0. */
export interface PreviousValue {
  readonly metadata: EntryMetadata | undefined;
  readonly value: Buffer;
}

/** One server of the cluster, as clients reach it. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** The new topology in a response's header. */
export interface Topology {
  readonly id: number;
  readonly servers: readonly ServerAddress[];
  /** Only for requests of intelligence 3. `owners` holds server indexes by segment; empty when `hashFunction` is 0. */
  readonly hash:
    | {
        readonly hashFunction: number;
        readonly segmentCount: number;
        readonly owners: readonly (readonly number[])[];
      }
    | undefined;
}

/** One entry of an iteration's batch; `values` holds one value unless a projection was asked for. */
export interface IterationEntry {
  readonly metadata: EntryMetadata | undefined;
  readonly key: Buffer;
  readonly values: readonly Buffer[];
}

interface PreviousBody {
  /** There with the statuses ...WithPrevious. */
  readonly previous: PreviousValue | undefined;
}
interface MetadataValue {
  readonly metadata: EntryMetadata;
  readonly value: Buffer;
}
interface StreamPart extends StreamIdBody {
  readonly complete: boolean;
  readonly value: Buffer;
}
interface XaBody {
  readonly xaCode: number | undefined;
}
interface CounterValueBody {
  readonly value: bigint | undefined;
}
interface BooleanBody {
  readonly result: boolean | undefined;
}

/** What each operation's response carries after the header. Undefined: the status says that there is nothing. */
export interface ResponseBodies {
  put: PreviousBody;
  get: { readonly value: Buffer | undefined };
  putIfAbsent: PreviousBody;
  replace: PreviousBody;
  replaceIfUnmodified: PreviousBody;
  remove: PreviousBody;
  removeIfUnmodified: PreviousBody;
  containsKey: NoBody;
  getWithVersion: {
    readonly entry: { readonly entryVersion: bigint; readonly value: Buffer } | undefined;
  };
  clear: NoBody;
  stats: { readonly stats: ReadonlyMap<string, string> };
  ping: {
    /** The cache's storage types, from 2.9. */
    readonly keyMediaType: MediaType | undefined;
    readonly valueMediaType: MediaType | undefined;
    /** From 3.0; undefined before. `opcodes` are those of requests. */
    readonly server: { readonly version: number; readonly opcodes: readonly number[] } | undefined;
  };
  bulkGet: { readonly entries: readonly KeyValue[] };
  getWithMetadata: { readonly entry: MetadataValue | undefined };
  bulkGetKeys: { readonly keys: readonly Buffer[] };
  query: { readonly result: Buffer };
  authMechList: { readonly mechanisms: readonly string[] };
  /** `complete` only says that there is no challenge, not that authentication ended. */
  auth: { readonly complete: boolean; readonly challenge: Buffer };
  addClientListener: NoBody;
  removeClientListener: NoBody;
  size: { readonly size: bigint };
  exec: { readonly result: Buffer };
  putAll: NoBody;
  getAll: { readonly entries: readonly KeyValue[] };
  iterationStart: { readonly iterationId: string };
  /** The end is a batch without entries. */
  iterationNext: { readonly finishedSegments: Buffer; readonly entries: readonly IterationEntry[] };
  iterationEnd: NoBody;
  getStream: { readonly entry: MetadataValue | undefined };
  putStream: PreviousBody;
  startPutStream: StreamIdBody;
  nextPutStream: PreviousBody;
  endPutStream: NoBody;
  startGetStream: {
    readonly part: (StreamPart & { readonly metadata: EntryMetadata }) | undefined;
  };
  nextGetStream: { readonly part: StreamPart | undefined };
  endGetStream: NoBody;
  addBloomNearCacheListener: NoBody;
  updateBloomFilter: NoBody;
  prepareTx: XaBody;
  commitTx: XaBody;
  rollbackTx: XaBody;
  forgetTx: XaBody;
  fetchTxRecovery: { readonly xids: readonly Xid[] };
  prepareTx2: XaBody;
  counterCreate: NoBody;
  counterGetConfiguration: { readonly configuration: CounterConfiguration | undefined };
  counterIsDefined: NoBody;
  counterAddAndGet: CounterValueBody;
  counterReset: NoBody;
  counterGet: CounterValueBody;
  counterCas: CounterValueBody;
  counterAddListener: NoBody;
  counterRemoveListener: NoBody;
  counterRemove: NoBody;
  counterGetNames: { readonly names: readonly string[] };
  counterGetAndSet: CounterValueBody;
  multimapGet: { readonly values: readonly Buffer[] | undefined };
  multimapGetWithMetadata: {
    readonly entry:
      | { readonly metadata: EntryMetadata; readonly values: readonly Buffer[] }
      | undefined;
  };
  multimapPut: NoBody;
  multimapRemoveKey: BooleanBody;
  multimapRemoveEntry: BooleanBody;
  multimapSize: { readonly size: bigint };
  multimapContainsEntry: BooleanBody;
  multimapContainsKey: BooleanBody;
  multimapContainsValue: BooleanBody;
}

/** What every response and event begins with. */
export interface ResponseHeader {
  /** The request's id; events carry 0, those of a listener's initial state the id of the request that added it. */
  readonly id: number;
  /** One of {@link Status}. */
  readonly status: number;
  readonly topology: Topology | undefined;
}

/** The response of one operation that did not fail. */
export type ResponseOf<O extends RequestOp> = {
  readonly op: O;
  readonly header: ResponseHeader;
} & ResponseBodies[O];

/** The answer to any request that failed. */
export interface ErrorResponse {
  readonly op: "error";
  readonly header: ResponseHeader;
  readonly message: string;
}

/** What happened to one entry of a cache, told to one listener. */
export interface CacheEvent {
  readonly op: Exclude<EventOp, "counterEvent">;
  readonly header: ResponseHeader;
  readonly listenerId: Buffer;
  /** 0: `data` is the key; 1: what the converter made, marshalled; 2: what the converter made, raw. */
  readonly custom: number;
  /** The server ran the command again after a change of topology. */
  readonly retried: boolean;
  readonly data: Buffer;
  /** Only of created and modified events with `custom` 0. */
  readonly entryVersion: bigint | undefined;
}

/** What happened to a counter. */
export interface CounterEvent {
  readonly op: "counterEvent";
  readonly header: ResponseHeader;
  readonly counter: string;
  readonly listenerId: Buffer;
  readonly states: number;
  readonly oldValue: bigint;
  readonly newValue: bigint;
}

/** Any Hot Rod event. */
export type HotRodEvent = CacheEvent | CounterEvent;

/** Anything that a server sends. */
export type HotRodResponse =
  | { [O in RequestOp]: ResponseOf<O> }[RequestOp]
  | ErrorResponse
  | HotRodEvent;

/** What the decoder of a response has to know of its request, because the response does not say it. */
export interface RequestContext {
  readonly op: RequestOp;
  readonly version: number;
  readonly intelligence: number;
}
