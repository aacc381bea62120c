import { setMaxListeners } from "node:events";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import type { CacheAuth, Config, Site as SiteConfig } from "../../topology/config/config.ts";
import { siteNamed } from "../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import {
  CACHE_OPERATION_MS,
  DOOR_OPEN_MS_MAX,
  LEASE_MARGIN_MS,
  NATS_START_WAIT_MS,
} from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import { cachesOf, localName, policyOf } from "../../topology/policy/cache-policy.ts";
import type { Clock, Ledger, Logger, Random } from "../../topology/ports.ts";
import { connectNats, type NatsLink } from "../../gateway/link/connect.ts";
import { NatsBus } from "../../gateway/link/bus.ts";
import { openLeaseStore } from "../../gateway/link/lease-store.ts";
import { Lease } from "../../gateway/link/lease.ts";
import { NatsLogMirror } from "../../gateway/link/log-mirror.ts";
import { NatsSiteLog } from "../../gateway/link/site-log.ts";
import { EmbeddedServer } from "../../site-agent/connector/embedded/embedded-server.ts";
import { natsSettings } from "../nats/settings.ts";
import { HttpServer } from "../http/http-server.ts";
import { OperatorVerbs } from "../operator/operator-verbs.ts";
import { SyncVerbs } from "../operator/sync-verbs.ts";
import { TargetVerbs } from "../operator/target-verbs.ts";
import { readStatus, type StatusSource } from "../status/read-status.ts";
import { serveStatus } from "../status/status-exchange.ts";
import type { ProcessState } from "../status/site-status.ts";
import { HotRodSite } from "../../site-agent/connector/site.ts";
import { FrontDoor } from "../../site-agent/front-door/front-door.ts";
import type { PoolOptions } from "../../site-agent/connector/pool.ts";
import { LmdbLedger } from "../../site-agent/ledger/lmdb-ledger.ts";
import type { Merges } from "./merges.ts";
import { Site } from "./site.ts";
import { KeycloakCaches, WORK_CACHE } from "./keycloak-caches.ts";
import { SiteHolds } from "./site-holds.ts";

/** Which process held the lease last of those that worked on this ledger: its `holderId`. */
const LEASE_HOLDER_FACT = "leaseHolder";

/** What a site's process is started with. */
export interface SiteProcessOptions {
  readonly config: Config;
  readonly site: SiteName;
  readonly merges: Merges;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Wait for the lease instead of failing when another process holds it. */
  readonly standby: boolean;
  /** A ledger that was lost is rebuilt without waiting for these sites. */
  readonly without?: ReadonlySet<SiteName>;
  /** Environment variables: passwords. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The program's version, for status. */
  readonly version?: string;
}

/** One site's process: opens the real parts, runs the site under the lease, ends in good order. */
export class SiteProcess implements StatusSource {
  readonly startedAt: number;
  /** undefined: the file names none, or its cache `work` is not handled. */
  keycloak: KeycloakCaches | undefined;
  readonly #options: SiteProcessOptions;
  readonly #siteConfig: SiteConfig;
  #state: ProcessState = "starting";
  #site: Site | undefined;
  #embedded: { readonly server: EmbeddedServer; readonly port: number } | undefined;
  #link: NatsLink | undefined;

  constructor(options: SiteProcessOptions) {
    this.#options = options;
    this.startedAt = options.clock.now();
    const site = siteNamed(options.config, options.site);
    if (site === undefined) {
      throw new IsthmusError(ErrorCode.UsageInvalid, `the file has no site ${options.site}`);
    }
    this.#siteConfig = site;
  }

  get name(): SiteName {
    return this.#options.site;
  }

  get version(): string {
    return this.#options.version ?? "unknown";
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  get state(): ProcessState {
    return this.#state;
  }

  /** undefined until the process holds the lease. */
  get site(): Site | undefined {
    return this.#site;
  }

  /** Whether the site's NATS is connected. */
  get isConnected(): boolean {
    return this.#link?.connected ?? false;
  }

  /**
   * Runs until the signal aborts, then drains: captures what is dirty, publishes what is queued, gives the lease back.
   *
   * @throws LeaseHeld, LeaseLost, NatsAuthFailed, NatsWrongDomain, and what opening the ledger throws
   */
  async run(signal: AbortSignal): Promise<void> {
    const closing = new Closing();
    try {
      await this.#runOpen(closing, signal);
    } catch (error) {
      // Told to stop while it waited for NATS or for the lease: there is nothing to drain.
      if (!signal.aborted || this.#site !== undefined) throw error;
    } finally {
      await closing.close();
    }
    this.#state = "stopped";
  }

  async #runOpen(stack: Closing, signal: AbortSignal): Promise<void> {
    const { config, site: name, clock, random, logger } = this.#options;
    const ledger = await LmdbLedger.open(this.#siteConfig.data, name, process.pid, {
      logger,
      afterTurn: setImmediate,
    });
    stack.defer(() => ledger.close());
    await this.#startHttp(stack);
    await this.#startEmbedded(stack);
    const cacheSite = new HotRodSite(this.#poolOptions());
    stack.defer(() => cacheSite.close());
    const link = await this.#connect(signal);
    this.#link = link;
    stack.defer(() => link.close());
    const lease = await this.#acquire(link, ledger, signal);
    const limits = {
      maxAgeMs: config.limits.logMaxAgeMs,
      maxBytes: config.limits.logMaxBytes,
      replicas: 1,
    };
    const log = new NatsSiteLog(link, limits);
    const others = config.sites.filter((other) => other.name !== name);
    const mirrors = new Map(
      others.map((other) => {
        const origin = { site: other.name, domain: other.nats.domain };
        return [other.name, new NatsLogMirror(link, origin, limits)] as const;
      }),
    );
    const ports = {
      cacheSite,
      ledger,
      log,
      mirrors,
      bus: new NatsBus(link),
      clock,
      random,
      logger,
    };
    const { merges, without } = this.#options;
    const site = new Site(config, name, ports, { lease, merges, ...(without && { without }) });
    this.#site = site;
    this.#state = "active";
    logger.info({ term: lease.term, unclean: site.wasUnclean }, "active");
    await log.applyLimits();
    await this.#runUnder(lease, site, [...mirrors.values()], signal);
  }

  /** Runs the site while the lease is held; a lost lease ends it at once, a stop drains it first. */
  async #runUnder(
    lease: Lease,
    site: Site,
    mirrors: readonly NatsLogMirror[],
    signal: AbortSignal,
  ): Promise<void> {
    const { logger } = this.#options;
    const ending = new AbortController();
    // Every publish and reader in flight listens to it: bounded by the caches, not by Node's default of ten.
    setMaxListeners(0, ending.signal);
    const leaseEnding = new AbortController();
    const keeping = mirrors.map((mirror) => mirror.run(ending.signal));
    keeping.push(this.#keepKeycloakFresh(site, ending.signal));
    const running = site.run(ending.signal);
    const endStatus = serveStatus(site.ports.bus, site.name, () => readStatus(this));
    const endVerbs = new OperatorVerbs(site).serve();
    const endSync = new SyncVerbs(site).serve();
    const endTargets = new TargetVerbs(site).serve();
    const renewing = lease.run(leaseEnding.signal);
    const asked = new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      signal.addEventListener("abort", () => resolve());
    });
    try {
      await this.#openDoor(site, Promise.race([asked, running, renewing]));
      await Promise.race([asked, running, renewing]);
      this.#state = "stopping";
      await site.frontDoor?.stop();
      const isEmpty = await site.drain();
      ending.abort();
      await running;
      await site.stopped();
      if (isEmpty) logger.info({}, "drained: nothing is left to publish");
      else logger.warn({}, "stopped with changes left to publish; the next start sends them");
    } finally {
      ending.abort();
      leaseEnding.abort();
      await site.frontDoor?.stop();
      endStatus();
      endVerbs();
      endSync();
      endTargets();
      await Promise.allSettled([running, renewing, ...keeping]);
    }
    await renewing;
  }

  async #keepKeycloakFresh(site: Site, signal: AbortSignal): Promise<void> {
    const { keycloak: admin } = this.#siteConfig;
    const work = site.caches.get(WORK_CACHE);
    const agent = work?.agent;
    if (admin === undefined || work === undefined || agent === undefined) return;
    const { clock, random, logger, env } = this.#options;
    const { peerGaps } = work;
    this.keycloak = new KeycloakCaches({
      admin,
      env,
      misses: () => agent.stats.gaps + peerGaps.opened,
      isWhole: () => agent.gap === undefined && peerGaps.size === 0,
      clock,
      random,
      logger,
    });
    await this.keycloak.run(signal);
  }

  /** Once the caches whose writers wait are listened to or missing, or will not be soon; unless the run `ends` before. @throws DoorListen */
  async #openDoor(site: Site, ends: Promise<void>): Promise<void> {
    const { frontDoor } = this.#siteConfig;
    if (frontDoor === undefined) return;
    const { clock, logger } = this.#options;
    const ended = new AbortController();
    const end = (): void => ended.abort();
    ends.then(end, end);
    const until = clock.monotonic() + DOOR_OPEN_MS_MAX;
    while (site.isDeaf && !ended.signal.aborted && clock.monotonic() < until)
      await clock.sleep(20, ended.signal);
    if (ended.signal.aborted) return;
    const { servers, tls: serverTls } = this.#poolOptions();
    const { listen, tls } = frontDoor;
    const holds = new SiteHolds(site);
    const door = new FrontDoor({ listen, tls, servers, serverTls, holds, clock, logger });
    await door.start();
    site.frontDoor = door;
  }

  /** Before NATS is reached: health and status are asked for most while something is away. */
  async #startHttp(stack: Closing): Promise<void> {
    const { clock, logger } = this.#options;
    const { http } = this.#siteConfig;
    if (http === undefined) return;
    const status = () => readStatus(this);
    const server = new HttpServer({ listen: http.listen, status, clock, logger });
    await server.start();
    stack.defer(() => server.close());
  }

  async #startEmbedded(stack: Closing): Promise<void> {
    const { config, site: name, clock, random, logger } = this.#options;
    const { cache } = this.#siteConfig;
    if (cache.kind !== "embedded") return;
    const policies = cachesOf(config).map((cacheName) => policyOf(config, cacheName));
    const names = policies.map((policy) => localName(policy, name));
    const listen = cache.listen ?? { host: "127.0.0.1", port: 0 };
    const embedded = new EmbeddedServer({
      listen,
      caches: names.map((cacheName) => ({ name: cacheName })),
      clock,
      random,
      logger,
    });
    const { port } = await embedded.start();
    stack.defer(() => embedded.stop());
    this.#embedded = { server: embedded, port };
  }

  /** The embedded cache, if the file asks for one, and its port. */
  get embedded(): { readonly server: EmbeddedServer; readonly port: number } | undefined {
    return this.#embedded;
  }

  #poolOptions(): PoolOptions {
    const { clock, random, logger, env, site } = this.#options;
    const { cache } = this.#siteConfig;
    if (cache.kind === "embedded") {
      const host = cache.listen?.host ?? "127.0.0.1";
      return { servers: [{ host, port: this.#embedded?.port ?? 0 }], clock, random, logger };
    }
    const auth = cache.auth === undefined ? undefined : loginOf(cache.auth, env, site);
    const { tls } = cache;
    return {
      servers: cache.servers,
      auth,
      tls:
        tls === undefined
          ? undefined
          : {
              ...(tls.caFile !== undefined && { ca: pem(tls.caFile) }),
              ...(tls.serverName !== undefined && { serverName: tls.serverName }),
              ...(tls.certFile !== undefined && { cert: pem(tls.certFile) }),
              ...(tls.keyFile !== undefined && { key: pem(tls.keyFile) }),
            },
      clock,
      random,
      logger,
    };
  }

  async #connect(signal: AbortSignal): Promise<NatsLink> {
    const { clock, random, logger } = this.#options;
    const settings = natsSettings(this.#siteConfig);
    return connectNats(settings, { clock, random, logger }, NATS_START_WAIT_MS, signal);
  }

  async #acquire(link: NatsLink, ledger: Ledger, signal: AbortSignal): Promise<Lease> {
    const { clock, logger, random, site, standby } = this.#options;
    const overMs = clock.monotonic() + CACHE_OPERATION_MS + LEASE_MARGIN_MS;
    const before = ledger.fact(LEASE_HOLDER_FACT);
    const holder = {
      host: hostname(),
      pid: process.pid,
      startedAt: clock.now(),
      holderId: random.bytes(8).toString("hex"),
    };
    const store = await openLeaseStore(link, 1);
    this.#state = standby ? "standby" : "starting";
    const predecessor =
      typeof before === "string" ? { host: holder.host, holderId: before, overMs } : undefined;
    const acquiring = { site, store, clock, logger, holder, standby, predecessor };
    const lease = await Lease.acquire(acquiring, signal);
    ledger.setFact(LEASE_HOLDER_FACT, holder.holderId);
    await ledger.sync();
    return lease;
  }
}

/** What was opened, closed in the opposite order (Node 20 has no AsyncDisposableStack). */
class Closing {
  readonly #ends: Array<() => Promise<void>> = [];

  defer(end: () => Promise<void>): void {
    this.#ends.push(end);
  }

  async close(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end();
  }
}

function loginOf(
  auth: CacheAuth,
  env: Readonly<Record<string, string | undefined>>,
  site: SiteName,
): PoolOptions["auth"] {
  const { mechanism, username, passwordEnv, realm } = auth;
  const password = passwordEnv === undefined ? undefined : env[passwordEnv];
  if (passwordEnv !== undefined && password === undefined) {
    throw new IsthmusError(
      ErrorCode.CacheAuthFailed,
      `sites.${site}.cache.auth.passwordEnv: the environment variable ${passwordEnv} is not set`,
      { hint: "set it to the password of the cache's user before starting" },
    );
  }
  return {
    mechanism,
    realm,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
}

const pem = (path: string): string => readFileSync(path, "utf8");
