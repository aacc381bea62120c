import { expirationOfMs } from "../../topology/hotrod/expiration.ts";
import { PROTOSTREAM } from "../../topology/hotrod/media-type.ts";
import type { Logger } from "../../topology/ports.ts";
import type { RequestScope } from "../../site-agent/connector/connection.ts";
import { HotRodPool } from "../../site-agent/connector/pool.ts";
import { systemClock, systemRandom } from "../site/system.ts";

/** An application that writes into one cache over Hot Rod: what demo, drills and benches use beside the Java client. */
export class HotRodWriter {
  readonly #pool: HotRodPool;
  readonly #scope: RequestScope;

  constructor(port: number, cache: string, logger: Logger) {
    const servers = [{ host: "127.0.0.1", port }];
    this.#pool = new HotRodPool({ servers, clock: systemClock, random: systemRandom, logger });
    this.#scope = { cache, keyMediaType: PROTOSTREAM, valueMediaType: PROTOSTREAM };
  }

  /** Puts; a lifespan of 0 ms is for ever. */
  async put(key: string, value: string | Buffer, lifespanMs = 0): Promise<void> {
    const expiration = expirationOfMs(lifespanMs, 0);
    const body = { key: Buffer.from(key), value: Buffer.from(value), expiration };
    await this.#pool.request("put", this.#scope, body);
  }

  async remove(key: string): Promise<void> {
    await this.#pool.request("remove", this.#scope, { key: Buffer.from(key) });
  }

  close(): void {
    this.#pool.close();
  }
}
