import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CuttableProxy } from "../../deploy/lab/cuttable-proxy.ts";
import { NatsServer } from "../../deploy/lab/nats-server.ts";
import type { LeafRemote } from "../../deploy/lab/nats-server.ts";
import { deniedOnLeaf } from "../../deploy/nats/server-config.ts";
import type { Config } from "../../topology/config/config.ts";
import { parseConfig } from "../../topology/config/parse-config.ts";
import { JavaClient } from "./java-client.ts";
import type { JavaEntry } from "./java-client.ts";
import { until } from "./linked-sites.ts";
import { ReplicatedSite, startNodes } from "./replicated-site.ts";
import type { SiteSpec } from "./replicated-site.ts";

/** What the sites of a test are started with. */
export interface ReplicatedSitesOptions {
  readonly sites: readonly SiteSpec[];
  /** Rules of `policies`, one a line. */
  readonly policies: readonly string[];
  readonly preset?: "keycloak";
  /** The text of `limits: { ... }` between its braces. */
  readonly limits?: string;
  /** Of the Java client, which reads whole caches as text. */
  readonly javaHeapMib?: number;
}

/** What `level` waits for. */
export interface LevelOptions {
  readonly sites?: readonly ReplicatedSite[];
  readonly timeoutMs?: number;
  readonly mediaType?: string;
  /** Longest difference of two sites' expiries, ms: each reads whole seconds. */
  readonly expiryToleranceMs?: number;
}

/** JetStream reserves a log's bytes, so a test's logs are small; none is reached by accident. */
const LIMITS = "logMaxBytes: 256MiB";

/**
 * Two or three sites with real servers: each its own nats-server, its Infinispan (or embedded cache) and its Isthmus, one leaf
 * link between each two through a proxy that can be cut, and one Java client for all.
 */
export class ReplicatedSites implements AsyncDisposable {
  readonly all: readonly ReplicatedSite[];
  readonly java: JavaClient;
  /** Holds isthmus.yaml, the ledgers and the processes' logs. */
  readonly folder: string;
  readonly #links: ReadonlyMap<string, CuttableProxy>;
  readonly #options: ReplicatedSitesOptions;
  #policies: readonly string[];
  #generation = 0;

  private constructor(
    options: ReplicatedSitesOptions,
    parts: {
      all: readonly ReplicatedSite[];
      links: ReadonlyMap<string, CuttableProxy>;
      folder: string;
      java: JavaClient;
    },
  ) {
    this.#options = options;
    this.#policies = options.policies;
    this.all = parts.all;
    this.#links = parts.links;
    this.folder = parts.folder;
    this.java = parts.java;
  }

  /** Starts all servers, but no Isthmus: see {@link run}. */
  static async start(options: ReplicatedSitesOptions): Promise<ReplicatedSites> {
    const folder = mkdtempSync(join(tmpdir(), "isthmus-sites-"));
    const names = options.sites.map((site) => site.name);
    const links = new Map<string, CuttableProxy>();
    const all: ReplicatedSite[] = [];
    const java = await JavaClient.start(options.javaHeapMib);
    const nodes = Promise.all(options.sites.map(startNodes));
    const natsServers: NatsServer[] = [];
    for (const [i, site] of names.entries()) {
      const leafRemotes: LeafRemote[] = [];
      for (const [j, hub] of natsServers.entries()) {
        const link = await CuttableProxy.start(hub.leafPort);
        links.set(linkName(site, names[j] ?? ""), link);
        const others = names.filter((name) => name !== site && name !== names[j]);
        leafRemotes.push({ url: link.url, denied: deniedOnLeaf(site, others) });
      }
      const isolatesLeafs = names.length > 2;
      natsServers.push(await NatsServer.start({ domain: site, leafRemotes, isolatesLeafs }));
      const nats = natsServers[i];
      const spec = options.sites[i];
      if (nats === undefined || spec === undefined) throw new Error("a site without a server");
      all.push(new ReplicatedSite(spec, { nats, nodes: (await nodes)[i] ?? [], folder, java }));
    }
    return new ReplicatedSites(options, { all, links, folder, java });
  }

  get file(): string {
    return join(this.folder, "isthmus.yaml");
  }

  site(name: string): ReplicatedSite {
    const found = this.all.find((site) => site.name === name);
    if (found === undefined) throw new Error(`no site ${name}`);
    return found;
  }

  /** The link between two sites. */
  link(one: string, other: string): CuttableProxy {
    const link = this.#links.get(linkName(one, other)) ?? this.#links.get(linkName(other, one));
    if (link === undefined) throw new Error(`no link between ${one} and ${other}`);
    return link;
  }

  /** Cuts every link. */
  cut(): void {
    for (const link of this.#links.values()) link.cut();
  }

  heal(): void {
    for (const link of this.#links.values()) link.heal();
  }

  /** Writes isthmus.yaml (with other policies, from now on, if given) and reads it. */
  configure(policies?: readonly string[]): Config {
    this.#policies = policies ?? this.#policies;
    const { preset, limits } = this.#options;
    const source = `apiVersion: isthmus/v1
name: test
${preset === undefined ? "" : `preset: ${preset}`}
sites:
${this.all.map((site) => site.yaml(this.#generation)).join("\n")}
policies:
${this.#policies.map((rule) => `  - ${rule}`).join("\n")}
limits: { ${[LIMITS, limits].filter((l) => l !== undefined).join(", ")} }
`;
    writeFileSync(this.file, source);
    const read = parseConfig(source, { file: "isthmus.yaml", directory: this.folder });
    if (read.config === undefined) throw new Error(JSON.stringify(read.diagnostics));
    return read.config;
  }

  /** Starts every site's Isthmus in this process and waits until each cache is live and each log is received. */
  async run(policies?: readonly string[]): Promise<void> {
    const config = this.configure(policies);
    for (const site of this.all) if (!site.isRunning) site.start(config);
    await this.live();
  }

  /** Waits until each cache of each site in this process is live, and each log received. */
  async live(sites: readonly ReplicatedSite[] = this.all): Promise<void> {
    for (const site of sites)
      await until(`${site.name} is live`, async () => {
        const { caches, inbounds } = site.site;
        const agents = [...caches.values()].map((c) => c.agent).filter((a) => a !== undefined);
        if (inbounds.some((inbound) => inbound.state !== "receiving")) return false;
        return agents.length > 0 && agents.every((agent) => agent.state === "live");
      });
  }

  /** Stops every site's Isthmus. */
  async stop(): Promise<void> {
    for (const site of this.all) await site.stop();
  }

  /** Empties ledgers (not caches, not logs) for what starts next. */
  newLedgers(): void {
    this.#generation += 1;
  }

  /** Waits until nothing of a cache is under way at the sites in this process: captured, sent, applied and confirmed. */
  async settled(
    cache: string,
    { sites = this.all, timeoutMs = 30_000 }: LevelOptions = {},
  ): Promise<void> {
    const open = () =>
      sites.filter((site) => site.isInProcess).map((site) => [site.name, backlog(site, cache)]);
    const isEmpty = () => open().every(([, left]) => left === "");
    let last = "";
    await until(
      `${cache} is settled`,
      async () => {
        if (isEmpty()) return true;
        last = JSON.stringify(open());
        throw new Error(last);
      },
      timeoutMs,
    );
  }

  /**
   * Waits until a cache is settled and holds the same keys, values and expiries at all sites, as the Java client reads them.
   * Resolves with what they hold, by the key's hex. (I2)
   */
  async level(cache: string, options: LevelOptions = {}): Promise<Map<string, JavaEntry>> {
    const { sites = this.all, timeoutMs = 30_000, mediaType, expiryToleranceMs } = options;
    return until(
      `${cache} is the same at ${sites.map((site) => site.name).join(", ")}`,
      async () => {
        await this.settled(cache, options);
        const [first, ...others] = await Promise.all(
          sites.map(async (site) =>
            (await site.cache(localNameOf(site, cache), mediaType)).entries(),
          ),
        );
        if (first === undefined) throw new Error("no sites");
        for (const other of others) {
          const fault = difference(first, other, expiryToleranceMs);
          if (fault !== undefined) throw new Error(fault);
        }
        return first;
      },
      timeoutMs,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.all.map((site) => site.stop()));
    await this.java[Symbol.asyncDispose]();
    for (const link of this.#links.values()) await link[Symbol.asyncDispose]();
    for (const { nats } of this.all) await nats[Symbol.asyncDispose]();
    const nodes = this.all.flatMap((site) => site.nodes);
    // Nothing in them is worth an orderly end, which takes seconds.
    await Promise.all(nodes.map((node) => node.kill()));
    await Promise.all(nodes.map((node) => node[Symbol.asyncDispose]()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const linkName = (dialing: string, hub: string): string => `${dialing}-${hub}`;

/** What a site has still to do for a cache; "" nothing. */
function backlog(site: ReplicatedSite, cache: string): string {
  const { agent, unconfirmed, receivers } = site.handled(cache);
  const left: string[] = [];
  if (agent === undefined) return "";
  if (agent.gap !== undefined) left.push(`gap: ${agent.gap.reason}`);
  if (agent.dirty > 0) left.push(`${agent.dirty} dirty`);
  if (agent.outboxRows > 0) left.push(`${agent.outboxRows} to publish`);
  for (const [target, waiting] of unconfirmed) {
    const { mutations } = waiting.atRisk();
    if (mutations > 0) left.push(`${mutations} not confirmed by ${target}`);
  }
  for (const receiver of receivers) {
    if (!receiver.isIdle) left.push(`applying from ${receiver.origin}`);
  }
  return left.join(", ");
}

function localNameOf(site: ReplicatedSite, cache: string): string {
  if (!site.isInProcess) return cache;
  return site.handled(cache).policy.rename.get(site.name) ?? cache;
}

/** What two sites' entries differ in, the first three of it; undefined: in nothing. */
export function difference(
  one: ReadonlyMap<string, JavaEntry>,
  other: ReadonlyMap<string, JavaEntry>,
  toleranceMs = 1_100,
): string | undefined {
  const faults: string[] = [];
  for (const key of new Set([...one.keys(), ...other.keys()])) {
    const [a, b] = [one.get(key), other.get(key)];
    const name = Buffer.from(key, "hex").toString("latin1");
    if (a === undefined || b === undefined) {
      faults.push(`${name} is only at the ${a === undefined ? "second" : "first"}`);
    } else if (!a.value.equals(b.value)) {
      faults.push(`${name} is ${text(a.value)} and ${text(b.value)}`);
    } else if (Math.abs(expiry(a) - expiry(b)) > toleranceMs || a.maxIdleS !== b.maxIdleS) {
      faults.push(
        `${name} ends ${expiry(a) - expiry(b)} ms apart, idle ${a.maxIdleS} ${b.maxIdleS}`,
      );
    }
  }
  if (faults.length === 0) return undefined;
  return `${faults.length} keys differ of ${one.size} and ${other.size}: ${faults.slice(0, 3).join("; ")}`;
}

const text = (bytes: Buffer): string => JSON.stringify(bytes.toString("latin1").slice(0, 40));

/** When an entry ends by its lifespan, ms; 0 never. */
export const expiry = ({ created, lifespanS }: JavaEntry): number =>
  lifespanS < 0 ? 0 : created + lifespanS * 1_000;
