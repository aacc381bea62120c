import { connectNats } from "../../gateway/link/connect.ts";
import type { NatsLink } from "../../gateway/link/connect.ts";
import { NatsLogMirror } from "../../gateway/link/log-mirror.ts";
import type { LogLimits } from "../../gateway/link/site-log.ts";
import { NatsSiteLog } from "../../gateway/link/site-log.ts";
import { NatsServer } from "../../deploy/lab/nats-server.ts";
import { CuttableProxy } from "../../deploy/lab/cuttable-proxy.ts";
import { MemoryLogger, realClock, realRandom } from "./real-time.ts";

/** Small limits that no test reaches by accident. */
export const TEST_LIMITS: LogLimits = {
  maxAgeMs: 3_600_000,
  maxBytes: 1024 * 1024 * 1024,
  replicas: 1,
};

/** Connects to a server as the process of a site would. */
export async function linkTo(
  server: NatsServer,
  site: string,
  logger = new MemoryLogger(),
): Promise<NatsLink> {
  const settings = { site, servers: [server.url], domain: site };
  const tools = { clock: realClock, random: realRandom, logger };
  return connectNats(settings, tools, 20_000, new AbortController().signal);
}

/** One site: its server, its process's connection, and its own log (not made yet). */
class LinkedSite {
  readonly server: NatsServer;
  readonly logger: MemoryLogger;
  readonly link: NatsLink;
  readonly log: NatsSiteLog;

  constructor(server: NatsServer, link: NatsLink, logger: MemoryLogger) {
    this.server = server;
    this.logger = logger;
    this.link = link;
    this.log = new NatsSiteLog(link, TEST_LIMITS);
  }

  static async connect(server: NatsServer, site: string): Promise<LinkedSite> {
    const logger = new MemoryLogger();
    return new LinkedSite(server, await linkTo(server, site, logger), logger);
  }
}

/** Two sites, each with a real nats-server, and one leaf link from lon to nyc through a proxy that can be cut. */
export class LinkedSites implements AsyncDisposable {
  readonly nyc: LinkedSite;
  readonly lon: LinkedSite;
  readonly leaf: CuttableProxy;
  /** Of nyc's log, at lon. */
  readonly mirrorAtLon: NatsLogMirror;
  /** Of lon's log, at nyc. */
  readonly mirrorAtNyc: NatsLogMirror;

  private constructor(nyc: LinkedSite, lon: LinkedSite, leaf: CuttableProxy) {
    this.nyc = nyc;
    this.lon = lon;
    this.leaf = leaf;
    const nycOrigin = { site: "nyc", domain: "nyc" };
    const lonOrigin = { site: "lon", domain: "lon" };
    this.mirrorAtLon = new NatsLogMirror(lon.link, nycOrigin, TEST_LIMITS);
    this.mirrorAtNyc = new NatsLogMirror(nyc.link, lonOrigin, TEST_LIMITS);
  }

  static async start(options: { syncInterval?: string } = {}): Promise<LinkedSites> {
    const nyc = await NatsServer.start({ domain: "nyc", ...options });
    const leaf = await CuttableProxy.start(nyc.leafPort);
    const lon = await NatsServer.start({ domain: "lon", leafRemotes: [leaf.url], ...options });
    const sites = [LinkedSite.connect(nyc, "nyc"), LinkedSite.connect(lon, "lon")] as const;
    return new LinkedSites(await sites[0], await sites[1], leaf);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.nyc.link.close(), this.lon.link.close()]);
    await this.leaf[Symbol.asyncDispose]();
    await this.lon.server[Symbol.asyncDispose]();
    await this.nyc.server[Symbol.asyncDispose]();
  }
}

/** Resolves with the first defined, non-false answer of `ask`, which is asked again and again. @throws Error after `timeoutMs` */
export async function until<T>(
  what: string,
  ask: () => Promise<T | undefined | false>,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    await realClock.sleep(20);
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}; last: ${String(last)}`, { cause: last });
}
