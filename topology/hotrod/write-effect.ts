import type { HotRodRequest, HotRodResponse, KeyValue, RequestOf, Xid } from "./messages.ts";
import { Flag, type RequestOp, Status } from "./opcodes.ts";

/** What a request changes in its cache once it is answered as done. */
export interface WriteEffect {
  /** undefined: keys that the request does not name. */
  readonly keys: readonly Buffer[] | undefined;
  /** The largest of its values. */
  readonly valueBytes: number;
  /** Its answer tells whether it was this request that removed the key. */
  readonly isUse?: boolean;
  /** A transaction that is prepared by it, and may be committed with it. */
  readonly prepares?: string;
  /** A transaction that is committed by it: its caches are those of the requests that prepared it. */
  readonly commits?: string;
}

const UNNAMED: WriteEffect = { keys: undefined, valueBytes: 0 };

type EffectOf<O extends RequestOp> = (request: RequestOf<O>) => WriteEffect | undefined;

const onEntry = ({ key, value }: KeyValue): WriteEffect => ({
  keys: [key],
  valueBytes: value.length,
});
/** Without its value an answer tells this too, but whoever does not ask for it does not care. */
const onRemoved = ({ key, header }: RequestOf<"remove">): WriteEffect => ({
  keys: [key],
  valueBytes: 0,
  isUse: (header.flags & Flag.ForceReturnValue) !== 0,
});
const onUnnamed = (): WriteEffect => UNNAMED;
const onPrepared = ({ xid }: { readonly xid: Xid }): WriteEffect => ({
  ...UNNAMED,
  prepares: xidText(xid),
});
const xidText = ({ format, transaction, branch }: Xid): string =>
  [format, transaction.toString("hex"), branch.toString("hex")].join(":");

/** Operations that are missing here change no entry of a cache. */
const EFFECTS: { readonly [O in RequestOp]?: EffectOf<O> } = {
  put: onEntry,
  putIfAbsent: onEntry,
  replace: onEntry,
  replaceIfUnmodified: onEntry,
  remove: onRemoved,
  removeIfUnmodified: ({ key }) => ({ keys: [key], valueBytes: 0, isUse: true }),
  putAll: ({ entries }) => ({
    keys: entries.map(({ key }) => key),
    valueBytes: entries.reduce((most, { value }) => Math.max(most, value.length), 0),
  }),
  putStream: ({ key, chunks }) => ({
    keys: [key],
    valueBytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0),
  }),
  query: ({ query }) => (mayDelete(query) ? UNNAMED : undefined),
  // Tasks that begin so manage caches and schemas; any other is a script, which may do anything.
  exec: ({ task }) => (task.startsWith("@@") ? undefined : UNNAMED),
  clear: onUnnamed,
  multimapPut: onUnnamed,
  multimapRemoveKey: onUnnamed,
  multimapRemoveEntry: onUnnamed,
  prepareTx: onPrepared,
  prepareTx2: onPrepared,
  commitTx: ({ xid }) => ({ ...UNNAMED, commits: xidText(xid) }),
};

/**
 * What a request changes; undefined: nothing. The parts of a value that travels in several requests, `startPutStream` and
 * `nextPutStream`, are told by {@link PutStreams}, because only the first of them has the key. Counters are no cache's
 * entries. A query that cannot be read may delete. Source: `CacheRequestProcessor.java`, `QueryRequest.java`.
 */
export function writeEffect(request: HotRodRequest): WriteEffect | undefined {
  const effect = EFFECTS[request.op] as
    | ((it: HotRodRequest) => WriteEffect | undefined)
    | undefined;
  return effect?.(request);
}

const QUERY_FIELD = 0x0a;
const JSON_START = 0x7b;

/** A `QueryRequest` begins with its text, in protobuf; a client of JSON sends an object. */
function mayDelete(query: Buffer): boolean {
  if (query[0] === QUERY_FIELD) {
    let at = 1;
    while ((query[at] ?? 0) >= 0x80) at += 1;
    return isDelete(query.toString("utf8", at + 1));
  }
  if (query[0] !== JSON_START) return true;
  const text = jsonText(query.toString("utf8"));
  return text === undefined || isDelete(text);
}

/** undefined: it cannot be told. */
function jsonText(json: string): string | undefined {
  try {
    const { query, queryString } = JSON.parse(json) as Record<string, unknown>;
    const [text, other] = query === undefined ? [queryString] : [query, queryString];
    return typeof text === "string" && other === undefined ? text : undefined;
  } catch {
    return undefined;
  }
}

const isDelete = (text: string): boolean => /^\s*delete\b/i.test(text);

const DONE: ReadonlySet<number> = new Set([
  Status.Ok,
  Status.OkWithPrevious,
  Status.OkObjectStorage,
  Status.OkWithPreviousObjectStorage,
]);

/** Whether an answer says that the write was done. An error does not, though the write may have been done all the same. */
export const saysDone = ({ op, header }: HotRodResponse): boolean =>
  op !== "error" && DONE.has(header.status);

/**
 * Whether a write with this answer may have changed something for the other sites. A remove of a key that is not there does
 * so where this site alone has no copy, because its cache came back empty.
 */
export const mayHaveChanged = (response: HotRodResponse): boolean =>
  saysDone(response) ||
  (response.op === "remove" && response.header.status === Status.KeyDoesNotExist);

/** The values that are being sent in parts over one connection (protocol 4.1), by the stream's id. */
export class PutStreams {
  readonly #streams = new Map<number, { readonly key: Buffer; bytes: number }>();

  /** Streams that have begun and not ended. */
  get size(): number {
    return this.#streams.size;
  }

  /** The server answered a `startPutStream` for this key, of which a copy is kept. */
  started(streamId: number, key: Buffer): void {
    this.#streams.set(streamId, { key: Buffer.from(key), bytes: 0 });
  }

  /** What a part changes: nothing before the last. */
  effect(request: HotRodRequest): WriteEffect | undefined {
    if (request.op === "endPutStream") this.#streams.delete(request.streamId);
    if (request.op !== "nextPutStream") return undefined;
    const stream = this.#streams.get(request.streamId);
    if (stream !== undefined) stream.bytes += request.chunk.length;
    if (!request.last) return undefined;
    this.#streams.delete(request.streamId);
    return stream === undefined ? UNNAMED : { keys: [stream.key], valueBytes: stream.bytes };
  }
}
