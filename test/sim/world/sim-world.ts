import type { Entry } from "../../../topology/version/entry.ts";
import { decodeRecord } from "../../../topology/mutation/batch.ts";
import type { StoredMessage } from "../../../topology/ports.ts";
import { logSubject } from "../../../topology/names.ts";
import { cacheOf, Checkers, finalObjection, rowOf, Violation } from "./checkers.ts";
import { Client } from "./client.ts";
import { Counts } from "./counts.ts";
import { FaultSchedule } from "./fault-schedule.ts";
import { Oracle } from "./oracle.ts";
import { configOf, type Fault, NEVER, OFF, type Profile } from "./profile.ts";
import { type Change, hashOf, SimCache, type SimWorldParts } from "./sim-cache.ts";
import { SimCacheServer } from "./sim-cache-server.ts";
import { Links } from "./sim-links.ts";
import { SimLog } from "./sim-log.ts";
import { SimMirror } from "./sim-mirror.ts";
import { WallClock } from "./sim-process.ts";
import { SimRandom } from "./sim-random.ts";
import { SimSite, type SiteGround } from "./sim-site.ts";
import { SimTime } from "./sim-time.ts";
import { Trace } from "./trace.ts";

/** How a run ended. */
export interface Outcome {
  readonly failure: Error | undefined;
  readonly counts: Counts;
  readonly trace: Trace;
  readonly steps: number;
}

/** Longest time, virtual, in which everything must have come to rest after the last fault was healed. */
const QUIET_MS_MAX = 180_000;
/** So long nothing may be left to do before it counts as rest. */
const REST_MS = 1_500;

/**
 * A whole world in one seed: sites with their caches, logs and links, the real code of each site's process, clients, faults,
 * and checkers. {@link World.run} writes under faults, heals, and judges what is there when nothing moves any more.
 */
export class World {
  readonly #profile: Profile;
  readonly #time: SimTime;
  readonly #random: SimRandom;
  readonly #counts = new Counts();
  readonly #trace: Trace;
  readonly #links: Links;
  readonly #sites: SimSite[];
  readonly #oracles: ReadonlyMap<string, Oracle>;
  readonly #checkers: Checkers;
  readonly #parts: SimWorldParts;
  readonly #wrap: SiteGround["wrap"];
  #failure: Error | undefined;
  #restSince: number | undefined;

  constructor(profile: Profile, options: { wrap?: SiteGround["wrap"] } = {}) {
    this.#profile = profile;
    this.#wrap = options.wrap;
    this.#random = new SimRandom(profile.seed ^ 0x5eed);
    this.#time = new SimTime(this.#random.fork());
    this.#trace = new Trace(() => this.#time.now);
    const trace = (line: string): void => this.#trace.add(line);
    this.#parts = { time: this.#time, random: this.#random, counts: this.#counts, trace };
    this.#links = new Links(this.#parts);
    this.#oracles = new Map(profile.caches.map(({ name }) => [name, new Oracle()]));
    const fail = (error: Error): void => this.#failed(error);
    this.#checkers = new Checkers(this.#oracles, new Set([NEVER, OFF]), fail);
    this.#sites = this.#build();
  }

  async run(): Promise<Outcome> {
    const unhandled = (error: unknown): void => this.#failed(error);
    process.on("unhandledRejection", unhandled);
    try {
      await this.#live();
    } catch (error) {
      this.#failed(error);
    } finally {
      process.off("unhandledRejection", unhandled);
    }
    this.#collect();
    return {
      failure: this.#failure,
      counts: this.#counts,
      trace: this.#trace,
      steps: this.#time.steps,
    };
  }

  async #live(): Promise<void> {
    const { durationMs } = this.#profile;
    for (const site of this.#sites) site.start();
    const clients = this.#sites.map(
      (site) => new Client(site.name, site.ground.caches, this.#parts, this.#profile),
    );
    const schedule = new FaultSchedule(
      {
        parts: this.#parts,
        sites: this.#sites,
        links: this.#links,
        onLost: (site, what) => {
          for (const oracle of this.#oracles.values()) {
            oracle.lost(site, this.#time.now - 20_000, what === "cache");
          }
        },
      },
      this.#profile,
    );
    this.#time.afterStep = () => this.#checkers.bounded(this.#sites);
    const isBroken = (): boolean => this.#failure !== undefined;
    await this.#time.run(durationMs, isBroken);
    schedule.stop();
    for (const client of clients) client.stop();
    this.#heal();
    await this.#settle("after the faults");
    for (let round = 0; round < 2 && this.#failure === undefined; round++) {
      await this.#probe(clients, round);
    }
  }

  /** One last certain write per key at one site: it saw everything, so it is what every site must show. */
  async #probe(clients: readonly Client[], round: number): Promise<void> {
    const expected = new Map<string, string | undefined>();
    for (const { name } of this.#profile.caches) {
      for (const key of this.#oracles.get(name)?.keys() ?? []) {
        expected.set(`${name}\0${key}`, this.#random.pick(clients).probe(name, key));
      }
    }
    await this.#settle(`after probe ${round}`);
    if (this.#failure !== undefined) return;
    for (const [id, hash] of expected) {
      const [name = "", key = ""] = id.split("\0");
      for (const site of this.#sites) {
        const state = cacheOf(site, name).peek(key);
        const found = state === undefined ? undefined : hashOf(state.value);
        if (found !== hash) {
          const shows = state?.value.toString() ?? "nothing";
          this.#failed(
            new Violation(`probe ${round}: ${site.name} shows ${shows} for ${name}/${key}`),
          );
        }
      }
    }
  }

  #heal(): void {
    this.#trace.add("everything heals");
    this.#links.healAll();
    for (const site of this.#sites) {
      const { caches, log, mirrors } = site.ground;
      for (const cache of caches.caches.values()) {
        for (const name of Object.keys(cache.faults)) cache.faults[name as "timeout"] = 0;
        cache.startEmpty();
      }
      for (const { faults } of [log, ...mirrors.values()]) {
        faults.publishTimeout = 0;
        faults.unreachable = 0;
      }
      site.process?.resume();
    }
  }

  /** Runs until nothing moves any more, then judges. */
  async #settle(when: string): Promise<void> {
    this.#restSince = undefined;
    const until = this.#time.now + QUIET_MS_MAX;
    let nextLook = 0;
    const isAtRest = (): boolean => {
      if (this.#failure !== undefined) return true;
      if (this.#time.now < nextLook) return false;
      nextLook = this.#time.now + 50;
      for (const site of this.#sites) if (!site.isRunning) site.start();
      if (this.#unrest() !== undefined) {
        this.#restSince = undefined;
        return false;
      }
      this.#restSince ??= this.#time.now;
      return this.#time.now - this.#restSince >= REST_MS;
    };
    const rested = await this.#time.run(until, isAtRest);
    if (this.#failure !== undefined) return;
    if (!rested)
      throw new Violation(`${when}: no rest after ${QUIET_MS_MAX} ms: ${this.#unrest()}`);
    for (const { name } of this.#profile.caches) {
      const oracle = this.#oracles.get(name);
      if (oracle === undefined) continue;
      const { published } = this.#checkers;
      const options = { published, toleranceMs: 1_500 + this.#jumpedMs() };
      const why = finalObjection(name, this.#sites, oracle, options);
      if (why !== undefined) throw new Violation(`${when}: ${why}`);
    }
    for (const name of [NEVER, OFF]) this.#untouched(name);
  }

  /** What is still to be done somewhere; undefined: nothing. */
  #unrest(): string | undefined {
    for (const { site, name: at, ground, isStopping } of this.#sites) {
      if (site === undefined || isStopping) return `${at} does not run`;
      for (const { name } of this.#profile.caches) {
        const cache = site.caches.get(name);
        const agent = cache?.agent;
        if (cache === undefined || agent === undefined) return `${at}: ${name} is not there yet`;
        if (agent.state !== "live") return `${at}: ${name} is ${agent.state}`;
        if (agent.gap !== undefined) return `${at}: ${name} has a gap: ${agent.gap.reason}`;
        if (agent.dirty > 0) return `${at}: ${name} has ${agent.dirty} dirty keys`;
        if (agent.outboxRows > 0)
          return `${at}: ${name} has ${agent.outboxRows} rows in the outbox`;
        for (const [peer, gap] of cache.peerGaps) {
          return `${at}: ${name} has a gap toward ${peer}: ${gap.reason}`;
        }
        for (const receiver of cache.receivers) {
          const origin = this.#sites.find((s) => s.name === receiver.origin);
          const stream = origin?.ground.log.stream;
          const subject = logSubject(receiver.origin, name);
          const end = stream?.window(subject, 0, stream.lastSeq).at(-1)?.seq ?? 0;
          if (!receiver.isIdle) return `${at}: ${name} is applying from ${receiver.origin}`;
          if (receiver.applied().seq < end)
            return `${at}: ${name} is at ${receiver.applied().seq} of ${end} of ${receiver.origin}`;
        }
        for (const key of this.#oracles.get(name)?.keys() ?? []) {
          if (rowOf(this.#site(ground.name), name, key)?.presence === "absent") {
            const rows = this.#sites.map((s) => {
              const row = rowOf(s, name, key);
              const siblings = row?.siblings.map((v) => `${v.author} ${v.dot} ${v.at} ${v.hash}`);
              return `${s.name} ${row?.presence}: ${siblings?.join(", ")}`;
            });
            return `${at}: ${name}/${key} is absent (${rows.join("; ")})`;
          }
        }
      }
    }
    return undefined;
  }

  #untouched(name: string): void {
    for (const site of this.#sites) {
      const state = cacheOf(site, name).peek("mine");
      if (state !== undefined && !state.value.toString().startsWith(`${site.name} `)) {
        throw new Violation(`${site.name}: ${name} holds ${state.value.toString()} (I9)`);
      }
    }
  }

  #site(name: string): SimSite {
    const site = this.#sites.find((s) => s.name === name);
    if (site === undefined) throw new Error(`no site ${name}`);
    return site;
  }

  #jumpedMs(): number {
    return this.#profile.faults.has("clockJump") ? 4_000 : 0;
  }

  #failed(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#trace.add(`FAILED: ${this.#failure.message}`);
  }

  #build(): SimSite[] {
    const { faults, sites: names } = this.#profile;
    const config = configOf(this.#profile);
    const p = (fault: Fault, most: number): number => {
      return faults.has(fault) ? this.#random.pick([most, most / 5]) : 0;
    };
    const logFaults = () => ({
      publishTimeout: p("publishTimeout", 0.1),
      unreachable: p("natsUnreachable", 0.1),
    });
    const logs = new Map(names.map((name) => [name, new SimLog(name, this.#parts, logFaults())]));
    return names.map((name): SimSite => {
      const skew = faults.has("clockSkew") ? Math.round(this.#random.between(-400, 400)) : 0;
      const wall = new WallClock(this.#time, skew);
      const make = (cache: string): SimCache =>
        new SimCache(cache, this.#parts, {
          wall,
          faults: {
            timeout: p("cacheTimeout", 0.05),
            serverError: p("cacheError", 0.1),
            laggingRead: p("laggingRead", 0.5),
            doubledEvent: p("doubledEvent", 0.3),
            tokenZero: p("tokenZero", 0.3),
          },
          onChange: (change) => this.#changed(name, cache, change),
        });
      const cacheNames = [...this.#profile.caches.map((c) => c.name), NEVER, OFF];
      const caches = new Map(cacheNames.map((cache) => [cache, make(cache)]));
      const mirrors = new Map<string, SimMirror>();
      for (const [origin, log] of logs) {
        if (origin === name) continue;
        mirrors.set(origin, new SimMirror(name, log, this.#links, logFaults()));
      }
      const log = logs.get(name);
      if (log === undefined) throw new Error(`no log of ${name}`);
      log.onStored = (record) => {
        this.#traceRecord(name, record);
        this.#checkers.stored(name, record);
      };
      const site = new SimSite({
        name,
        config,
        wall,
        caches: new SimCacheServer(caches),
        log,
        mirrors,
        links: this.#links,
        parts: this.#parts,
        onFailure: (error) => this.#failed(error),
        wrap: this.#wrap,
      });
      site.disk.onCommit = (changes, disk) => this.#checkers.committed(name, changes, disk);
      return site;
    });
  }

  #traceRecord(site: string, { seq, payload }: StoredMessage): void {
    const record = decodeRecord(payload);
    if (record.kind !== "batch") return;
    const { header, mutations } = record;
    for (const { key, kind, dot, value, expiresAt } of mutations) {
      const what = kind === "put" ? Buffer.from(value ?? []).toString() : "nothing";
      const until = expiresAt === 0 ? "" : ` until ${expiresAt}`;
      this.#trace.add(`${site}: log ${seq}: ${header.cache}/${key} = ${what}${until}, dot ${dot}`);
    }
  }

  #changed(site: string, cache: string, change: Change): void {
    const { key, after, by } = change;
    const value = after === undefined ? "nothing" : after.value.toString();
    this.#trace.add(`${site}: ${cache}/${key} = ${value} (${by}, token ${after?.token ?? ""})`);
    const row: Entry | undefined = rowOf(this.#site(site), cache, key);
    this.#oracles.get(cache)?.changed(site, change, row, this.#time.now);
  }

  #collect(): void {
    for (const site of this.#sites) {
      for (const cache of site.site?.caches.values() ?? []) {
        for (const [name, n] of Object.entries(cache.agent?.stats ?? {})) {
          this.#counts.add(`path: ${name}`, Number(n));
        }
        for (const receiver of cache.receivers) {
          for (const name of [
            "refused",
            "passed",
            "counterGaps",
            "deadLetters",
            "retries",
          ] as const) {
            this.#counts.add(`path: receiver ${name}`, receiver.stats[name]);
          }
        }
      }
    }
  }
}
