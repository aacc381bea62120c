import { setMaxListeners } from "node:events";
import { type ActiveLease, Site } from "../../../deploy/site/site.ts";
import type { Config } from "../../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import type { Ledger, Logger } from "../../../topology/ports.ts";
import type { SimWorldParts } from "./sim-cache.ts";
import type { SimCacheServer } from "./sim-cache-server.ts";
import { mergesOf } from "./sim-config.ts";
import { holdLease, type SimLeaseKey } from "./sim-lease.ts";
import { LedgerDisk, type OnCommit, SimLedger } from "./sim-ledger.ts";
import type { Links } from "./sim-links.ts";
import type { SimLog } from "./sim-log.ts";
import type { SimMirror } from "./sim-mirror.ts";
import { SimProcess, type WallClock } from "./sim-process.ts";
import type { SimRandom } from "./sim-random.ts";

/** What of one site outlives its Isthmus process. */
export interface SiteGround {
  readonly name: string;
  readonly wall: WallClock;
  readonly caches: SimCacheServer;
  readonly log: SimLog;
  readonly mirrors: ReadonlyMap<string, SimMirror>;
  readonly links: Links;
  readonly parts: SimWorldParts;
  /** undefined: whatever process runs is the active one, because there is never another. */
  readonly lease: SimLeaseKey | undefined;
  readonly onFailure: (error: unknown) => void;
  readonly onCommit: OnCommit;
  /** A process went without a clean end, or stopped with something unknown. */
  readonly onDeath: () => void;
}

/** One program that runs, or ran, at a site. */
interface Run {
  readonly process: SimProcess;
  readonly abort: AbortController;
  readonly disk: LedgerDisk;
  site: Site | undefined;
}

/** One site: its servers, and the Isthmus process that runs there now, if one does. */
export class SimSite {
  readonly ground: SiteGround;
  readonly #random: SimRandom;
  config: Config;
  /** The ledger of the host on which the process runs, or ran last. */
  disk: LedgerDisk;
  #run: Run | undefined;
  /** One that hangs while another one takes over. */
  #former: Run | undefined;
  #term = 0;
  #stopping: Promise<void> | undefined;

  constructor(ground: SiteGround, config: Config) {
    this.ground = ground;
    this.config = config;
    this.#random = ground.parts.random.fork();
    this.disk = this.#newDisk();
  }

  get name(): string {
    return this.ground.name;
  }

  get process(): SimProcess | undefined {
    return this.#run?.process;
  }

  /** undefined: no process, or it waits for the lease. */
  get site(): Site | undefined {
    return this.#run?.site;
  }

  get isRunning(): boolean {
    return this.#run !== undefined;
  }

  /** It is ending in good order: it captures nothing any more. */
  get isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  start(): void {
    const { name, wall, parts, lease } = this.ground;
    const process = new SimProcess(parts.time, wall);
    const abort = new AbortController();
    setMaxListeners(0, abort.signal);
    this.disk.isWriting = false;
    const run: Run = { process, abort, disk: this.disk, site: undefined };
    this.#run = run;
    this.#term += 1;
    parts.trace(`${name}: process starts, ${this.#term}`);
    if (lease !== undefined) void this.#startUnder(lease, run);
    else {
      const deadline = (): number => process.clock.monotonic() + 15_000;
      this.#begin(run, { term: this.#term, deadline });
    }
  }

  async #startUnder(key: SimLeaseKey, run: Run): Promise<void> {
    const { name, parts } = this.ground;
    const { process, abort } = run;
    const onLost = (error: unknown): void => {
      parts.trace(`${name}: a process ends: ${String(error)}`);
      parts.counts.add("rare: lease lost to another process");
      this.#end(run);
    };
    const lease = await holdLease(key, process, {
      site: name,
      holderId: `process ${this.#term}`,
      logger: simLogger(`${name} `, parts),
      signal: abort.signal,
      onLost,
    });
    parts.trace(`${name}: active, term ${lease.term}`);
    this.#begin(run, lease);
  }

  #begin(run: Run, lease: ActiveLease): void {
    const { name, caches, log, mirrors, links, parts } = this.ground;
    const { process } = run;
    const random = this.#random.fork();
    const ledger: Ledger = new SimLedger(run.disk, process, random);
    const peers = this.config.sites.map((site) => site.name).filter((peer) => peer !== name);
    const connected = peers.map((peer) => {
      const mirror = mirrors.get(peer);
      if (mirror === undefined) throw new Error(`${name} has no mirror of ${peer}`);
      return [peer, mirror.connect(process)] as const;
    });
    const site = new Site(
      this.config,
      name,
      {
        cacheSite: caches.connect(process),
        ledger,
        log: log.connect(process),
        mirrors: new Map(connected),
        bus: links.connect(name, process),
        clock: process.clock,
        random,
        logger: simLogger(`${name} `, parts),
      },
      { lease, merges: mergesOf(this.config) },
    );
    run.site = site;
    void this.#watch(run, site);
  }

  async #watch(run: Run, site: Site): Promise<void> {
    const { name, onFailure, parts } = this.ground;
    const { signal } = run.abort;
    try {
      await site.run(signal);
      if (!signal.aborted) onFailure(new Error(`${name}: run() ended by itself`));
    } catch (error) {
      if (error instanceof IsthmusError && error.code === ErrorCode.LedgerBroken) {
        parts.counts.add("rare: process ended because its ledger takes no more");
        this.#end(run);
      } else onFailure(error);
    }
  }

  /** The process dies here and now. */
  kill(): void {
    const { parts } = this.ground;
    parts.trace(`${this.name}: process killed`);
    if (this.disk.isWriting) parts.counts.add("rare: transaction torn");
    if (this.#run !== undefined) this.#end(this.#run);
  }

  /** The machine loses its power. */
  crash(): void {
    this.kill();
    const lost = this.disk.loseUnsynced(this.#random);
    this.ground.parts.trace(`${this.name}: power cut, ${lost} transactions lost`);
    if (lost > 0) this.ground.parts.counts.add("rare: ledger lost its tail");
  }

  /** The process dies, and what its ledger held is gone. */
  loseLedger(): void {
    this.kill();
    this.disk = this.#newDisk();
  }

  /** The process hangs, and a second one is started on another host, with a ledger of its own. */
  takeOver(): void {
    // One at a time.
    if (this.#former?.process.alive === true) return;
    this.#former = this.#run;
    this.#former?.process.pause();
    this.disk = this.#newDisk();
    this.start();
  }

  /** The process that hung goes on. If the other one still waits for the lease, it goes, and this one is the active one. */
  resumeFormer(): void {
    const former = this.#former;
    this.#former = undefined;
    if (former === undefined || !former.process.alive) return;
    // It hung before it ever was the active one, and would be a standby that nobody knows.
    if (former.site === undefined && this.#run !== undefined) {
      former.process.kill();
      return;
    }
    if (this.#run?.site === undefined) {
      this.#run?.process.kill();
      this.#run = former;
      this.disk = former.disk;
    }
    former.process.resume();
  }

  /** An operator ends the process that hung, if one does. */
  endFormer(): void {
    this.#former?.process.kill();
    this.#former = undefined;
  }

  /** Ends the process in good order; resolves when it is gone. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop().finally(() => {
      this.#stopping = undefined;
    });
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const run = this.#run;
    if (run === undefined) return;
    const { site, process, abort } = run;
    this.ground.parts.trace(`${this.name}: process stops`);
    if (site === undefined) {
      this.#end(run);
      return;
    }
    try {
      await site.drain();
      abort.abort(new Error("stopping"));
      // Whatever still runs has until now to end: the sleeps of all loops end at the abort.
      await process.clock.sleep(6_000);
      await site.stopped();
    } catch {
      // A ledger that takes no more: then it is no clean end.
    }
    this.ground.parts.counts.add("fault: process stopped in good order");
    this.#end(run);
  }

  #end(run: Run): void {
    if (!run.process.alive) return;
    // Nothing of it is told: a program that is dead runs no handler.
    run.process.kill();
    if (this.#run !== run) return;
    this.#run = undefined;
    this.#stopping = undefined;
    this.ground.onDeath();
  }

  #newDisk(): LedgerDisk {
    const disk = new LedgerDisk();
    disk.onCommit = this.ground.onCommit;
    return disk;
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
