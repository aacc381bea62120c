import { setMaxListeners } from "node:events";
import { Site } from "../../../deploy/site/site.ts";
import { conflictPolicyHash } from "../../../topology/policy/conflict-policy-hash.ts";
import type { Config } from "../../../topology/config/config.ts";
import type { Ledger, Logger } from "../../../topology/ports.ts";
import type { SimWorldParts } from "./sim-cache.ts";
import type { SimCacheServer } from "./sim-cache-server.ts";
import { LedgerDisk, SimLedger } from "./sim-ledger.ts";
import type { Links } from "./sim-links.ts";
import type { SimLog } from "./sim-log.ts";
import type { SimMirror } from "./sim-mirror.ts";
import { SimProcess, type WallClock } from "./sim-process.ts";

/** What of one site outlives its Isthmus process. */
export interface SiteGround {
  readonly name: string;
  readonly config: Config;
  readonly wall: WallClock;
  readonly caches: SimCacheServer;
  readonly log: SimLog;
  readonly mirrors: ReadonlyMap<string, SimMirror>;
  readonly links: Links;
  readonly parts: SimWorldParts;
  readonly onFailure: (error: unknown) => void;
  /** A planted fault wraps what the process is given. */
  readonly wrap?: ((parts: { ledger: Ledger }) => { ledger: Ledger }) | undefined;
}

/** One site: its servers, and the Isthmus process that runs there now, if one does. */
export class SimSite {
  readonly ground: SiteGround;
  readonly disk = new LedgerDisk();
  process: SimProcess | undefined;
  site: Site | undefined;
  #abort = new AbortController();
  #term = 0;
  #stopping: Promise<void> | undefined;

  constructor(ground: SiteGround) {
    this.ground = ground;
  }

  get name(): string {
    return this.ground.name;
  }

  get isRunning(): boolean {
    return this.process?.alive === true;
  }

  /** It is ending in good order: it captures nothing any more. */
  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  start(): void {
    const { config, name, wall, caches, log, mirrors, links, parts, wrap } = this.ground;
    const process = new SimProcess(parts.time, wall);
    const random = parts.random.fork();
    const real: Ledger = new SimLedger(this.disk, process, random);
    const { ledger } = wrap?.({ ledger: real }) ?? { ledger: real };
    this.#term += 1;
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    setMaxListeners(0, signal);
    const site = new Site(
      config,
      name,
      {
        cacheSite: caches.connect(process),
        ledger,
        log: log.connect(process),
        mirrors: new Map([...mirrors].map(([origin, m]) => [origin, m.connect(process)])),
        bus: links.connect(name, process),
        clock: process.clock,
        random,
        logger: simLogger(`${name} `, parts),
      },
      {
        lease: { term: this.#term, deadline: () => process.clock.monotonic() + 15_000 },
        merges: { registry: new Map(), hashOf: conflictPolicyHash },
      },
    );
    this.process = process;
    this.site = site;
    parts.trace(`${name}: process starts, term ${this.#term}`);
    void this.#watch(site, signal);
  }

  async #watch(site: Site, signal: AbortSignal): Promise<void> {
    const { name, onFailure } = this.ground;
    try {
      await site.run(signal);
      if (!signal.aborted) onFailure(new Error(`${name}: run() ended by itself`));
    } catch (error) {
      onFailure(error);
    }
  }

  /** The process dies here and now. */
  kill(): void {
    this.ground.parts.trace(`${this.name}: process killed`);
    this.process?.kill();
    this.process = undefined;
    this.site = undefined;
    this.#stopping = undefined;
  }

  /** The machine loses its power. */
  crash(): void {
    this.kill();
    const lost = this.disk.loseUnsynced(this.ground.parts.random);
    this.ground.parts.trace(`${this.name}: power cut, ${lost} transactions lost`);
    if (lost > 0) this.ground.parts.counts.add("rare: ledger lost its tail");
  }

  /** Ends the process in good order; resolves when it is gone. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = undefined;
    });
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { site, process } = this;
    if (site === undefined || process === undefined) return;
    this.ground.parts.trace(`${this.name}: process stops`);
    await site.drain();
    this.#abort.abort(new Error("stopping"));
    // Whatever still runs has until now to end: the sleeps of all loops end at the abort.
    await process.clock.sleep(6_000);
    await site.stopped();
    this.ground.parts.counts.add("fault: process stopped in good order");
    this.process?.kill();
    this.process = undefined;
    this.site = undefined;
  }
}

function simLogger(prefix: string, { trace, counts }: SimWorldParts): Logger {
  const line = (level: string) => (fields: object, message: string) => {
    counts.add(`log: ${level}: ${message.replaceAll(/\d+/g, "#")}`);
    const { err, ...rest } = fields as { err?: unknown };
    const why = err instanceof Error ? ` (${err.message})` : "";
    trace(`${prefix}${level}: ${message}${why} ${JSON.stringify(rest)}`);
  };
  return {
    debug: line("debug"),
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
    child: (fields) => {
      const { origin, cache } = fields as { origin?: string; cache?: string };
      const inner = [origin, cache].filter((x) => x !== undefined).join("/");
      return simLogger(`${prefix.trimEnd().split(" ")[0]} ${inner} `, { trace, counts } as never);
    },
  };
}
