import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { STORE_PASSWORD } from "../../deploy/lab/certificates.ts";
import type { Certificates } from "../../deploy/lab/certificates.ts";
import type { SaslMechanism } from "../../deploy/lab/infinispan-config.ts";
import { which } from "../../deploy/lab/which.ts";

/** How a connection of the Java client is made. */
export interface JavaConnectOptions {
  readonly mechanism?: SaslMechanism;
  readonly username?: string;
  readonly password?: string;
  /** For OAUTHBEARER. */
  readonly token?: string;
  /** TLS; the client's certificate is sent with `clientCertificate`. */
  readonly certificates?: Certificates | undefined;
  readonly clientCertificate?: boolean;
  readonly serverName?: string;
  /** HASH_DISTRIBUTION_AWARE by default, as everywhere. */
  readonly intelligence?: "BASIC" | "TOPOLOGY_AWARE" | "HASH_DISTRIBUTION_AWARE";
  /** 2000 by default, as everywhere. */
  readonly socketTimeoutMs?: number;
  /** 3 by default, as everywhere. */
  readonly maxRetries?: number;
}

/** Expiration of a write in ms: 0 is the cache's default (and the default here), -1 is none. */
export interface JavaExpiration {
  readonly lifespanMs?: number;
  readonly maxIdleMs?: number;
}

/** Names of the Java client's flags. */
export type JavaFlag = "FORCE_RETURN_VALUE" | "SKIP_LISTENER_NOTIFICATION" | "SKIP_CACHE_LOAD";

/** A value with what the Java client says about it; times are ms since the epoch, durations s, -1 none. */
export interface JavaEntry {
  readonly value: Buffer;
  readonly version: bigint;
  readonly created: number;
  readonly lifespanS: number;
  readonly lastUsed: number;
  readonly maxIdleS: number;
}

/** A load run: random keys `PREFIX0`.. from many threads. */
export interface JavaLoad {
  readonly threads: number;
  /** Over all threads; 0 is as fast as they go. */
  readonly opsPerSecond: number;
  readonly keys: number;
  readonly valueBytes: number;
  readonly seconds: number;
  readonly removePercent?: number;
  readonly readPercent?: number;
  readonly prefix?: string;
  readonly seed?: number;
}

/** What a load run did; latency counts from when an operation was due, in microseconds. */
export interface JavaLoadResult {
  readonly puts: number;
  readonly removes: number;
  readonly reads: number;
  readonly failures: number;
  readonly elapsedMs: number;
  readonly latencyUs: { p50: number; p90: number; p99: number; p999: number; max: number };
  readonly firstFailure: string | undefined;
}

/** What {@link JavaCache.heldWrites} found. */
export interface JavaHeldWrites {
  /** Writes that were answered as done. */
  readonly done: number;
  readonly failures: number;
  /** Writes that the other cache did not have when they were answered as done. */
  readonly misses: number;
  readonly latencyUs: { p50: number; p99: number; max: number };
  readonly firstFault: string | undefined;
}

/** Writes of every kind: see {@link JavaCache.mixedWrites}. */
export interface JavaMixedWrites {
  readonly seed: number;
  readonly operations: number;
  readonly keys: number;
  readonly threads: number;
  /** Values begin with it. */
  readonly prefix: string;
}

/** What {@link JavaCache.mixedWrites} did. */
export interface JavaMixedWritesResult {
  readonly elapsedMs: number;
  readonly failures: number;
  readonly firstFailure: string | undefined;
  /** By kind: how many changed something, and how many were tried. */
  readonly kinds: ReadonlyMap<string, { readonly done: number; readonly tried: number }>;
}

type Reply = { resolve: (results: string[]) => void; reject: (error: Error) => void };

/** Infinispan's own Hot Rod client in a process of its own: the foreign writer and reader of the live tests. */
export class JavaClient implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<string, Reply>();
  #talk = "";
  #lastId = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    // The end of what the client logs explains a process that ends early.
    child.stderr?.on("data", (chunk: Buffer) => (this.#talk = (this.#talk + chunk).slice(-4000)));
    createInterface({ input: child.stdout! }).on("line", (line) => this.#settle(line));
    const end = () => this.#fail(new Error(`the Java client ended:\n${this.#talk}`));
    child.once("exit", end);
    child.once("error", end);
  }

  /** Resolves once the process takes requests, after about 0.3 s. */
  static async start(heapMib = 256): Promise<JavaClient> {
    const memory = [`-Xmx${heapMib}m`, "-XX:+UseSerialGC"];
    const args = [...memory, "-cp", await which("java-client"), "JavaClient"];
    const child = spawn(await which("java"), args, { stdio: ["pipe", "pipe", "pipe"] });
    const client = new JavaClient(child);
    await new Promise<string[]>((resolve, reject) => client.#waiting.set("0", { resolve, reject }));
    return client;
  }

  /** Connects to servers (`host:port`, comma-separated). @throws Error with the client's own message when the server refuses. */
  async connect(address: string, options: JavaConnectOptions = {}): Promise<JavaConnection> {
    const { certificates, clientCertificate, ...rest } = options;
    const pairs = Object.entries(rest).map(([name, value]) => `${name}=${value}`);
    if (certificates !== undefined) {
      // The client insists on a name to check the server's certificate against.
      if (rest.serverName === undefined) pairs.push("serverName=localhost");
      pairs.push(`trustStore=${certificates.trustStore}`, `storePassword=${STORE_PASSWORD}`);
      if (clientCertificate === true) pairs.push(`keyStore=${certificates.clientStore}`);
    }
    const handle = `c${this.#lastId + 1}`;
    await this.request("connect", [handle, address, ...pairs]);
    return new JavaConnection(this, handle);
  }

  /** One line to the process and its reply's fields. */
  request(verb: string, args: readonly string[]): Promise<string[]> {
    const id = String(++this.#lastId);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin?.write(`${[id, verb, ...args].join("\t")}\n`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }

  #settle(line: string): void {
    const [id = "", outcome, ...results] = line.split("\t");
    const reply = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (outcome === "ok") reply?.resolve(results);
    else reply?.reject(new Error(results.join(" ")));
  }

  #fail(error: Error): void {
    for (const reply of this.#waiting.values()) reply.reject(error);
    this.#waiting.clear();
  }
}

/** One connection of the Java client to a cluster. */
export class JavaConnection {
  /** Its name in the client's process. */
  readonly handle: string;
  readonly #client: JavaClient;

  constructor(client: JavaClient, handle: string) {
    this.#client = client;
    this.handle = handle;
  }

  /** A cache whose keys and values pass as bytes under `mediaType`, which must be the cache's storage type. */
  cache(name: string, mediaType = "application/x-protostream", flags: JavaFlag[] = []): JavaCache {
    const flagList = flags.length === 0 ? "-" : flags.join(",");
    const scope = [this.handle, name, mediaType, flagList];
    return new JavaCache((verb, args) => this.#client.request(verb, [...scope, ...args]));
  }

  /** Closes the connection. */
  async close(): Promise<void> {
    await this.#client.request("disconnect", [this.handle]);
  }
}

/** A cache as the Java client sees it. */
export class JavaCache {
  readonly #send: (verb: string, args: string[]) => Promise<string[]>;

  constructor(send: (verb: string, args: string[]) => Promise<string[]>) {
    this.#send = send;
  }

  /** The previous value, only with the flag FORCE_RETURN_VALUE. */
  async put(key: Uint8Array, value: Uint8Array, e?: JavaExpiration): Promise<Buffer | undefined> {
    return optional(await this.#send("put", [...expiration(e), hex(key), hex(value)]));
  }

  /** The value that was there, only with the flag FORCE_RETURN_VALUE. */
  async putIfAbsent(
    key: Uint8Array,
    value: Uint8Array,
    e?: JavaExpiration,
  ): Promise<Buffer | undefined> {
    return optional(await this.#send("putIfAbsent", [...expiration(e), hex(key), hex(value)]));
  }

  /** The replaced value, only with the flag FORCE_RETURN_VALUE. */
  async replace(
    key: Uint8Array,
    value: Uint8Array,
    e?: JavaExpiration,
  ): Promise<Buffer | undefined> {
    return optional(await this.#send("replace", [...expiration(e), hex(key), hex(value)]));
  }

  /** False when the entry is missing or has another version. */
  async replaceWithVersion(
    key: Uint8Array,
    value: Uint8Array,
    version: bigint,
    e?: JavaExpiration,
  ): Promise<boolean> {
    const args = [...expiration(e), hex(key), hex(value), String(version)];
    return (await this.#send("replaceWithVersion", args))[0] === "true";
  }

  /** The removed value, only with the flag FORCE_RETURN_VALUE. */
  async remove(key: Uint8Array): Promise<Buffer | undefined> {
    return optional(await this.#send("remove", [hex(key)]));
  }

  /** False when the entry is missing or has another version. */
  async removeWithVersion(key: Uint8Array, version: bigint): Promise<boolean> {
    return (await this.#send("removeWithVersion", [hex(key), String(version)]))[0] === "true";
  }

  async putAll(
    entries: readonly (readonly [Uint8Array, Uint8Array])[],
    e?: JavaExpiration,
  ): Promise<void> {
    const flat = entries.flatMap(([key, value]) => [hex(key), hex(value)]);
    await this.#send("putAll", [...expiration(e), ...flat]);
  }

  async clear(): Promise<void> {
    await this.#send("clear", []);
  }

  async get(key: Uint8Array): Promise<Buffer | undefined> {
    return optional(await this.#send("get", [hex(key)]));
  }

  async getWithMetadata(key: Uint8Array): Promise<JavaEntry | undefined> {
    const results = await this.#send("getWithMetadata", [hex(key)]);
    return results.length === 0 ? undefined : entry(results);
  }

  async containsKey(key: Uint8Array): Promise<boolean> {
    return (await this.#send("containsKey", [hex(key)]))[0] === "true";
  }

  async size(): Promise<number> {
    return Number((await this.#send("size", []))[0]);
  }

  /** The STATS operation's pairs. */
  async stats(): Promise<Map<string, string>> {
    const results = await this.#send("stats", []);
    const pairs = new Map<string, string>();
    for (let i = 0; i < results.length; i += 2) pairs.set(results[i] ?? "", results[i + 1] ?? "");
    return pairs;
  }

  /** All entries by iteration with metadata, keyed by the key's hex. */
  async entries(batch = 1000): Promise<Map<string, JavaEntry>> {
    const results = await this.#send("entries", [String(batch)]);
    const all = new Map<string, JavaEntry>();
    const fields = 7;
    for (let i = 0; i < results.length; i += fields) {
      all.set(results[i] ?? "", entry(results.slice(i + 1, i + fields)));
    }
    return all;
  }

  /** Makes the cache, which does not exist yet; `configuration` is Infinispan's own, on one line. */
  async create(configuration: string): Promise<void> {
    await this.#send("createCache", [configuration]);
  }

  /** Adds one value to those of a multimap's key. */
  async multimapPut(key: Uint8Array, value: Uint8Array): Promise<void> {
    await this.#send("multimapPut", [hex(key), hex(value)]);
  }

  /** The values of a multimap's key, in no order. */
  async multimapGet(key: Uint8Array): Promise<Buffer[]> {
    return (await this.#send("multimapGet", [hex(key)])).map((value) => Buffer.from(value, "hex"));
  }

  /** Writes from several threads and looks, at every answer, for what was written in the same cache of another connection. */
  async heldWrites(
    there: JavaConnection,
    writes: number,
    threads: number,
    prefix = "held-",
  ): Promise<JavaHeldWrites> {
    const args = [there.handle, String(writes), String(threads), prefix];
    const results = await this.#send("heldWrites", args);
    const at = (i: number) => Number(results[i]);
    const latencyUs = { p50: at(3), p99: at(4), max: at(5) };
    const firstFault = results[6] === "-" ? undefined : results[6];
    return { done: at(0), failures: at(1), misses: at(2), latencyUs, firstFault };
  }

  /** Writes of every kind to random keys, `putAll` and conditional ones included. */
  async mixedWrites(writes: JavaMixedWrites): Promise<JavaMixedWritesResult> {
    const { seed, operations, keys, threads, prefix } = writes;
    const args = [seed, operations, keys, threads].map(String);
    const [ms, failures, fault, kinds = ""] = await this.#send("mixedWrites", [...args, prefix]);
    const counts = kinds.split(" ").map((each) => {
      const [kind = "", done, tried] = each.split(/[=/]/);
      return [kind, { done: Number(done), tried: Number(tried) }] as const;
    });
    return {
      elapsedMs: Number(ms),
      failures: Number(failures),
      firstFailure: fault === "-" ? undefined : fault,
      kinds: new Map(counts),
    };
  }

  /** Takes the keys `PREFIX0`.. by removes that return what was there, from several threads and one end or the other; resolves with the numbers of those that were there. */
  async takeAll(
    prefix: string,
    count: number,
    threads: number,
    from: "up" | "down",
  ): Promise<{ failures: number; firstFailure: string | undefined; taken: number[] }> {
    const [failures, fault, ...taken] = await this.#send("takeAll", [
      prefix,
      String(count),
      String(threads),
      from,
    ]);
    return {
      failures: Number(failures),
      firstFailure: fault === "-" ? undefined : fault,
      taken: taken.map(Number),
    };
  }

  /** Runs a load beside other requests. */
  async load(load: JavaLoad): Promise<JavaLoadResult> {
    const { threads, opsPerSecond, keys, valueBytes, seconds } = load;
    const { removePercent = 0, readPercent = 0, prefix = "key-", seed = 1 } = load;
    const numbers = [threads, opsPerSecond, keys, valueBytes, seconds, removePercent].map(String);
    const results = await this.#send("load", [
      ...numbers,
      prefix,
      String(seed),
      String(readPercent),
    ]);
    const at = (i: number) => Number(results[i]);
    const latencyUs = { p50: at(4), p90: at(5), p99: at(6), p999: at(7), max: at(8) };
    const firstFailure = results[9] === "-" ? undefined : results[9];
    const counts = {
      puts: at(0),
      removes: at(1),
      failures: at(2),
      elapsedMs: at(3),
      reads: at(10),
    };
    return { ...counts, latencyUs, firstFailure };
  }
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

const expiration = ({ lifespanMs = 0, maxIdleMs = 0 }: JavaExpiration = {}) => [
  String(lifespanMs),
  String(maxIdleMs),
];

function optional([value]: string[]): Buffer | undefined {
  return value === undefined || value === "-" ? undefined : Buffer.from(value, "hex");
}

function entry(fields: string[]): JavaEntry {
  const [value = "", version = "0", created, lifespan, lastUsed, maxIdle] = fields;
  return {
    value: Buffer.from(value, "hex"),
    version: BigInt(version),
    created: Number(created),
    lifespanS: Number(lifespan),
    lastUsed: Number(lastUsed),
    maxIdleS: Number(maxIdle),
  };
}
