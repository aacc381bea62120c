import { join } from "node:path";
import { parseConfig } from "../../topology/config/parse-config.ts";
import type { Config } from "../../topology/config/config.ts";
import { assert } from "../../topology/errors.ts";
import type { Logger } from "../../topology/ports.ts";
import type { EmbeddedCache } from "../../site-agent/connector/embedded/embedded-cache.ts";
import { loadMerges } from "../site/merges.ts";
import { SiteProcess } from "../site/site-process.ts";
import { systemClock, systemRandom } from "../site/system.ts";
import { CuttableProxy } from "./cuttable-proxy.ts";
import { HotRodWriter } from "./hot-rod-writer.ts";
import { NatsServer } from "./nats-server.ts";

const CACHE = "sessions";
const SITES = ["nyc", "lon"] as const;
type SiteName = (typeof SITES)[number];
/** Longest wait for anything that the demo waits for, ms. */
const WAIT_MS_MAX = 30_000;

/** Paced, so that the lag shown is the way's and not that of a queue in this one process. */
const WRITES_PER_SECOND = 500;

/** What a demo found. */
export interface DemoResult {
  readonly equal: number;
  readonly differ: number;
  readonly lagMsP50: number;
  readonly lagMsP99: number;
  /** From the healed link until both sites were equal. */
  readonly catchUpMs: number;
  readonly conflicts: number;
}

type Say = (line: string) => void;

/**
 * Two sites in one process: embedded caches instead of Infinispan (a double), and real nats-servers with their own JetStream
 * domains, joined by a leaf link that can be cut.
 */
export class Demo implements AsyncDisposable {
  readonly #processes: ReadonlyMap<SiteName, SiteProcess>;
  readonly #writers: ReadonlyMap<SiteName, HotRodWriter>;
  readonly #link: CuttableProxy;
  readonly #end: () => Promise<void>;

  private constructor(
    processes: ReadonlyMap<SiteName, SiteProcess>,
    writers: ReadonlyMap<SiteName, HotRodWriter>,
    link: CuttableProxy,
    end: () => Promise<void>,
  ) {
    this.#processes = processes;
    this.#writers = writers;
    this.#link = link;
    this.#end = end;
  }

  /** Starts everything below `folder`; resolves when both sites replicate. */
  static async start(folder: string, logger: Logger): Promise<Demo> {
    const nyc = await NatsServer.start({ domain: "nyc", folder: join(folder, "nats-nyc") });
    const link = await CuttableProxy.start(nyc.leafPort);
    const lon = await NatsServer.start({
      domain: "lon",
      folder: join(folder, "nats-lon"),
      leafRemotes: [link.url],
    });
    const config = configOf(folder, { nyc: nyc.url, lon: lon.url });
    const merges = await loadMerges(config, folder);
    const stopping = new AbortController();
    const processes = new Map<SiteName, SiteProcess>();
    const running: Promise<void>[] = [];
    for (const site of SITES) {
      const siteProcess = new SiteProcess({
        config,
        site,
        merges,
        clock: systemClock,
        random: systemRandom,
        logger: logger.child({ site }),
        standby: false,
        env: {},
      });
      processes.set(site, siteProcess);
      running.push(siteProcess.run(stopping.signal));
    }
    const failed = Promise.all(running).then(() => undefined);
    await Promise.race([
      failed,
      until("both sites replicate", () => SITES.every((s) => isLive(processes, s))),
    ]);
    const writers = new Map(
      SITES.map((site) => [
        site,
        new HotRodWriter(processes.get(site)?.embedded?.port ?? 0, CACHE, logger),
      ]),
    );
    return new Demo(processes, writers, link, async () => {
      for (const writer of writers.values()) writer.close();
      stopping.abort();
      await Promise.allSettled(running);
      await link[Symbol.asyncDispose]();
      await lon.stop();
      await nyc.stop();
    });
  }

  async run(keys: number, say: Say): Promise<DemoResult> {
    say(
      "two sites, nyc and lon: an embedded cache and a real nats-server each, joined by a leaf link",
    );
    const lags = await this.#writeAndMeasure(keys);
    const [lagMsP50, lagMsP99] = [quantile(lags, 0.5), quantile(lags, 0.99)];
    say(`wrote ${keys} keys at both sites in turn, ${WRITES_PER_SECOND} a second`);
    say(
      `lag from the writer's answer to the other cache: p50 ${ms(lagMsP50)}, p99 ${ms(lagMsP99)}`,
    );
    this.#link.cut();
    say("link cut");
    await this.#writeApart(keys);
    for (const site of SITES) say(`  ${site}: ${this.#atRisk(site)}`);
    const begin = performance.now();
    this.#link.heal();
    await until("both sites are equal", () => this.#isLevel());
    const catchUpMs = performance.now() - begin;
    say(`link healed: both sites level after ${ms(catchUpMs)}`);
    const conflicts = this.#site("nyc").journal.conflicts;
    say(`${conflicts} conflicts, decided by last-writer-wins, the same at both sites`);
    const { equal, differ } = this.#verify();
    return { equal, differ, lagMsP50, lagMsP99, catchUpMs, conflicts };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }

  async #writeAndMeasure(keys: number): Promise<number[]> {
    const answered = new Map<string, number>();
    const arrived = new Map<string, number>();
    const ends = SITES.map((site) =>
      this.#cache(site).subscribe(({ key }) => {
        const name = key.toString();
        if (homeOf(name) !== site && !arrived.has(name)) arrived.set(name, performance.now());
      }),
    );
    const begin = performance.now();
    for (let i = 0; i < keys; i++) {
      const early = begin + (i * 1_000) / WRITES_PER_SECOND - performance.now();
      if (early > 1) await systemClock.sleep(early);
      const key = `session-${SITES[i % 2] ?? ""}-${i}`;
      await this.#writer(homeOf(key)).put(key, `value of ${key}`, i % 3 === 0 ? 600_000 : 0);
      answered.set(key, performance.now());
    }
    await until("every write arrived", () => arrived.size === keys);
    for (const end of ends) end();
    return [...answered].map(([key, at]) => Math.max(0, (arrived.get(key) ?? 0) - at));
  }

  /** While the link is cut: new keys and removes at each site, and the same keys at both. */
  async #writeApart(keys: number): Promise<void> {
    const some = Math.ceil(keys / 10);
    for (const site of SITES) {
      const writer = this.#writer(site);
      for (let i = 0; i < some; i++) await writer.put(`apart-${site}-${i}`, `written at ${site}`);
      for (let i = 0; i < some; i++) {
        const index = 2 * i + SITES.indexOf(site);
        await writer.remove(`session-${site}-${index}`);
      }
      for (let i = 0; i < 10; i++) await writer.put(`contested-${i}`, `${site} wrote this`);
    }
    await until("every change is in the local log", () =>
      SITES.every(
        (site) =>
          this.#handled(site).agent?.outboxRows === 0 && this.#handled(site).agent?.dirty === 0,
      ),
    );
  }

  #atRisk(site: SiteName): string {
    const [target] = this.#handled(site).unconfirmed;
    assert(target !== undefined, "a site without a target");
    const { mutations, bytes } = target[1].atRisk();
    return `${mutations} mutations (${bytes} bytes) that ${target[0]} does not have: lost if ${site} died now`;
  }

  #isLevel(): boolean {
    const settled = SITES.every((site) => {
      const handled = this.#handled(site);
      const confirmed = [...handled.unconfirmed.values()].every((u) => u.atRisk().mutations === 0);
      return confirmed && handled.agent?.dirty === 0;
    });
    return settled && this.#verify().differ === 0;
  }

  #verify(): { equal: number; differ: number } {
    const nyc = this.#cache("nyc");
    const lon = this.#cache("lon");
    let equal = 0;
    let differ = 0;
    const keys = new Set(
      [...nyc.entries(), ...lon.entries()].map(({ key }) => key.toString("latin1")),
    );
    for (const name of keys) {
      const key = Buffer.from(name, "latin1");
      const [a, b] = [nyc.peek(key), lon.peek(key)];
      const same =
        a !== undefined &&
        b !== undefined &&
        a.value.equals(b.value) &&
        Math.abs(a.createdMs + a.lifespanMs - b.createdMs - b.lifespanMs) <= 1_000;
      if (same || (a?.lifespanMs === -1 && b?.lifespanMs === -1 && a.value.equals(b.value)))
        equal += 1;
      else differ += 1;
    }
    return { equal, differ };
  }

  #site(name: SiteName) {
    const site = this.#processes.get(name)?.site;
    assert(site, () => `${name} is not active`);
    return site;
  }

  #handled(name: SiteName) {
    const handled = this.#site(name).caches.get(CACHE);
    assert(handled, () => `${name} does not handle ${CACHE}`);
    return handled;
  }

  #cache(name: SiteName): EmbeddedCache {
    const embedded = this.#processes.get(name)?.embedded;
    assert(embedded, () => `${name} has no embedded cache`);
    return embedded.server.cache(CACHE);
  }

  #writer(name: SiteName): HotRodWriter {
    const writer = this.#writers.get(name);
    assert(writer, () => `no writer for ${name}`);
    return writer;
  }
}

function configOf(folder: string, urls: Record<SiteName, string>): Config {
  const sites = SITES.map(
    (site) => `
  ${site}:
    cache: { kind: embedded }
    nats: { servers: ["${urls[site]}"] }
    data: ${JSON.stringify(join(folder, site))}`,
  ).join("");
  const source = `apiVersion: isthmus/v1
name: demo
sites:${sites}
policies:
  - { match: ${CACHE}, mode: async }
`;
  const { config, diagnostics } = parseConfig(source, { file: "demo.yaml", directory: folder });
  assert(config, () => `the demo's file: ${diagnostics.map((d) => d.message).join("; ")}`);
  return config;
}

function isLive(processes: ReadonlyMap<SiteName, SiteProcess>, name: SiteName): boolean {
  const site = processes.get(name)?.site;
  if (site?.caches.get(CACHE)?.agent?.state !== "live") return false;
  return site.inbounds.every((inbound) => inbound.state === "receiving");
}

const homeOf = (key: string): SiteName => (key.split("-")[1] === "lon" ? "lon" : "nyc");

const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
}

/** Waits for a condition. @throws Error that names it when it does not come true in time */
async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + WAIT_MS_MAX;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error(`waited ${WAIT_MS_MAX} ms in vain: ${what}`);
    await systemClock.sleep(2);
  }
}
