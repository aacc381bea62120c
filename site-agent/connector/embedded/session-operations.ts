import type { HotRodRequest, RequestOf } from "../../../topology/hotrod/messages.ts";
import { OPCODES, Status, VERSION_MAX } from "../../../topology/hotrod/opcodes.ts";
import type { RequestOp } from "../../../topology/hotrod/opcodes.ts";
import type { Clock, Logger } from "../../../topology/ports.ts";
import type { Caches } from "./caches.ts";
import type { Iterations } from "./iterations.ts";
import type { Listeners, SendEvent } from "./listeners.ts";
import { OperationError } from "./operation-error.ts";
import { CACHE_OPS, isCacheRequest, operate } from "./operations.ts";
import type { Answer } from "./operations.ts";

/** What the connections of one server share. */
export interface ServerState {
  readonly caches: Caches;
  readonly listeners: Listeners;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly bootId: string;
  /** When the server started, by the monotonic clock. */
  readonly startedMs: number;
}

/** What one connection's operations work with. */
export interface Session {
  readonly server: ServerState;
  readonly iterations: Iterations;
  /** The connection's listeners are those that send by this. */
  readonly send: SendEvent;
}

type SessionOp =
  | "ping"
  | "stats"
  | "authMechList"
  | "exec"
  | "addClientListener"
  | "removeClientListener"
  | "addBloomNearCacheListener"
  | "updateBloomFilter"
  | "iterationStart"
  | "iterationNext"
  | "iterationEnd";

const OPERATIONS: {
  readonly [O in SessionOp]: (session: Session, request: RequestOf<O>) => Answer<O>;
} = {
  ping({ server }, { header }) {
    const cache = header.cache === "" ? undefined : server.caches.get(header.cache);
    return {
      status: Status.Ok,
      keyMediaType: cache?.keyMediaType,
      valueMediaType: cache?.valueMediaType,
      server: { version: VERSION_MAX, opcodes: OPCODES_KNOWN },
    };
  },

  stats({ server }, { header }) {
    const { caches, clock, startedMs, bootId } = server;
    const cache = caches.get(header.cache);
    const uptimeMs = clock.monotonic() - startedMs;
    return { status: Status.Ok, stats: cache.counters.toMap(cache.size, uptimeMs, bootId) };
  },

  authMechList: () => ({ status: Status.Ok, mechanisms: [] }),

  exec: ({ server }, request) => ({ status: Status.Ok, result: server.caches.execute(request) }),

  addClientListener({ server, send }, request) {
    server.listeners.add(server.caches.get(request.header.cache), request, send);
    return { status: Status.Ok };
  },

  removeClientListener({ server }, { listenerId }) {
    return { status: server.listeners.remove(listenerId) ? Status.Ok : Status.NotExecuted };
  },

  addBloomNearCacheListener({ server, send }, request) {
    server.listeners.addNearCache(server.caches.get(request.header.cache), request, send);
    return { status: Status.Ok };
  },

  updateBloomFilter: () => ({ status: Status.Ok }),

  iterationStart({ server, iterations }, request) {
    return iterations.start(server.caches.get(request.header.cache), request);
  },

  iterationNext: ({ iterations }, request) => iterations.next(request.iterationId),

  iterationEnd: ({ iterations }, request) => iterations.end(request.iterationId),
};

/** What PING says that the server can do. */
const OPCODES_KNOWN: readonly number[] = [
  ...CACHE_OPS,
  ...(Object.keys(OPERATIONS) as SessionOp[]),
].map((op) => OPCODES[op][0]);

/** Does one request. @throws OperationError if it cannot be done */
export function perform(session: Session, request: HotRodRequest): { readonly status: number } {
  const { caches, clock } = session.server;
  if (isCacheRequest(request)) {
    return operate(caches.get(request.header.cache), request, clock.now());
  }
  // The table's types say that operation and request belong together; TypeScript cannot follow it over a union.
  const operations = OPERATIONS as Partial<
    Record<RequestOp, (session: Session, request: HotRodRequest) => Answer<SessionOp>>
  >;
  const operation = operations[request.op];
  if (operation !== undefined) return operation(session, request);
  throw new OperationError(
    Status.ServerError,
    `the embedded cache does not do '${request.op}'; use an Infinispan server for it`,
  );
}
