import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { PROTOSTREAM } from "../../topology/hotrod/media-type.ts";
import { protostreamKey } from "../../topology/key-text.ts";
import type { CacheSite } from "../../topology/ports.ts";
import { valueHash } from "../../topology/version/value-hash.ts";
import { HotRodCache } from "./cache.ts";
import { HotRodPool } from "./pool.ts";
import type { PoolOptions } from "./pool.ts";

/** Where Infinispan keeps the protobuf schemas, by file name. */
const SCHEMAS = "___protobuf_metadata";
/** Infinispan's own caches. */
const INTERNAL_NAME = /^(___|org\.infinispan\.)/;

/** One site's Infinispan, real or embedded, over Hot Rod: its caches share the connections; listeners have their own. */
export class HotRodSite implements CacheSite {
  readonly #options: PoolOptions;
  readonly #pool: HotRodPool;
  readonly #caches = new Map<string, HotRodCache>();

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#pool = new HotRodPool(options);
  }

  cache(localName: string): HotRodCache {
    let cache = this.#caches.get(localName);
    if (cache === undefined) {
      const { clock, random } = this.#options;
      const pool = this.#pool;
      cache = new HotRodCache({ name: localName, pool, clock, random, hash: valueHash });
      this.#caches.set(localName, cache);
    }
    return cache;
  }

  async names(): Promise<readonly string[] | undefined> {
    const task = { task: "@@cache@names", taskParams: [] };
    try {
      const { result } = await this.#pool.request("exec", { cache: "" }, task);
      const names: unknown = JSON.parse(result.toString("utf8"));
      if (!Array.isArray(names)) return undefined;
      return names.map(String).filter((name) => !INTERNAL_NAME.test(name));
    } catch (error) {
      // Not every server knows the task, and not every user may run it.
      if (error instanceof SyntaxError || tellsNothing(error)) return undefined;
      throw error;
    }
  }

  async protobufSchema(file: string): Promise<string | undefined> {
    // The cache stores texts; whoever asks for application/x-protostream gets each as the string that this is there.
    const scope = { cache: SCHEMAS, keyMediaType: PROTOSTREAM, valueMediaType: PROTOSTREAM };
    const key = Buffer.from(protostreamKey(file), "latin1");
    try {
      const { entry } = await this.#pool.request("getWithMetadata", scope, { key });
      if (entry === undefined) return undefined;
      // Only who asks for a schema pays for a protobuf library.
      const wrapped = await import("../../topology/policy/protobuf/wrapped-message.ts");
      return wrapped.protostreamString(entry.value);
    } catch (error) {
      // A server without protobuf has no such cache.
      if (error instanceof IsthmusError && error.code === ErrorCode.CacheMissing) return undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#pool.close();
  }
}

function tellsNothing(error: unknown): boolean {
  return (
    error instanceof IsthmusError &&
    (error.code === ErrorCode.HotRodServer || error.code === ErrorCode.CacheAuthFailed)
  );
}
