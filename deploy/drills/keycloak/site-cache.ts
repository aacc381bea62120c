import { HotRodPool } from "../../../site-agent/connector/pool.ts";
import { scan } from "../../../site-agent/connector/scan.ts";
import { PROTOSTREAM } from "../../../topology/hotrod/media-type.ts";
import { protostreamKey, protostreamText } from "../../../topology/key-text.ts";
import type { Logger } from "../../../topology/ports.ts";
import type { Key } from "../../../topology/version/entry.ts";
import { systemClock, systemRandom } from "../../site/system.ts";

/** Entries of one answer. */
const BATCH = 500;

const ignore = () => undefined;
const silent: Logger = {
  error: ignore,
  warn: ignore,
  info: ignore,
  debug: ignore,
  child: () => silent,
};

/** A site's Infinispan itself, past its front door: what is in it, whatever its Keycloak would say. */
export class SiteCache {
  readonly #port: number;

  /** `port` of 127.0.0.1 is where it speaks Hot Rod. */
  constructor(port: number) {
    this.#port = port;
  }

  /** A cache's keys, sorted: strings as they are, messages with `\x` and two hex digits for what is no letter. @throws IsthmusError */
  keys(cache: string): Promise<string[]> {
    return this.#with(async (pool) => {
      const found: string[] = [];
      const { signal } = new AbortController();
      for await (const batch of scan(await pool.connection(), scopeOf(cache), BATCH, signal))
        found.push(...batch.map(({ key }) => textOf(key)));
      return found.sort();
    });
  }

  /** Removes the entry of a string. @throws IsthmusError */
  async remove(cache: string, key: string): Promise<void> {
    const body = { key: Buffer.from(protostreamKey(key), "latin1") };
    await this.#with((pool) => pool.request("remove", scopeOf(cache), body));
  }

  async #with<T>(ask: (pool: HotRodPool) => Promise<T>): Promise<T> {
    const servers = [{ host: "127.0.0.1", port: this.#port }];
    const world = { clock: systemClock, random: systemRandom, logger: silent };
    const pool = new HotRodPool({ servers, ...world });
    try {
      return await ask(pool);
    } finally {
      pool.close();
    }
  }
}

const scopeOf = (cache: string) => ({
  cache,
  keyMediaType: PROTOSTREAM,
  valueMediaType: PROTOSTREAM,
});

const textOf = (key: Key): string =>
  protostreamText(key) ??
  key.replace(/[^\x20-\x7e]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
