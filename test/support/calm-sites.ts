import { decodeRecord } from "../../topology/mutation/batch.ts";
import { parseConfig } from "../../topology/config/parse-config.ts";
import type { Config } from "../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { localName, policyOf } from "../../topology/policy/cache-policy.ts";
import type { CacheConnector, CacheSite, CacheState } from "../../topology/ports.ts";
import type { Asker } from "../../deploy/operator/follow-job.ts";
import { SyncVerbs } from "../../deploy/operator/sync-verbs.ts";
import { TargetVerbs } from "../../deploy/operator/target-verbs.ts";
import type { HandledCache } from "../../deploy/site/handled-cache.ts";
import { Counts } from "../sim/world/counts.ts";
import { SimCache, type SimWorldParts } from "../sim/world/sim-cache.ts";
import { SimCacheServer } from "../sim/world/sim-cache-server.ts";
import { Links } from "../sim/world/sim-links.ts";
import { SimLog } from "../sim/world/sim-log.ts";
import { SimMirror } from "../sim/world/sim-mirror.ts";
import { SimProcess, WallClock } from "../sim/world/sim-process.ts";
import { SimRandom } from "../sim/world/sim-random.ts";
import { SimSite } from "../sim/world/sim-site.ts";
import { SimTime } from "../sim/world/sim-time.ts";

const CALM_CACHE = {
  timeout: 0,
  serverError: 0,
  laggingRead: 0,
  doubledEvent: 0,
  tokenZero: 0,
  clientFirst: 0,
};
const CALM_LOG = { publishTimeout: 0, unreachable: 0 };
/** Virtual time in which whatever a test waits for must have come. */
const PATIENCE_MS = 600_000;

/** A cache's rule in the file. */
export type Rule = string;

/** The real code of some sites on virtual time, with a simulated world around them in which nothing fails by itself. */
export class CalmSites {
  readonly sites: readonly SimSite[];
  readonly links: Links;
  readonly counts = new Counts();
  readonly lines: string[] = [];
  readonly failures: unknown[] = [];
  /** Mutations that each site published. */
  readonly published = new Map<string, number>();
  /** Site and key, joined by a blank, to what its cache says that it holds; undefined: nothing. */
  readonly tampered = new Map<string, string | undefined>();
  /** Sites where the cache does not exist yet, as far as their process can see. */
  readonly missing = new Set<string>();
  readonly #time: SimTime;
  readonly #limits: string;
  /** Sites that answer operators. */
  readonly #served = new WeakSet<object>();

  /** `limits`: the file's, in one line. */
  constructor(names: readonly string[], rule: Rule = "mode: async", seed = 1, limits = "{}") {
    this.#limits = limits;
    const random = new SimRandom(seed);
    this.#time = new SimTime(random.fork());
    const trace = (line: string): void => {
      this.lines.push(`${this.#time.now.toFixed(0)} ${line}`);
    };
    const parts: SimWorldParts = { time: this.#time, random, counts: this.counts, trace };
    this.links = new Links(parts);
    const logs = new Map(names.map((name) => [name, new SimLog(name, parts, CALM_LOG)]));
    this.sites = names.map((name) => {
      const wall = new WallClock(this.#time, 0);
      const nothing = (): void => undefined;
      const options = {
        faults: CALM_CACHE,
        wall,
        onChange: nothing,
        onDeaf: nothing,
        clientFirst: nothing,
      };
      const config = configOf(names, rule, limits);
      const local = localName(policyOf(config, "sessions"), name);
      const caches = new Map([[local, new SimCache(local, parts, options)]]);
      const mirrors = new Map(
        [...logs].flatMap(([origin, log]) =>
          origin === name
            ? []
            : [[origin, new SimMirror(name, log, this.links, CALM_LOG)] as const],
        ),
      );
      const log = logs.get(name);
      if (log === undefined) throw new Error(`no log of ${name}`);
      log.onStored = ({ payload }) => {
        const record = decodeRecord(payload);
        const more = record.kind === "batch" ? record.mutations.length : 0;
        this.published.set(name, (this.published.get(name) ?? 0) + more);
      };
      const ground = {
        name,
        wall,
        caches: new TamperedServer(
          caches,
          random.fork(),
          (key, state) => {
            const as = this.tampered.get(`${name} ${key}`);
            if (as === undefined) return this.tampered.has(`${name} ${key}`) ? undefined : state;
            return state && { ...state, value: Buffer.from(as) };
          },
          () => this.missing.has(name),
        ),
        log,
        mirrors,
        links: this.links,
        parts,
        lease: undefined,
        onFailure: (error: unknown) => this.failures.push(error),
        onCommit: nothing,
        onDeath: nothing,
      };
      return new SimSite(ground, config);
    });
  }

  site(name: string): SimSite {
    const found = this.sites.find((site) => site.name === name);
    if (found === undefined) throw new Error(`no site ${name}`);
    return found;
  }

  /** The file that a site's next process reads. */
  configure(name: string, rule: Rule): void {
    const names = this.sites.map((site) => site.name);
    this.site(name).config = configOf(names, rule, this.#limits);
  }

  /** Tombstones are forced at that age, which a file could not ask for; to be called before the sites start. */
  forceTombstonesAfter(maxAgeMs: number): void {
    for (const site of this.sites) {
      const { limits } = site.config;
      site.config = { ...site.config, limits: { ...limits, tombstones: { maxAgeMs } } };
    }
  }

  handled(name: string): HandledCache {
    const found = this.site(name).site?.caches.get("sessions");
    if (found === undefined) throw new Error(`${name} does not handle it yet`);
    return found;
  }

  /** `lifespanMs`: 0 for never; the cache tells of no other when it was written. */
  put(name: string, key: string, value: string, lifespanMs = 0): void {
    this.#cache(name).put(key, Buffer.from(value), { lifespanMs, maxIdleMs: 0 }, "client");
  }

  remove(name: string, key: string): void {
    this.#cache(name).remove(key, "client");
  }

  get config(): Config {
    const [site] = this.sites;
    if (site === undefined) throw new Error("no site");
    return site.config;
  }

  /** What a command that reaches the NATS of a site asks with; every site that runs answers from now on. */
  operator(at: string): Asker {
    for (const { site } of this.sites) {
      if (site === undefined || this.#served.has(site)) continue;
      this.#served.add(site);
      new SyncVerbs(site).serve();
      new TargetVerbs(site).serve();
    }
    const process = new SimProcess(this.#time, this.site(at).ground.wall);
    return { bus: this.links.connect(at, process), clock: process.clock };
  }

  /** Lets time pass until `work` has ended; resolves or rejects as it did. */
  async settle<T>(work: Promise<T>): Promise<T> {
    let hasEnded = false;
    const end = (): void => {
      hasEnded = true;
    };
    work.then(end, end);
    await this.until("the end of the work", () => hasEnded);
    return work;
  }

  /** What a client sees at a site, in the order of the keys. */
  contents(name: string): Record<string, string> {
    const cache = this.#cache(name);
    const keys = cache.keys().sort();
    return Object.fromEntries(keys.map((key) => [key, String(cache.peek(key)?.value)]));
  }

  /** Everything that a site's process wrote about itself is lost; it must not run. */
  loseLedger(name: string): void {
    this.site(name).loseLedger();
  }

  async pass(ms: number): Promise<void> {
    await this.#time.run(this.#time.now + ms);
    this.#check();
  }

  async until(what: string, isDone: () => boolean): Promise<void> {
    await Promise.resolve();
    const isBroken = (): boolean => this.failures.length > 0;
    const end = this.#time.now + PATIENCE_MS;
    await this.#time.run(end, () => isBroken() || isDone());
    this.#check();
    if (!isDone()) throw new Error(`never came: ${what}\n${this.lines.slice(-40).join("\n")}`);
  }

  /** Lets time pass until nothing is under way between the sites that run. */
  async rest(): Promise<void> {
    await this.until("rest", () => this.sites.every((site) => this.#isAtRest(site)));
    await this.pass(1_500);
    await this.until("rest", () => this.sites.every((site) => this.#isAtRest(site)));
  }

  /** Ends a process in good order. */
  async stop(name: string): Promise<void> {
    const site = this.site(name);
    void site.stop();
    await this.until(`${name} stops`, () => !site.isRunning);
  }

  #isAtRest({ site }: SimSite): boolean {
    if (site === undefined) return true;
    const cache = site.caches.get("sessions");
    if (cache === undefined) return false;
    const { agent } = cache;
    if (agent === undefined) return true;
    if (agent.state !== "live" || agent.gap !== undefined) return false;
    if (agent.dirty > 0 || agent.outboxRows > 0 || cache.peerGaps.size > 0) return false;
    return cache.receivers.every((receiver) => {
      const stream = this.site(receiver.origin).ground.log.stream;
      const last = stream?.records.findLast(({ subject }) => subject.endsWith(".sessions"));
      return receiver.isIdle && receiver.applied().seq >= (last?.seq ?? 0);
    });
  }

  #check(): void {
    const [failure] = this.failures;
    if (failure !== undefined) throw failure;
  }

  #cache(name: string): SimCache {
    const [cache] = this.site(name).ground.caches.caches.values();
    if (cache === undefined) throw new Error(`${name} has no cache`);
    return cache;
  }
}

type Tamper = (key: string, state: CacheState | undefined) => CacheState | undefined;

/** A cache that tells whoever reads it something else than it holds: its events tell the truth. */
class TamperedServer extends SimCacheServer {
  readonly #tamper: Tamper;
  readonly #isMissing: () => boolean;

  constructor(
    caches: ReadonlyMap<string, SimCache>,
    random: SimRandom,
    tamper: Tamper,
    isMissing: () => boolean,
  ) {
    super(caches, 1, random);
    this.#tamper = tamper;
    this.#isMissing = isMissing;
  }

  override connect(process: SimProcess): CacheSite {
    const site = super.connect(process);
    const tamper = this.#tamper;
    const tamperedCache = (name: string): CacheConnector => {
      const real = site.cache(name);
      return Object.assign(Object.create(real) as CacheConnector, {
        open: async () => {
          if (this.#isMissing()) throw new IsthmusError(ErrorCode.CacheMissing, `no cache ${name}`);
          return real.open();
        },
        runs: () => real.runs(),
        write: real.write.bind(real),
        remove: real.remove.bind(real),
        listen: real.listen.bind(real),
        read: async (key: string) => tamper(key, await real.read(key)),
        scan: async function* (signal: AbortSignal) {
          for await (const chunk of real.scan(signal)) {
            yield chunk.flatMap(({ key, state }) => {
              const told = tamper(key, state);
              return told === undefined ? [] : [{ key, state: told }];
            });
          }
        },
      });
    };
    return { ...site, cache: tamperedCache };
  }
}

function configOf(names: readonly string[], rule: Rule, limits: string): Config {
  const sites = names.map(
    (name, i) =>
      `  ${name}:\n    cache: { kind: embedded }\n    data: ./data/${name}\n    nats:\n      servers: ["nats://127.0.0.1:${4222 + i}"]\n      leaf: { listen: "127.0.0.1:${7422 + i}" }\n`,
  );
  const text = `apiVersion: isthmus/v1\nname: calm\nsites:\n${sites.join("")}policies:\n  - match: sessions\n    ${rule}\nlimits: ${limits}\n`;
  const { config, diagnostics } = parseConfig(text, { file: "calm.yaml" });
  if (config === undefined) throw new Error(JSON.stringify(diagnostics));
  return config;
}
