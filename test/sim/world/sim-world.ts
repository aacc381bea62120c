import { decodeRecord } from "../../../topology/mutation/batch.ts";
import type { StoredMessage } from "../../../topology/ports.ts";
import { isRestarted } from "../../../site-agent/tail/absences.ts";
import {
  CALM_TOLERANCE_MS,
  cacheOf,
  Checkers,
  finalObjection,
  type LocalWriteSeen,
  rowOf,
  Violation,
} from "./checkers.ts";
import { EMPTY_CONTEXT } from "../../../topology/version/context.ts";
import { Client } from "./client.ts";
import { Counts } from "./counts.ts";
import { HeldWriters } from "./held-writers.ts";
import { FaultActs } from "./fault-acts.ts";
import { Oracle } from "./oracle.ts";
import { drawPlan, type Step } from "./plan.ts";
import type { Profile, Rate } from "./profile.ts";
import { type Change, hashOf, SimCache, type SimWorldParts, type Stored } from "./sim-cache.ts";
import { SimCacheServer } from "./sim-cache-server.ts";
import { configOf, NEVER, OFF } from "./sim-config.ts";
import { FACT_PREFIX } from "./sim-ledger.ts";
import { SimLeaseKey } from "./sim-lease.ts";
import { Links } from "./sim-links.ts";
import { SimLog } from "./sim-log.ts";
import { SimMirror } from "./sim-mirror.ts";
import { WallClock } from "./sim-process.ts";
import { SimRandom } from "./sim-random.ts";
import { SimSite } from "./sim-site.ts";
import { SimTime } from "./sim-time.ts";
import { Trace } from "./trace.ts";
import { unrestOf } from "./unrest.ts";

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
/** Every so many steps the bounds of what is in memory are looked at. */
const BOUNDS_EVERY = 64;
/** An event is looked at by then, in ms: what lost its listener longer ago is none of its. */
const UNTOLD_MS = 10_000;
/** Writes of clients while a cache is off. */
const OFF_WRITES = 10;
/** A cache is filled again within this, in ms, and before so many of the writes to it comes a client. */
const REFILL_MS = 5_000;
const REFILL_FIRST = 0.5;

/**
 * A whole world in one seed: sites with their caches, logs and links, the real code of each site's process, clients, faults,
 * and checkers. {@link World.run} writes under faults, heals, and judges what is there when nothing moves any more.
 */
export class World {
  readonly #profile: Profile;
  readonly #plan: readonly Step[];
  readonly #time: SimTime;
  readonly #random: SimRandom;
  readonly #counts = new Counts();
  readonly #trace: Trace;
  readonly #links: Links;
  readonly #everySite: readonly SimSite[];
  /** The sites that the file names right now. */
  #sites: readonly SimSite[];
  readonly #oracles: ReadonlyMap<string, Oracle>;
  readonly #checkers: Checkers;
  readonly #held: HeldWriters;
  readonly #parts: SimWorldParts;
  readonly #clients: ReadonlyMap<string, Client>;
  /** Site, cache and key to the last write by a client. */
  readonly #written = new Map<string, LocalWriteSeen>();
  #failure: Error | undefined;
  #restSince: number | undefined;

  constructor(
    profile: Profile,
    plan: readonly Step[] = drawPlan(profile),
    options: { readonly isTraced?: boolean } = {},
  ) {
    this.#profile = profile;
    this.#plan = plan;
    this.#random = new SimRandom(profile.seed ^ 0x5eed);
    this.#time = new SimTime(this.#random.fork());
    this.#trace = new Trace(() => this.#time.now, options.isTraced ?? false);
    const trace = (line: string): void => this.#trace.add(line);
    this.#parts = { time: this.#time, random: this.#random, counts: this.#counts, trace };
    this.#links = new Links(this.#parts);
    this.#oracles = new Map(profile.caches.map(({ name }) => [name, new Oracle()]));
    const fail = (error: Error): void => this.#failed(error);
    this.#checkers = new Checkers(this.#oracles, new Set([NEVER, OFF]), fail);
    // Randomness of its own: worlds without front doors draw as if there were none.
    const own = { ...this.#parts, random: new SimRandom(profile.seed ^ 0xd00a) };
    this.#held = new HeldWriters(own, (name) => this.#site(name), fail);
    this.#everySite = this.#build();
    const isLater = profile.change === "site added" && this.#everySite.length > 2;
    this.#sites = isLater ? this.#everySite.slice(0, -1) : this.#everySite;
    this.#clients = new Map(
      this.#everySite.map(({ name, ground }) => [
        name,
        new Client(name, ground.caches, this.#parts, profile, (cache, key, write, how) =>
          this.#held.through(this.#site(name), [cache, key], write, how),
        ),
      ]),
    );
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
    const { durationMs, restMs } = this.#profile;
    this.#configure(this.#profile.caches);
    for (const site of this.#sites) site.start();
    // A site that starts for the first time beside others takes their word for its keys, so nobody writes before.
    await this.#rest("at the start");
    const begun = this.#time.now;
    const acts = this.#acts();
    for (const step of this.#plan) {
      this.#time.after(step.at, () => {
        if (!this.#sites.some(({ name }) => name === step.site)) return;
        if (step.act === "write") this.#clients.get(step.site)?.act(step);
        else acts.act(step);
      });
    }
    this.#time.afterStep = () => {
      if (this.#time.steps % BOUNDS_EVERY === 0) this.#checkers.bounded(this.#sites);
    };
    await this.#time.run(begun + durationMs + restMs, () => this.#failure !== undefined);
    acts.stop();
    this.#heal();
    await this.#settle("after the faults");
    if (this.#failure === undefined) await this.#refill();
    if (this.#failure === undefined) await this.#change();
    for (let round = 0; round < 2 && this.#failure === undefined; round++) {
      await this.#probe(round);
    }
  }

  #acts(): FaultActs {
    return new FaultActs({
      parts: this.#parts,
      sites: this.#everySite,
      links: this.#links,
      profile: this.#profile,
      onCacheLost: (site, isAll) => this.#cacheLost(site, isAll),
      onEvict: (site, cache, key) => {
        if (!this.#isCaptured(site, cache, key)) this.#oracles.get(cache)?.unsure(site.name, key);
      },
      onLedgerLost: (site) => {
        this.#held.lost(site.name);
        for (const oracle of this.#oracles.values()) {
          oracle.mayBeRepublished(site.name);
          for (const key of oracle.keys()) oracle.unsure(site.name, key);
        }
      },
      aroundPowerCut: (site, cut) => {
        this.#held.lost(site.name);
        const rows = this.#everyKey().map(([name, key]) => rowOf(site, name, key));
        cut();
        for (const [i, [name, key, oracle]] of this.#everyKey().entries()) {
          if (rowOf(site, name, key) !== rows[i]) oracle.unsure(site.name, key);
        }
      },
    });
  }

  /** A cache comes back empty once more, and what clients do to its keys while it is filled is the last word on them. */
  async #refill(): Promise<void> {
    const { faults } = this.#profile;
    if (!faults.has("cacheRestart") || !faults.has("clientFirst")) return;
    const site = this.#random.pick(this.#sites);
    const { caches } = site.ground;
    this.#trace.add(`${site.name}: cache goes down once more, to come back empty`);
    this.#cacheLost(site, true);
    caches.stop();
    await this.#time.run(this.#time.now + this.#random.between(50, 500));
    for (const { faults: rates } of caches.caches.values()) rates.clientFirst = REFILL_FIRST;
    caches.startEmpty();
    await this.#time.run(this.#time.now + REFILL_MS);
    for (const { faults: rates } of caches.caches.values()) rates.clientFirst = 0;
    await this.#settle("after a refill");
  }

  /** What the operator changes once the faults are over. */
  async #change(): Promise<void> {
    const { change, caches } = this.#profile;
    if (change === "none") return;
    if (change.startsWith("site") && this.#everySite.length < 3) return;
    this.#counts.add(`rare: ${change} changed`);
    this.#trace.add(`the operator's change: ${change}`);
    const last = this.#everySite.at(-1);
    if (change === "site added") this.#sites = this.#everySite;
    if (change === "site removed") {
      this.#sites = this.#everySite.slice(0, -1);
      last?.kill();
    }
    const others = { "last-writer-wins": "first-writer-wins", "prefer-put": "prefer-remove" };
    const changed = caches.map((cache) => {
      const other = Object.entries(others)
        .map(([a, b]) => (cache.conflict === a ? b : cache.conflict === b ? a : undefined))
        .find((name) => name !== undefined);
      const isPlain = cache.kind === "plain" && change === "policy";
      return isPlain && other !== undefined ? { ...cache, conflict: other } : cache;
    });
    if (change === "mode") await this.#off(caches);
    this.#configure(changed);
    await this.#restart();
    await this.#settle(`after the change of ${change}`);
  }

  /** A cache is off for a while, at one site after the other, and clients go on with it. */
  async #off([cache, ...others]: Profile["caches"]): Promise<void> {
    if (cache === undefined) return;
    this.#configure([{ ...cache, isOff: true }, ...others]);
    await this.#restart();
    for (let i = 0; i < OFF_WRITES; i++) {
      const { name } = this.#random.pick(this.#sites);
      const [, key] = this.#random.pick(this.#everyKey().filter(([of]) => of === cache.name));
      this.#clients.get(name)?.probe(cache.name, key, `off${i}`, this.#random.chance(0.4));
      await this.#time.run(this.#time.now + this.#random.between(0, 50));
    }
    // Nobody saw which of them came before which.
    const oracle = this.#oracles.get(cache.name);
    for (const { name } of this.#sites)
      for (const key of oracle?.keys() ?? []) oracle?.unsure(name, key);
  }

  async #restart(): Promise<void> {
    for (const site of this.#sites) {
      site.endFormer();
      if (site.isRunning && this.#random.chance(0.5)) void site.stop();
      else site.kill();
      await this.#time.run(this.#time.now + this.#random.between(0, 500));
      if (!site.isRunning) site.start();
    }
  }

  #configure(caches: Profile["caches"]): void {
    const { door } = this.#profile;
    const config = configOf({ sites: this.#sites.map(({ name }) => name), caches, door });
    for (const site of this.#sites) site.config = config;
  }

  /** One last certain write per key at one site: it saw everything, so it is what every site must show. */
  async #probe(round: number): Promise<void> {
    const expected: Array<{ name: string; key: string; value: Buffer | undefined }> = [];
    for (const [name, key] of this.#everyKey()) {
      const site = this.#random.pick(this.#sites);
      const isRemove = this.#random.chance(0.4);
      const value = this.#clients.get(site.name)?.probe(name, key, `p${round}`, isRemove);
      expected.push({ name, key, value });
    }
    await this.#settle(`after probe ${round}`);
    if (this.#failure !== undefined) return;
    for (const { name, key, value } of expected) {
      // There a put of a key that is not here is a load of its own.
      if (this.#kindOf(name) === "invalidate") continue;
      for (const site of this.#sites) {
        const found = cacheOf(site, name).peek(key)?.value;
        if (found?.toString() === value?.toString()) continue;
        const shows = found?.toString() ?? "nothing";
        this.#failed(
          new Violation(`probe ${round}: ${site.name} shows ${shows} for ${name}/${key}`),
        );
      }
    }
  }

  #heal(): void {
    this.#trace.add("everything heals");
    this.#links.healAll();
    for (const site of this.#everySite) {
      const { caches, log, mirrors } = site.ground;
      for (const cache of caches.caches.values()) {
        for (const name of Object.keys(cache.faults)) cache.faults[name as "timeout"] = 0;
      }
      caches.startEmpty();
      for (const { faults } of [log, ...mirrors.values()]) {
        faults.publishTimeout = 0;
        faults.unreachable = 0;
      }
      site.process?.resume();
    }
  }

  /** Runs until nothing moves any more. */
  async #rest(when: string): Promise<void> {
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
    if (rested) return;
    throw new Violation(`${when}: no rest after ${QUIET_MS_MAX} ms: ${this.#unrest()}`);
  }

  /** Runs until nothing moves any more, then judges. */
  async #settle(when: string): Promise<void> {
    await this.#rest(when);
    if (this.#failure !== undefined) return;
    for (const cache of this.#profile.caches) {
      const oracle = this.#oracles.get(cache.name);
      if (oracle === undefined) continue;
      const why = finalObjection({
        cache,
        sites: this.#sites,
        oracle,
        published: this.#checkers.published,
        toleranceMs: CALM_TOLERANCE_MS + (this.#profile.faults.has("clockJump") ? 4_000 : 0),
        lastWrite: (site, key) => this.#written.get(`${site.name}\0${cache.name}\0${key}`),
      });
      if (why !== undefined) throw new Violation(`${when}: ${why}`);
    }
    for (const name of [NEVER, OFF]) this.#untouched(name);
  }

  #unrest(): string | undefined {
    return unrestOf(this.#sites, this.#profile.caches, (name) => this.#oracleOf(name).keys());
  }

  #untouched(name: string): void {
    for (const site of this.#sites) {
      const state = cacheOf(site, name).peek("mine");
      if (state !== undefined && !state.value.toString().startsWith(`${site.name} `)) {
        throw new Violation(`${site.name}: ${name} holds ${state.value.toString()} (I9)`);
      }
    }
  }

  #kindOf(name: string): string {
    return this.#profile.caches.find((cache) => cache.name === name)?.kind ?? "plain";
  }

  #oracleOf(name: string): Oracle {
    const oracle = this.#oracles.get(name);
    if (oracle === undefined) throw new Error(`no cache ${name}`);
    return oracle;
  }

  #everyKey(): Array<[name: string, key: string, oracle: Oracle]> {
    return [...this.#oracles].flatMap(([name, oracle]) =>
      oracle.keys().map((key): [string, string, Oracle] => [name, key, oracle]),
    );
  }

  #failed(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#trace.add(`FAILED: ${this.#failure.message}`);
  }

  #build(): SimSite[] {
    const { faults, sites: names, hasLease } = this.#profile;
    const config = configOf(this.#profile);
    const p = (rate: Rate, most: number): number => {
      const isLow = this.#random.chance(0.5);
      return faults.has(rate) ? (isLow ? most / 5 : most) : 0;
    };
    const logFaults = () => ({
      publishTimeout: p("publishTimeout", 0.1),
      unreachable: p("natsUnreachable", 0.1),
    });
    const logs = new Map(names.map((name) => [name, new SimLog(name, this.#parts, logFaults())]));
    return names.map((name): SimSite => {
      const skew = Math.round(this.#random.between(-400, 400));
      const wall = new WallClock(this.#time, faults.has("clockSkew") ? skew : 0);
      const make = (cache: string): SimCache =>
        new SimCache(cache, this.#parts, {
          wall,
          faults: {
            timeout: p("cacheTimeout", 0.05),
            serverError: p("cacheError", 0.1),
            laggingRead: p("laggingRead", 0.5),
            doubledEvent: p("doubledEvent", 0.3),
            tokenZero: p("tokenZero", 0.3),
            clientFirst: p("clientFirst", 0.2),
          },
          onChange: (change) => this.#changed(name, cache, change),
          onDeaf: () => this.#deaf(name),
          clientFirst: (key) => this.#clients.get(name)?.first(cache, key),
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
      log.onStored = (record) => this.#stored(name, record);
      const servers = new SimCacheServer(caches, this.#profile.nodes, this.#random.fork());
      const lease = hasLease || faults.has("takeover") ? new SimLeaseKey(log) : undefined;
      const ground = { name, wall, caches: servers, log, mirrors, links: this.#links, lease };
      return new SimSite(
        {
          ...ground,
          parts: this.#parts,
          onFailure: (error) => this.#failed(error),
          onCommit: (changes, disk) => this.#checkers.committed(name, changes, disk),
          onDeath: () => this.#died(name),
        },
        config,
      );
    });
  }

  #stored(site: string, record: StoredMessage): void {
    this.#checkers.stored(site, record, this.#time.now);
    const read = decodeRecord(record.payload);
    if (read.kind !== "batch") return;
    for (const { key, kind, dot, value, expiresAt } of read.mutations) {
      const what = kind === "put" ? Buffer.from(value ?? []).toString() : "nothing";
      const until = expiresAt === 0 ? "" : ` until ${expiresAt}`;
      const at = `${read.header.cache}/${key}`;
      this.#trace.add(`${site}: log ${record.seq}: ${at} = ${what}${until}, dot ${dot}`);
    }
  }

  #changed(name: string, cache: string, change: Change): void {
    const { key, after, by } = change;
    const value = after === undefined ? "nothing" : after.value.toString();
    this.#trace.add(`${name}: ${cache}/${key} = ${value} (${by}, token ${after?.token ?? ""})`);
    if (by === "client") {
      const knew = rowOf(this.#site(name), cache, key)?.context ?? EMPTY_CONTEXT;
      this.#written.set(`${name}\0${cache}\0${key}`, { at: this.#time.now, knew });
    }
    const oracle = this.#oracles.get(cache);
    if (oracle === undefined) return;
    const site = this.#site(name);
    const isProof = this.#isProof(site, cache, change, oracle);
    // What was put and taken away before it was captured leaves no trace where its absence may have another reason.
    const isUntraced = by === "client" && after === undefined && !isProof;
    if (isUntraced && !this.#isStateKnown(site, cache, key, change.before))
      oracle.unsure(name, key);
    oracle.changed(name, change, rowOf(site, cache, key), {
      isProof,
      isHeard: this.#isHeard(site, cache) && !cacheOf(site, cache).mayBeOurs(change),
      at: site.ground.wall.now(),
    });
  }

  /**
   * Whether a change by a client is sure to be captured as what it is. While the gap of a restarted cache is open, a key that
   * is missing is one that the cache lost; of a cache that evicts, one that was evicted, unless its event is heard. And a key
   * that goes while no process listens may have gone by what came from
   * elsewhere, of which the process that died wrote nothing down.
   */
  #isProof(site: SimSite, cache: string, { key, after }: Change, oracle: Oracle): boolean {
    if (this.#isRestartOpen(site, cache)) return false;
    if (after === undefined && this.#kindOf(cache) === "evicts") return false;
    const isReady = site.site?.caches.get(cache)?.agent?.isReady === true;
    return after !== undefined || isReady || !oracle.mayGoFromElsewhere(site.name, key);
  }

  /** Whether a live listener tells of what happens now. */
  #isHeard({ site, ground }: SimSite, cache: string): boolean {
    const agent = site?.caches.get(cache)?.agent;
    const isListened = ground.caches.caches.get(cache)?.hasListener === true;
    return isListened && agent?.state === "live" && agent.gap === undefined;
  }

  /** Events that are under way are lost: a scan will find what they told of. */
  #deaf(name: string): void {
    const site = this.#site(name);
    const sinceMs = site.ground.wall.now() - UNTOLD_MS;
    for (const oracle of this.#oracles.values()) oracle.untold(name, sinceMs);
    for (const [cache, key, oracle] of this.#everyKey()) {
      if (!this.#isCaptured(site, cache, key)) oracle.unheard(name, key);
    }
  }

  /** Whether a scan would say that the cache was restarted. */
  #isRestartOpen(site: SimSite, cache: string): boolean {
    const known = site.disk.get(`${FACT_PREFIX}runs/${cache}`);
    if (!(known instanceof Map)) return true;
    return isRestarted(known as Map<string, string>, site.ground.caches.runs);
  }

  /** The cache went down: what was not captured by now never will be. */
  #cacheLost(site: SimSite, isAll: boolean): void {
    for (const [cache, oracle] of this.#oracles) {
      if (isAll) oracle.cacheLost(site.name);
      else if (!this.#isRestartOpen(site, cache)) continue;
      for (const key of oracle.keys()) {
        if (!this.#isCaptured(site, cache, key)) oracle.unsure(site.name, key);
      }
    }
  }

  /** A process died: a key that went a moment ago may have gone by what came from elsewhere. */
  #died(name: string): void {
    const site = this.#site(name);
    this.#deaf(name);
    for (const [cache, key, oracle] of this.#everyKey()) {
      if (cacheOf(site, cache).peek(key) !== undefined) continue;
      if (!this.#isCaptured(site, cache, key) && oracle.mayGoFromElsewhere(name, key)) {
        oracle.unsure(name, key);
      }
    }
  }

  #isCaptured(site: SimSite, cache: string, key: string): boolean {
    return this.#isStateKnown(site, cache, key, cacheOf(site, cache).peek(key));
  }

  /** Whether the ledger says that the cache holds `state` of a key (undefined: nothing). */
  #isStateKnown(site: SimSite, cache: string, key: string, state: Stored | undefined): boolean {
    const row = rowOf(site, cache, key);
    if (state === undefined) return row === undefined || row.presence === "tombstone";
    return row?.presence === "live" && row.held?.hash === hashOf(state.value);
  }

  #site(name: string): SimSite {
    const site = this.#everySite.find((s) => s.name === name);
    if (site === undefined) throw new Error(`no site ${name}`);
    return site;
  }

  #collect(): void {
    for (const { site } of this.#everySite) {
      for (const cache of site?.caches.values() ?? []) {
        for (const [name, n] of Object.entries(cache.agent?.stats ?? {})) {
          this.#counts.add(`path: ${name}`, Number(n));
        }
        this.#counts.add("path: tombstonesDropped", cache.tombstones?.dropped ?? 0);
        for (const { stats } of cache.receivers) {
          const { refused, passed, counterGaps, deadLetters, retries } = stats;
          const counts = { refused, passed, counterGaps, deadLetters, retries };
          for (const [name, n] of Object.entries(counts)) {
            this.#counts.add(`path: receiver ${name}`, n);
          }
        }
      }
    }
  }
}
