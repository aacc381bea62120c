import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Toxiproxy } from "../../deploy/drills/toxiproxy.ts";
import { freePorts } from "../../deploy/lab/free-ports.ts";
import { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import { NatsServer } from "../../deploy/lab/nats-server.ts";
import { systemClock, systemRandom } from "../../deploy/site/system.ts";
import { HotRodPool } from "../../site-agent/connector/pool.ts";
import { MemoryLogger } from "../support/real-time.ts";
import { slowLink } from "./slow-link.ts";

const CLI = fileURLToPath(new URL("../../../deploy/bin/isthmus.mjs", import.meta.url));

const SITES = ["nyc", "lon"] as const;

/** Flags of Node for the sites' processes, to profile them: `BENCH_NODE_FLAGS="--cpu-prof --cpu-prof-dir=DIR"`. */
const NODE_FLAGS = process.env["BENCH_NODE_FLAGS"]?.split(" ") ?? [];

/** The cache that is written and read. */
export const CACHE = "bench";

/** A cache beside it that Infinispan itself copies to the other site, where the sites are joined so. */
export const BACKED_UP = "backed-up";

/** What a bench's sites are, beside real. */
export interface BenchSitesOptions {
  readonly heapMib: number;
  /** The rule of {@link CACHE}, without its match. */
  readonly rule?: string;
  /** Each site has a front door. */
  readonly frontDoors?: boolean;
  /** How long the link takes, one way, ms. */
  readonly linkMs?: number;
  /** The Infinispans are joined too, over links of their own that take as long, and have {@link BACKED_UP}. */
  readonly crossSite?: boolean;
}

/** Two sites as an operator runs them: real Infinispan, real nats-server, a process each; nothing shared but the machine. */
export class BenchSites implements AsyncDisposable {
  readonly folder: string;
  readonly caches: readonly [InfinispanServer, InfinispanServer];
  readonly #nats: readonly [NatsServer, NatsServer];
  readonly #sites: readonly ChildProcess[];
  readonly #links: readonly Toxiproxy[];
  readonly #doors: readonly number[];

  private constructor(parts: {
    folder: string;
    caches: readonly [InfinispanServer, InfinispanServer];
    nats: readonly [NatsServer, NatsServer];
    sites: readonly ChildProcess[];
    links: readonly Toxiproxy[];
    doors: readonly number[];
  }) {
    this.folder = parts.folder;
    this.caches = parts.caches;
    this.#nats = parts.nats;
    this.#sites = parts.sites;
    this.#links = parts.links;
    this.#doors = parts.doors;
  }

  static async start({
    heapMib,
    rule = "mode: async",
    frontDoors = false,
    linkMs,
    crossSite = false,
  }: BenchSitesOptions): Promise<BenchSites> {
    const folder = mkdtempSync(join(tmpdir(), "isthmus-bench-"));
    const nyc = await NatsServer.start({ domain: "nyc" });
    const links: Toxiproxy[] = [];
    /** A way to a port of 127.0.0.1 that takes as long as the link between the sites. */
    const linkTo = async (port: number): Promise<number> => {
      if (linkMs === undefined) return port;
      const link = await slowLink(port, linkMs, join(folder, `toxiproxy-${links.length}.log`));
      links.push(link);
      return link.port;
    };
    const leaf = `nats://127.0.0.1:${await linkTo(nyc.leafPort)}`;
    const lon = await NatsServer.start({ domain: "lon", leafRemotes: [leaf] });
    const doors = frontDoors ? await freePorts(2) : [];
    const door = (site: 0 | 1) =>
      frontDoors ? `, frontDoor: { listen: "127.0.0.1:${doors[site]}" }` : "";
    const bridges = crossSite ? await freePorts(2) : [];
    const reached = new Map<string, number>();
    for (const [i, name] of SITES.entries())
      if (crossSite) reached.set(name, await linkTo(bridges[i] ?? 0));
    const cache = { mediaType: "application/x-protostream", statistics: true } as const;
    const [a, b] = await Promise.all(
      SITES.map((site, i) =>
        InfinispanServer.start({
          name: site,
          heapMib,
          caches: {
            [CACHE]: cache,
            ...(crossSite && { [BACKED_UP]: { ...cache, backupTo: SITES[1 - i] ?? "" } }),
          },
          ...(crossSite && { crossSite: { site, port: bridges[i] ?? 0, reached } }),
        }),
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
    const sites = SITES.map((name) => {
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
    return new BenchSites({ folder, caches: [a, b], nats: [nyc, lon], sites, links, doors });
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
    for (const link of this.#links) await link[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
