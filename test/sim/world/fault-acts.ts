import { forge } from "./forged.ts";
import type { Step } from "./plan.ts";
import type { Act, Profile } from "./profile.ts";
import type { SimWorldParts } from "./sim-cache.ts";
import type { Links } from "./sim-links.ts";
import type { SimSite } from "./sim-site.ts";

/** What the faults can lay hands on. */
export interface Targets {
  readonly parts: SimWorldParts;
  readonly sites: readonly SimSite[];
  readonly links: Links;
  readonly profile: Profile;
  /**
   * A site's cache servers go down, all of them or one of several: what was not captured by now may be taken for lost.
   * `isAll`: all that the cache holds will be gone.
   */
  readonly onCacheLost: (site: SimSite, isAll: boolean) => void;
  /** A site's ledger lost rows: those that it held before, by name, are `before`. */
  /** Before a key is evicted. */
  readonly onEvict: (site: SimSite, cache: string, key: string) => void;
  readonly onLedgerLost: (site: SimSite) => void;
  /** Before a power cut, and after it. */
  readonly aroundPowerCut: (site: SimSite, cut: () => void) => void;
}

/** Carries out the faults of a plan, while it is on. */
export class FaultActs {
  readonly #targets: Targets;
  #isOn = true;

  constructor(targets: Targets) {
    this.#targets = targets;
  }

  stop(): void {
    this.#isOn = false;
  }

  act(step: Step): void {
    if (!this.#isOn || step.act === "write") return;
    const site = this.#targets.sites.find(({ name }) => name === step.site);
    const [x = 0, y = 0, z = 0] = step.draws;
    if (site !== undefined) this.#acts[step.act](site, x, y, z);
  }

  readonly #acts: Record<Act, (site: SimSite, x: number, y: number, z: number) => void> = {
    listenerLoss: (site) => {
      this.#say(`${site.name}: listeners break`, "listener lost");
      for (const cache of site.ground.caches.caches.values()) {
        cache.breakListeners("the connection broke");
      }
    },
    cacheRestart: (site, x) => {
      const { caches } = site.ground;
      if (!caches.isUp) return;
      this.#say(`${site.name}: cache goes down, to come back empty`, "cache restarted empty");
      this.#targets.onCacheLost(site, true);
      caches.stop();
      this.#after(x, 50, 2_500, () => caches.startEmpty());
    },
    nodeRestart: (site, x, y) => {
      const { caches } = site.ground;
      const hasListeners = y < 1 / caches.runs.size;
      if (!caches.restartNode(x, hasListeners)) return;
      this.#say(`${site.name}: a cache server is restarted`, "cache server restarted");
      if (hasListeners) this.#targets.parts.counts.add("rare: failover of a listener");
      this.#targets.onCacheLost(site, false);
    },
    evict: (site, x, y) => {
      const { profile } = this.#targets;
      for (const { name, kind } of profile.caches) {
        if (kind !== "evicts") continue;
        const cache = site.ground.caches.caches.get(name);
        const keys = cache?.keys() ?? [];
        const from = Math.floor(x * keys.length);
        for (const key of keys.slice(from, from + 1 + Math.floor(y * 3))) {
          this.#targets.onEvict(site, name, key);
          if (cache?.evict(key) === true) this.#say(`${site.name}: ${key} is evicted`, "evicted");
        }
      }
    },
    linkCut: (site, x, y, z) => {
      const { links, sites } = this.#targets;
      const others = sites.filter((s) => s !== site);
      const peer = others[Math.floor(x * others.length)]?.name ?? "";
      const isBoth = y < 0.6;
      this.#say(`link ${site.name} to ${peer} is cut, ${isBoth ? "both ways" : "one way"}`, "cut");
      links.cut(site.name, peer);
      if (isBoth) links.cut(peer, site.name);
      this.#after(z, 50, 4_000, () => {
        links.heal(site.name, peer);
        links.heal(peer, site.name);
      });
    },
    lossyBus: (_site, x) => {
      const { links } = this.#targets;
      this.#say("the bus loses messages", "lossy bus");
      links.lossy = 0.3;
      this.#after(x, 100, 3_000, () => {
        links.lossy = 0;
      });
    },
    mirrorDeleted: (site, x) => {
      const mirrors = [...site.ground.mirrors.values()];
      const mirror = mirrors[Math.floor(x * mirrors.length)];
      if (mirror?.stream === undefined) return;
      this.#say(`${site.name}: mirror of ${mirror.origin.site} is deleted`, "mirror deleted");
      mirror.delete();
    },
    kill: (site, x) => {
      if (!site.isRunning) return;
      this.#say(`${site.name}: kill`, "process killed");
      site.kill();
      this.#restart(site, x);
    },
    powerCut: (site, x) => {
      if (!site.isRunning) return;
      this.#say(`${site.name}: power cut`, "power cut");
      this.#targets.aroundPowerCut(site, () => site.crash());
      this.#restart(site, x);
    },
    diskFull: (site, x) => {
      if (!site.isRunning) return;
      const { disk } = site;
      this.#say(`${site.name}: the disk is full`, "disk full");
      disk.isFull = true;
      this.#after(x, 100, 3_000, () => {
        // An operator makes room, and starts again whoever met it.
        if (site.disk !== disk) site.endFormer();
        else if (site.isRunning) site.kill();
        disk.isFull = false;
        this.#restart(site, 0);
      });
    },
    ledgerLost: (site, x) => {
      this.#say(`${site.name}: the ledger is lost`, "ledger lost");
      site.loseLedger();
      this.#targets.onLedgerLost(site);
      this.#restart(site, x);
    },
    takeover: (site, x) => {
      const { process } = site;
      if (site.ground.lease === undefined || process === undefined || process.paused) return;
      if (site.isStopping) return;
      this.#say(`${site.name}: process hangs, another one takes over`, "takeover");
      site.takeOver();
      this.#targets.onLedgerLost(site);
      this.#targets.parts.time.after(5_000 + x * 4_000, () => site.resumeFormer());
    },
    gracefulStop: (site, x) => {
      if (!site.isRunning || site.isStopping || site.process?.paused === true) return;
      this.#say(`${site.name}: asked to stop`, "asked to stop");
      void site.stop().then(() => this.#restart(site, x));
    },
    pause: (site, x) => {
      const { process } = site;
      if (process === undefined || process.paused) return;
      this.#say(`${site.name}: process pauses`, "process paused");
      process.pause();
      this.#after(x, 50, 3_000, () => process.resume());
    },
    clockJump: (site, x) => {
      const by = Math.round(x * 400 - 200);
      this.#say(`${site.name}: wall clock jumps by ${by} ms`, "clock jump");
      site.ground.wall.skewMs += by;
    },
    forgedRecord: (site, x, y) => {
      const { caches } = this.#targets.profile;
      const cache = caches[Math.floor(y * caches.length)]?.name ?? "";
      this.#say(`${site.name}: somebody else writes into the log`, "forged record");
      forge(site.ground.log, cache, x);
    },
    logTrimmed: ({ name, ground }, x) => {
      const { stream } = ground.log;
      if (stream === undefined) return;
      const seq = Math.round(stream.firstSeq + x * (stream.lastSeq - stream.firstSeq));
      this.#say(`${name}: the log is trimmed up to ${seq}`, "log trimmed");
      stream.trim(seq);
    },
    logTruncated: ({ name, ground }, x) => {
      const { stream } = ground.log;
      if (stream === undefined) return;
      const seq = Math.round(x * stream.lastSeq);
      this.#say(`${name}: the log loses what is behind ${seq}`, "log truncated");
      ground.log.truncate(seq);
    },
    logDeleted: ({ name, ground }) => {
      if (ground.log.stream === undefined) return;
      this.#say(`${name}: the log is deleted`, "log deleted");
      ground.log.delete();
    },
  };

  #restart(site: SimSite, draw: number): void {
    this.#after(draw, 10, 2_000, () => {
      if (!site.isRunning) site.start();
    });
  }

  #after(draw: number, from: number, to: number, fn: () => void): void {
    this.#targets.parts.time.after(from + draw * (to - from), fn);
  }

  #say(line: string, count: string): void {
    this.#targets.parts.trace(line);
    this.#targets.parts.counts.add(`fault: ${count}`);
  }
}
