import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import { NatsServer } from "../../deploy/lab/nats-server.ts";
import { systemClock, systemRandom } from "../../deploy/site/system.ts";
import { HotRodPool } from "../../site-agent/connector/pool.ts";
import { MemoryLogger } from "../support/real-time.ts";

const CLI = fileURLToPath(new URL("../../../deploy/bin/isthmus.mjs", import.meta.url));

/** Flags of Node for the sites' processes, to profile them: `BENCH_NODE_FLAGS="--cpu-prof --cpu-prof-dir=DIR"`. */
const NODE_FLAGS = process.env["BENCH_NODE_FLAGS"]?.split(" ") ?? [];

/** The cache that is written and read. */
export const CACHE = "bench";

/** Two sites as an operator runs them: real Infinispan, real nats-server, a process each; nothing shared but the machine. */
export class BenchSites implements AsyncDisposable {
  readonly folder: string;
  readonly caches: readonly [InfinispanServer, InfinispanServer];
  readonly #nats: readonly [NatsServer, NatsServer];
  readonly #sites: readonly ChildProcess[];

  private constructor(
    folder: string,
    caches: readonly [InfinispanServer, InfinispanServer],
    nats: readonly [NatsServer, NatsServer],
    sites: readonly ChildProcess[],
  ) {
    this.folder = folder;
    this.caches = caches;
    this.#nats = nats;
    this.#sites = sites;
  }

  static async start(heapMib: number): Promise<BenchSites> {
    const folder = mkdtempSync(join(tmpdir(), "isthmus-bench-"));
    const nyc = await NatsServer.start({ domain: "nyc" });
    const lon = await NatsServer.start({ domain: "lon", leafRemotes: [nyc.leafUrl] });
    const cache = { mediaType: "application/x-protostream", statistics: true } as const;
    const [a, b] = await Promise.all(
      ["nyc", "lon"].map((name) =>
        InfinispanServer.start({ name, heapMib, caches: { [CACHE]: cache } }),
      ),
    );
    if (a === undefined || b === undefined) throw new Error("no Infinispan");
    const file = join(folder, "isthmus.yaml");
    writeFileSync(
      file,
      `apiVersion: isthmus/v1
sites:
  nyc: { cache: { servers: ["${a.address}"] }, nats: { servers: ["${nyc.url}"] }, data: ${folder}/nyc }
  lon: { cache: { servers: ["${b.address}"] }, nats: { servers: ["${lon.url}"] }, data: ${folder}/lon }
policies:
  - { match: ${CACHE}, mode: async }
`,
    );
    const sites = ["nyc", "lon"].map((name) => {
      const child = spawn(
        process.execPath,
        [...NODE_FLAGS, CLI, "run", "--site", name, "-f", file],
        {
          stdio: ["ignore", "ignore", "pipe"],
        },
      );
      child.stderr.pipe(createWriteStream(join(folder, `${name}.log`)));
      return child;
    });
    return new BenchSites(folder, [a, b], [nyc, lon], sites);
  }

  /** A client of one site's Infinispan. */
  client(site: 0 | 1): HotRodPool {
    const servers = [{ host: "127.0.0.1", port: this.caches[site].port }];
    const logger = new MemoryLogger();
    return new HotRodPool({ servers, clock: systemClock, random: systemRandom, logger });
  }

  /** Private anonymous memory of one site's process, bytes. */
  rssAnon(site: 0 | 1): number {
    const status = readFileSync(`/proc/${this.#sites[site]?.pid ?? 0}/status`, "utf8");
    return Number(/RssAnon:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#sites) {
      if (child.exitCode !== null) continue;
      child.kill("SIGTERM");
      await once(child, "exit");
    }
    for (const server of [...this.caches, ...this.#nats]) await server[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
