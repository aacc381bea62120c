import { assert, ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { JAVA_OBJECT } from "../../topology/hotrod/media-type.ts";
import type { MediaType } from "../../topology/hotrod/media-type.ts";
import type { ResponseOf } from "../../topology/hotrod/messages.ts";
import { Status } from "../../topology/hotrod/opcodes.ts";
import { CACHE_SCAN_BATCH } from "../../topology/limits.ts";
import type { Key, ValueHash } from "../../topology/version/entry.ts";
import type {
  CacheConnector,
  CacheEvent,
  CacheInfo,
  CacheListener,
  CacheState,
  Clock,
  Random,
  ServerRuns,
  WriteOutcome,
} from "../../topology/ports.ts";
import type { RequestScope } from "./connection.ts";
import { entryState, wireExpiration } from "./entry-state.ts";
import { addListener } from "./listener.ts";
import type { HotRodPool } from "./pool.ts";
import { scan } from "./scan.ts";
import type { Scanned } from "./scan.ts";
import { serverRuns, topologyId } from "./server-run.ts";

/** What a {@link HotRodCache} is made of. */
export interface HotRodCacheOptions {
  readonly name: string;
  readonly pool: HotRodPool;
  readonly clock: Clock;
  readonly random: Random;
  readonly hash: (mediaType: string, value: Uint8Array) => ValueHash;
}

/** What Infinispan's "no media type" is called. */
const UNKNOWN_TYPE = "application/unknown";

/**
 * One cache of an Infinispan, over Hot Rod. Keys and values travel in the cache's own storage media types, so that the
 * server never converts them: bytes are never altered (I8).
 */
export class HotRodCache implements CacheConnector {
  readonly #options: HotRodCacheOptions;
  #scope: RequestScope | undefined;
  #mediaType = UNKNOWN_TYPE;
  /** What every server told while the cluster had this topology. */
  #runs: { readonly topology: number; readonly runs: ServerRuns } | undefined;

  constructor(options: HotRodCacheOptions) {
    this.#options = options;
  }

  async open(): Promise<CacheInfo> {
    const { name, pool } = this.#options;
    const answer = await pool.request("ping", { cache: name }, {}).catch((error: unknown) => {
      throw isMissing(error) ? missing(name, pool.addresses, error) : error;
    });
    const { keyMediaType, valueMediaType } = answer;
    if (isObject(keyMediaType) || isObject(valueMediaType))
      throw new IsthmusError(
        ErrorCode.CacheObjectStorage,
        `cache "${name}" at ${pool.addresses} stores Java objects (${JAVA_OBJECT.name}), which cannot be copied byte for byte`,
        { hint: `give it an encoding such as application/x-protostream, or set its mode to off` },
      );
    const scope = { cache: name, keyMediaType, valueMediaType };
    // PING is answered to anyone; whether this user may read shows here, not at the first mutation.
    await pool.request("containsKey", scope, { key: Buffer.from([0]) });
    this.#scope = scope;
    this.#mediaType = mediaTypeText(valueMediaType);
    this.#runs = undefined;
    return { mediaType: this.#mediaType, runs: await this.runs() };
  }

  async runs(): Promise<ServerRuns> {
    const { name, pool, clock } = this.#options;
    const servers = await pool.each();
    const connections = [...servers.values()].filter((found) => "request" in found);
    const [connection] = connections;
    const topology = connection && (await topologyId(connection, name).catch(() => undefined));
    const known = this.#runs;
    if (topology !== undefined && known?.topology === topology) return known.runs;
    const runs = await serverRuns(servers, name, clock);
    // Statistics are collected from the whole cluster: not again until a server comes or goes, once all have told.
    const isWhole = topology !== undefined && runs.size === servers.size;
    this.#runs = isWhole ? { topology, runs } : undefined;
    return runs;
  }

  read(key: Key): Promise<CacheState | undefined> {
    const body = { key: Buffer.from(key, "latin1") };
    return this.#options.pool.request("getWithMetadata", this.#opened(), body).then(stateOf);
  }

  write(
    key: Key,
    expected: bigint | "missing",
    value: Uint8Array,
    expiry: { lifespanMs: number; maxIdleMs: number },
  ): Promise<WriteOutcome> {
    const { pool } = this.#options;
    const body = {
      key: Buffer.from(key, "latin1"),
      expiration: wireExpiration(expiry),
      value: Buffer.from(value.buffer, value.byteOffset, value.byteLength),
    };
    const scope = this.#opened();
    const request = (): Promise<{ header: { status: number } }> => {
      if (expected === "missing") return pool.request("putIfAbsent", scope, body);
      // The server finds no entry without a version equal to any version, 0 included.
      if (expected === 0n) return pool.request("replace", scope, body);
      return pool.request("replaceIfUnmodified", scope, { ...body, entryVersion: expected });
    };
    return request().then(outcomeOf);
  }

  remove(key: Key, expected: bigint): Promise<WriteOutcome> {
    const { pool } = this.#options;
    const body = { key: Buffer.from(key, "latin1") };
    const scope = this.#opened();
    if (expected === 0n) return pool.request("remove", scope, body).then(outcomeOf);
    return pool
      .request("removeIfUnmodified", scope, { ...body, entryVersion: expected })
      .then(outcomeOf);
  }

  async listen(onEvent: (event: CacheEvent) => void): Promise<CacheListener> {
    const { pool, random, hash } = this.#options;
    const scope = this.#opened();
    const mediaType = this.#mediaType;
    return addListener({
      connection: await pool.dedicated(),
      scope,
      id: random.bytes(16),
      hash: (value) => hash(mediaType, value),
      onEvent,
    });
  }

  async *scan(signal: AbortSignal): AsyncGenerator<readonly Scanned[]> {
    const scope = this.#opened();
    if (signal.aborted) return;
    yield* scan(await this.#options.pool.connection(), scope, CACHE_SCAN_BATCH, signal);
  }

  #opened(): RequestScope {
    assert(this.#scope !== undefined, () => `cache ${this.#options.name} is used before open()`);
    return this.#scope;
  }
}

function stateOf({ entry }: ResponseOf<"getWithMetadata">): CacheState | undefined {
  return entry === undefined ? undefined : entryState(entry.metadata, entry.value);
}

function outcomeOf({ header: { status } }: { header: { status: number } }): WriteOutcome {
  return status === Status.Ok || status === Status.OkWithPrevious ? "done" : "lost";
}

function isObject(type: MediaType | undefined): boolean {
  return type?.name === JAVA_OBJECT.name;
}

/** The type with its parameters, which are part of what the bytes mean. */
function mediaTypeText(type: MediaType | undefined): string {
  if (type === undefined) return UNKNOWN_TYPE;
  const name = type.name === "" ? `predefined-${type.id}` : type.name;
  return [name, ...type.params.map(([param, value]) => `${param}=${value}`)].join("; ");
}

function isMissing(error: unknown): boolean {
  return error instanceof IsthmusError && error.code === ErrorCode.CacheMissing;
}

function missing(name: string, addresses: string, cause: unknown): IsthmusError {
  return new IsthmusError(
    ErrorCode.CacheMissing,
    `cache "${name}" does not exist at ${addresses}`,
    {
      hint: "create the cache, or set its mode to off",
      cause,
    },
  );
}
