import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { RequestBodies, ResponseOf } from "../../topology/hotrod/messages.ts";
import type { RequestOp } from "../../topology/hotrod/opcodes.ts";
import {
  CACHE_CONNECT_TIMEOUT_MS,
  CACHE_CONNECTIONS_PER_SERVER,
  CACHE_NOT_READY_MAX_MS,
  CACHE_NOT_READY_MIN_MS,
  CACHE_PROBE_TIMEOUT_MS,
  CACHE_RETRY_MAX_MS,
  CACHE_RETRY_MIN_MS,
} from "../../topology/limits.ts";
import type { Clock, Logger, Random } from "../../topology/ports.ts";
import { CONNECTION_LIMITS, HotRodConnection } from "./connection.ts";
import type { ConnectionLimits, RequestScope } from "./connection.ts";
import { handshake } from "./handshake.ts";
import { PoolServer } from "./pool-server.ts";
import type { RetryLimits } from "./pool-server.ts";
import type { SaslLogin } from "./sasl/mechanism.ts";
import { addressText, openSocket } from "./socket.ts";
import type { ServerAddress, TlsOptions } from "./socket.ts";

/** Bounds of a pool; the defaults are in topology/limits.ts. */
export interface PoolLimits extends ConnectionLimits, RetryLimits {
  readonly connectionsPerServer: number;
  readonly connectTimeoutMs: number;
  readonly probeTimeoutMs: number;
}

const POOL_LIMITS: PoolLimits = {
  ...CONNECTION_LIMITS,
  connectionsPerServer: CACHE_CONNECTIONS_PER_SERVER,
  connectTimeoutMs: CACHE_CONNECT_TIMEOUT_MS,
  retryMinMs: CACHE_RETRY_MIN_MS,
  retryMaxMs: CACHE_RETRY_MAX_MS,
  notReadyMinMs: CACHE_NOT_READY_MIN_MS,
  notReadyMaxMs: CACHE_NOT_READY_MAX_MS,
  probeTimeoutMs: CACHE_PROBE_TIMEOUT_MS,
};

/** How to reach one site's cache servers, and what the client is made of. */
export interface PoolOptions {
  /** Servers of one cluster: any of them answers for all. */
  readonly servers: readonly ServerAddress[];
  readonly auth?: SaslLogin | undefined;
  readonly tls?: TlsOptions | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly limits?: Partial<PoolLimits> | undefined;
}

/** Operations that change nothing: safe to send again. */
const REPEATABLE: ReadonlySet<RequestOp> = new Set(["getWithMetadata", "containsKey", "ping"]);

/**
 * A few multiplexed connections to each server of a cluster, made when they are needed. An operation takes the connection
 * with the least to do. A server that fails is left alone for a while (doubling, jittered, bounded) and the others carry on.
 *
 * A server that comes back while another works gets nothing but one PING of a cache until it answers that well: cache
 * operations hold up a node that joins its cluster, for minutes. One that says that it is not ready is left alone longer.
 */
export class HotRodPool {
  readonly #options: PoolOptions;
  readonly #limits: PoolLimits;
  readonly #servers: readonly PoolServer[];
  readonly #dedicated = new Set<HotRodConnection>();
  #closed = false;
  /** A cache that a server answered for: what a server that comes back is asked about. */
  #knownCache = "";

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#limits = { ...POOL_LIMITS, ...options.limits };
    const { clock, random } = options;
    this.#servers = options.servers.map(
      (address) => new PoolServer(address, this.#limits, clock, random),
    );
  }

  /** All servers, for messages. */
  get addresses(): string {
    return this.#servers.map((server) => addressText(server.address)).join(", ");
  }

  /**
   * Runs an operation on any server. One that changes nothing is sent again elsewhere when its connection breaks.
   * @throws what {@link HotRodConnection.request} and {@link HotRodPool.connection} throw
   */
  async request<O extends RequestOp>(
    op: O,
    scope: RequestScope,
    body: RequestBodies[O],
  ): Promise<ResponseOf<O>> {
    const connection = this.#leastLoaded() ?? (await this.connection());
    try {
      const response = await connection.request(op, scope, body);
      if (scope.cache !== "") this.#knownCache = scope.cache;
      return response;
    } catch (error) {
      if (connection.isOpen || this.#closed || !mayRepeat(op, error, connection)) throw error;
      return (await this.connection()).request(op, scope, body);
    }
  }

  /**
   * A shared open connection, for what must stay on one (an iteration): the least loaded one; waits for one when there is
   * none.
   * @throws IsthmusError CacheUnreachable, naming each server and its reason; CacheAuthFailed
   */
  async connection(): Promise<HotRodConnection> {
    const ready = this.#leastLoaded();
    if (ready !== undefined) return ready;
    const attempts = this.#servers.map(async (server) => {
      await this.#fill(server);
      if (server.connections.length === 0) throw server.reason;
    });
    // The first that succeeds will do; why all failed is told below.
    await Promise.any(attempts).catch(() => undefined);
    const made = this.#leastLoaded();
    if (made === undefined) throw this.#unreachable();
    return made;
  }

  /** A shared connection to each server, or why there is none, by address. */
  async each(): Promise<Map<string, HotRodConnection | IsthmusError>> {
    const found = new Map<string, HotRodConnection | IsthmusError>();
    await Promise.all(
      this.#servers.map(async (server) => {
        if (server.connections.length === 0) await this.#fill(server);
        const [connection] = server.connections;
        found.set(addressText(server.address), connection ?? server.reason);
      }),
    );
    return found;
  }

  /**
   * A connection of the caller's own, to the first server that takes one, beginning anywhere; to one that comes back only
   * when no other works. The caller closes it.
   */
  async dedicated(): Promise<HotRodConnection> {
    const working = this.#servers.filter((server) => server.isWorking);
    const servers = working.length > 0 ? working : this.#servers;
    const first = Math.floor(this.#options.random.next() * servers.length);
    for (let i = 0; i < servers.length && !this.#closed; i++) {
      const server = servers[(first + i) % servers.length] as PoolServer;
      try {
        const connection = await this.#connect(server);
        this.#dedicated.add(connection);
        void this.#forgetDedicated(server, connection);
        return connection;
      } catch (error) {
        server.lastError = error as IsthmusError;
      }
    }
    throw this.#unreachable();
  }

  /** Closes all connections; what is in flight fails. */
  close(): void {
    this.#closed = true;
    for (const server of this.#servers) for (const connection of server.open) connection.close();
    for (const connection of this.#dedicated) connection.close();
  }

  /** The open connection with the least to do; begins to replace those that are missing, without waiting for them. */
  #leastLoaded(): HotRodConnection | undefined {
    let best: HotRodConnection | undefined;
    for (const server of this.#servers) {
      if (server.open.size < this.#limits.connectionsPerServer) void this.#fill(server);
      // One that just broke is there for a moment still.
      for (const connection of server.open)
        if (connection.isOpen && (best === undefined || connection.load < best.load))
          best = connection;
    }
    return best;
  }

  /** Adds one connection to the server if it may have one more and its pause is over; never rejects. */
  #fill(server: PoolServer): Promise<void> {
    if (server.connecting !== undefined) return server.connecting;
    if (this.#closed || server.isPaused) return Promise.resolve();
    const attempt = async (): Promise<void> => {
      try {
        const connection = await this.#connect(server);
        // Another connection may have been told meanwhile that it is not ready.
        if (server.isPaused) connection.close();
        else {
          server.add(connection);
          void this.#forget(server, connection);
        }
      } catch (error) {
        server.failed(error as IsthmusError);
      }
      server.connecting = undefined;
    };
    server.connecting = attempt();
    return server.connecting;
  }

  async #forget(server: PoolServer, connection: HotRodConnection): Promise<void> {
    const reason = await connection.closed;
    if (connection.foundNotReady) server.foundNotReady(this.#othersWork(server));
    server.lost(connection, reason);
    if (!this.#closed) this.#options.logger.warn({ code: reason.code }, reason.message);
  }

  async #forgetDedicated(server: PoolServer, connection: HotRodConnection): Promise<void> {
    await connection.closed;
    this.#dedicated.delete(connection);
    if (connection.foundNotReady) server.foundNotReady(this.#othersWork(server));
  }

  #othersWork(server: PoolServer): boolean {
    return this.#servers.some((other) => other !== server && other.isWorking);
  }

  /** Opens, logs in, pings. @throws IsthmusError CacheUnreachable, CacheAuthFailed, HotRodServer, HotRodTimeout */
  async #connect(server: PoolServer): Promise<HotRodConnection> {
    const { auth, tls, clock, random } = this.#options;
    const address = addressText(server.address);
    const { connectTimeoutMs } = this.#limits;
    const socket = await openSocket(server.address, tls, clock, connectTimeoutMs).catch(
      (error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        throw new IsthmusError(ErrorCode.CacheUnreachable, `${address}: ${why}`, { cause: error });
      },
    );
    const connection = new HotRodConnection(socket, address, clock, this.#limits);
    const cancel = clock.after(connectTimeoutMs, () =>
      connection.close(`no end of the login within ${connectTimeoutMs} ms`),
    );
    try {
      await handshake(connection, auth, random);
      await this.#probe(server, connection);
      if (this.#closed) throw new IsthmusError(ErrorCode.CacheUnreachable, `${address}: closed`);
      return connection;
    } catch (error) {
      connection.close();
      if (connection.foundNotReady) server.foundNotReady(this.#othersWork(server));
      throw (error as IsthmusError).code === ErrorCode.HotRodTimeout
        ? await connection.closed
        : error;
    } finally {
      cancel();
    }
  }

  /**
   * Asks a server that comes back while another works for a cache that this client uses.
   * @throws IsthmusError what {@link HotRodConnection.request} throws; HotRodTimeout
   */
  async #probe(server: PoolServer, connection: HotRodConnection): Promise<void> {
    const cache = this.#knownCache;
    if (!server.isDoubted || cache === "" || !this.#othersWork(server)) return;
    const { probeTimeoutMs } = this.#limits;
    const cancel = this.#options.clock.after(probeTimeoutMs, () => {
      connection.close(`not ready: no answer to PING of "${cache}" within ${probeTimeoutMs} ms`);
    });
    try {
      await connection.request("ping", { cache }, {});
    } catch (error) {
      server.foundNotReady(true);
      // It may be gone everywhere: then the next attempt asks for another one, that was used since.
      if ((error as IsthmusError).code === ErrorCode.CacheMissing) this.#knownCache = "";
      throw error;
    } finally {
      cancel();
    }
  }

  /** A refused login counts more than a server that is away: it does not mend itself. */
  #unreachable(): IsthmusError {
    if (this.#closed) return new IsthmusError(ErrorCode.CacheUnreachable, "the client is closed");
    const reasons = this.#servers.map((server) => server.reason);
    const refused = reasons.find((reason) => reason.code === ErrorCode.CacheAuthFailed);
    if (refused !== undefined) return refused;
    return new IsthmusError(
      ErrorCode.CacheUnreachable,
      `no cache server could be reached: ${reasons.map((reason) => reason.message).join("; ")}`,
      { hint: "check cache.servers and that Infinispan runs", cause: reasons[0] },
    );
  }
}

/** What was never sent, and what changes nothing and has no answer of use. */
function mayRepeat(op: RequestOp, error: unknown, connection: HotRodConnection): boolean {
  if (!(error instanceof IsthmusError)) return false;
  if (error.code === ErrorCode.CacheUnreachable) return true;
  const isLost = error.code === ErrorCode.HotRodTimeout || connection.foundNotReady;
  return isLost && REPEATABLE.has(op);
}
