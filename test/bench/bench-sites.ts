import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Toxiproxy } from "../../deploy/drills/toxiproxy.ts";
import { freePorts } from "../../deploy/lab/free-ports.ts";
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

/** What a bench's sites are, beside real. */
export interface BenchSitesOptions {
  readonly heapMib: number;
  /** The rule of {@link CACHE}, without its match. */
  readonly rule?: string;
  /** Each site has a front door. */
  readonly frontDoors?: boolean;
  /** How long the link takes, one way, ms. */
  readonly linkMs?: number;
}

/** Two sites as an operator runs them: real Infinispan, real nats-server, a process each; nothing shared but the machine. */
export class BenchSites implements AsyncDisposable {
  readonly folder: string;
  readonly caches: readonly [InfinispanServer, InfinispanServer];
  readonly #nats: readonly [NatsServer, NatsServer];
  readonly #sites: readonly ChildProcess[];
  readonly #link: Toxiproxy | undefined;
  readonly #doors: readonly number[];

  private constructor(parts: {
    folder: string;
    caches: readonly [InfinispanServer, InfinispanServer];
    nats: readonly [NatsServer, NatsServer];
    sites: readonly ChildProcess[];
    link: Toxiproxy | undefined;
    doors: readonly number[];
  }) {
    this.folder = parts.folder;
    this.caches = parts.caches;
    this.#nats = parts.nats;
    this.#sites = parts.sites;
    this.#link = parts.link;
    this.#doors = parts.doors;
  }

  static async start({
    heapMib,
    rule = "mode: async",
    frontDoors = false,
    linkMs,
  }: BenchSitesOptions): Promise<BenchSites> {
    const folder = mkdtempSync(join(tmpdir(), "isthmus-bench-"));
    const nyc = await NatsServer.start({ domain: "nyc" });
    const link =
      linkMs === undefined
        ? undefined
        : await Toxiproxy.before(nyc.leafPort, join(folder, "toxiproxy.log"));
    for (const stream of ["upstream", "downstream"] as const)
      await link?.poison("latency", stream, { latency: linkMs ?? 0, jitter: 0 });
    const leaf = link === undefined ? nyc.leafUrl : `nats://127.0.0.1:${link.port}`;
    const lon = await NatsServer.start({ domain: "lon", leafRemotes: [leaf] });
    const doors = frontDoors ? await freePorts(2) : [];
    const door = (site: 0 | 1) =>
      frontDoors ? `, frontDoor: { listen: "127.0.0.1:${doors[site]}" }` : "";
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
  nyc: { cache: { servers: ["${a.address}"] }, nats: { servers: ["${nyc.url}"] }, data: ${folder}/nyc${door(0)} }
  lon: { cache: { servers: ["${b.address}"] }, nats: { servers: ["${lon.url}"] }, data: ${folder}/lon${door(1)} }
policies:
  - { match: ${CACHE}, ${rule} }
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
    return new BenchSites({ folder, caches: [a, b], nats: [nyc, lon], sites, link, doors });
  }

  /** `host:port` of a site's front door. */
  door(site: 0 | 1): string {
    return `127.0.0.1:${this.#doors[site]}`;
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
    await this.#link?.[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
