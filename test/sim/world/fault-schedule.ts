import type { Fault, Profile } from "./profile.ts";
import type { SimCache, SimWorldParts } from "./sim-cache.ts";
import type { Links } from "./sim-links.ts";
import type { SimRandom } from "./sim-random.ts";
import type { SimSite } from "./sim-site.ts";

/** What the schedule can lay hands on. */
export interface Targets {
  readonly parts: SimWorldParts;
  readonly sites: readonly SimSite[];
  readonly links: Links;
  /** What a site's cache or ledger lost proves nothing any more. */
  readonly onLost: (site: string, what: "cache" | "ledger") => void;
}

/** Draws faults of the kinds that a profile allows, for as long as it is on. */
export class FaultSchedule {
  readonly #targets: Targets;
  readonly #random: SimRandom;
  readonly #kinds: readonly Fault[];
  #isOn = true;

  constructor(targets: Targets, profile: Profile) {
    this.#targets = targets;
    this.#random = targets.parts.random.fork();
    this.#kinds = [...profile.faults].filter((fault) => fault in this.#acts);
    if (this.#kinds.length > 0) this.#next();
  }

  stop(): void {
    this.#isOn = false;
  }

  #next(): void {
    this.#targets.parts.time.after(this.#random.between(50, 2_500), () => {
      if (!this.#isOn) return;
      const kind = this.#random.pick(this.#kinds);
      const site = this.#random.pick(this.#targets.sites);
      this.#acts[kind]?.(site);
      this.#next();
    });
  }

  readonly #acts: Partial<Record<Fault, (site: SimSite) => void>> = {
    listenerLoss: (site) => {
      this.#say(`${site.name}: listeners break`, "listener lost");
      for (const cache of cachesOf(site)) cache.breakListeners("the connection broke");
    },
    cacheRestart: (site) => {
      if (!site.ground.caches.isUp) return;
      this.#say(`${site.name}: cache goes down, to come back empty`, "cache restarted empty");
      for (const cache of cachesOf(site)) cache.stop();
      this.#targets.onLost(site.name, "cache");
      this.#after(50, 3_000, () => {
        for (const cache of cachesOf(site)) cache.startEmpty();
      });
    },
    linkCut: (site) => {
      const peer = this.#random.pick(this.#targets.sites.filter((s) => s !== site)).name;
      const { links } = this.#targets;
      const isBoth = this.#random.chance(0.6);
      this.#say(`link ${site.name} to ${peer} is cut, ${isBoth ? "both ways" : "one way"}`, "cut");
      links.cut(site.name, peer);
      if (isBoth) links.cut(peer, site.name);
      this.#after(100, 8_000, () => {
        links.heal(site.name, peer);
        links.heal(peer, site.name);
      });
    },
    lossyBus: () => {
      const { links } = this.#targets;
      this.#say("the bus loses messages", "lossy bus");
      links.lossy = 0.3;
      this.#after(100, 3_000, () => {
        links.lossy = 0;
      });
    },
    mirrorDeleted: (site) => {
      const mirrors = [...site.ground.mirrors.values()];
      const mirror = this.#random.pick(mirrors);
      this.#say(`${site.name}: mirror of ${mirror.origin.site} is deleted`, "mirror deleted");
      mirror.delete();
    },
    kill: (site) => {
      if (!site.isRunning) return;
      this.#say(`${site.name}: kill`, "process killed");
      site.kill();
      this.#restart(site);
    },
    powerCut: (site) => {
      if (!site.isRunning) return;
      this.#say(`${site.name}: power cut`, "power cut");
      site.crash();
      this.#targets.onLost(site.name, "ledger");
      this.#restart(site);
    },
    gracefulStop: (site) => {
      if (!site.isRunning) return;
      void site.stop().then(() => this.#restart(site));
    },
    pause: (site) => {
      const { process } = site;
      if (process === undefined || process.paused) return;
      this.#say(`${site.name}: process pauses`, "process paused");
      process.pause();
      this.#after(100, 4_000, () => process.resume());
    },
    clockJump: (site) => {
      const by = Math.round(this.#random.between(-200, 200));
      this.#say(`${site.name}: wall clock jumps by ${by} ms`, "clock jump");
      site.ground.wall.skewMs += by;
    },
  };

  #restart(site: SimSite): void {
    this.#after(10, 3_000, () => {
      if (!site.isRunning) site.start();
    });
  }

  #after(from: number, to: number, fn: () => void): void {
    this.#targets.parts.time.after(this.#random.between(from, to), fn);
  }

  #say(line: string, count: string): void {
    this.#targets.parts.trace(line);
    this.#targets.parts.counts.add(`fault: ${count}`);
  }
}

const cachesOf = (site: SimSite): SimCache[] => [...site.ground.caches.caches.values()];
