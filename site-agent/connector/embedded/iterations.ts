import type { IterationEntry, RequestOf, ResponseOf } from "../../../topology/hotrod/messages.ts";
import { Status } from "../../../topology/hotrod/opcodes.ts";
import { EMBEDDED_BATCH_MAX, EMBEDDED_ITERATIONS_MAX } from "../../../topology/limits.ts";
import type { EmbeddedCache } from "./embedded-cache.ts";
import { metadataOf } from "./entry.ts";
import { OperationError } from "./operation-error.ts";

/** The filter that Java clients ask for when they want the keys alone: it leaves values of no bytes. */
const KEYS_ONLY = "org.infinispan.server.hotrod.HotRodServer$ToEmptyBytesKeyValueFilterConverter";

const EMPTY = Buffer.alloc(0);

interface Iteration {
  readonly cache: EmbeddedCache;
  /** The keys at the start: what is written later need not be seen, what is removed is left out. */
  readonly keys: Iterator<Buffer>;
  readonly batchSize: number;
  readonly includeMetadata: boolean;
  readonly keysOnly: boolean;
}

type Body<O extends "iterationStart" | "iterationNext" | "iterationEnd"> = Omit<
  ResponseOf<O>,
  "op" | "header"
> & { readonly status: number };

/** The iterations of one connection. The cache is not cut into segments: a request for some gets all. */
export class Iterations {
  readonly #open = new Map<string, Iteration>();
  #lastId = 0;

  /** @throws OperationError for a filter other than the one for keys, or when there are too many */
  start(cache: EmbeddedCache, request: RequestOf<"iterationStart">): Body<"iterationStart"> {
    const filter = request.filterConverter?.name;
    if (filter !== undefined && filter !== KEYS_ONLY) {
      throw new OperationError(
        Status.ServerError,
        `the embedded cache has no iteration filter '${filter}'`,
      );
    }
    if (this.#open.size >= EMBEDDED_ITERATIONS_MAX) {
      throw new OperationError(
        Status.ServerError,
        `this connection has ${EMBEDDED_ITERATIONS_MAX} iterations open, which is the limit: end some`,
      );
    }
    this.#lastId += 1;
    const iterationId = String(this.#lastId);
    this.#open.set(iterationId, {
      cache,
      keys: Array.from(cache.entries(), (entry) => entry.key).values(),
      batchSize: Math.min(Math.max(request.batchSize, 1), EMBEDDED_BATCH_MAX),
      includeMetadata: request.includeMetadata,
      keysOnly: filter === KEYS_ONLY,
    });
    return { status: Status.Ok, iterationId };
  }

  /** The next entries; none at the end. */
  next(iterationId: string): Body<"iterationNext"> {
    const iteration = this.#open.get(iterationId);
    if (iteration === undefined) {
      return { status: Status.InvalidIteration, finishedSegments: EMPTY, entries: [] };
    }
    const { cache, keys, batchSize, includeMetadata, keysOnly } = iteration;
    const entries: IterationEntry[] = [];
    while (entries.length < batchSize) {
      const next = keys.next();
      if (next.done === true) break;
      const entry = cache.peek(next.value);
      if (entry === undefined) continue;
      const metadata = includeMetadata ? metadataOf(entry) : undefined;
      entries.push({ metadata, key: entry.key, values: [keysOnly ? EMPTY : entry.value] });
    }
    return { status: Status.Ok, finishedSegments: EMPTY, entries };
  }

  end(iterationId: string): Body<"iterationEnd"> {
    const known = this.#open.delete(iterationId);
    return { status: known ? Status.Ok : Status.InvalidIteration };
  }
}
