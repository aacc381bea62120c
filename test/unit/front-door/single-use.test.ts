import { describe, expect, it } from "vitest";
import { SingleUse } from "../../../site-agent/front-door/single-use.ts";
import type { CacheState, Claim, ClaimAnswer } from "../../../topology/ports.ts";
import type { Entry, Sibling } from "../../../topology/version/entry.ts";
import { ManualClock, SeededRandom } from "../../support/manual-clock.ts";
import { MemoryLogger } from "../../support/real-time.ts";

const TIMEOUT_MS = 1_000;
const DOT = 7n;
const TOKEN = 99n;

/** A key that nyc wrote, at every site that has it. */
const written = (): Entry => ({
  context: new Map([["nyc", DOT]]),
  siblings: [version("put", DOT)],
  presence: "live",
  held: { hash: "h", token: TOKEN, seenBy: 1, expiresAt: 0, maxIdleMs: 0 },
  outboxSeq: 0,
});

const version = (kind: "put" | "remove", dot: bigint): Sibling => ({
  author: "nyc",
  dot,
  at: 0,
  kind,
  hash: kind === "put" ? "h" : "",
  offsetMs: 0,
  expiresAt: 0,
  maxIdleMs: 0,
});

const removed = (): Entry => ({
  ...written(),
  siblings: [version("remove", DOT + 1n)],
  presence: "tombstone",
  held: undefined,
});

const STATE: CacheState = {
  value: Buffer.from("v"),
  token: TOKEN,
  createdAt: 0,
  lastUsedAt: 0,
  expiresAt: 0,
  maxIdleMs: 0,
};

/** Sites that share keys of nyc's: a remove shows in the rows of its site after a moment, and arrives at the others later. */
class Sites {
  readonly clock = new ManualClock();
  readonly logger = new MemoryLogger();
  readonly #random: SeededRandom;
  readonly sites = new Map<string, Site>();
  isCut = false;
  /** Of a removal, until it shows elsewhere, ms. */
  lagMs: [number, number] = [5, 40];

  constructor(names: readonly string[], seed = 1, onTimeout: "fail" | "degrade" = "fail") {
    this.#random = new SeededRandom(seed);
    for (const name of names) this.sites.set(name, new Site(name, this, onTimeout));
    // What a last run granted is over.
    this.clock.advance(TIMEOUT_MS);
  }

  at(name: string): Site {
    const site = this.sites.get(name);
    if (site === undefined) throw new Error(name);
    return site;
  }

  between([from, to]: [number, number]): number {
    return from + this.#random.next() * (to - from);
  }

  put(key: string): void {
    for (const { rows, cache } of this.sites.values()) {
      rows.set(key, written());
      cache.set(key, STATE);
    }
  }

  async pass(ms: number): Promise<void> {
    for (let i = 0; i < ms; i++) {
      this.clock.advance(1);
      for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    }
  }
}

class Site {
  readonly rows = new Map<string, Entry>();
  readonly cache = new Map<string, CacheState>();
  readonly uses: SingleUse;
  readonly #sites: Sites;

  constructor(name: string, sites: Sites, onTimeout: "fail" | "degrade") {
    this.#sites = sites;
    const { clock } = sites;
    let ids = 0;
    const wire = async <T>(work: () => Promise<T> | T): Promise<T> => {
      await clock.sleep(sites.between([1, 6]));
      if (sites.isCut) throw new Error("no answer");
      const answer = await work();
      await clock.sleep(sites.between([1, 6]));
      if (sites.isCut) throw new Error("no answer");
      return answer;
    };
    this.uses = new SingleUse({
      site: name,
      rows: { get: (key) => this.rows.get(key) },
      connector: {
        read: async (key) => {
          await clock.sleep(sites.between([0, 2]));
          return this.cache.get(key);
        },
      },
      shows: ({ siblings: [shows] }) => (shows?.kind === "put" ? shows : undefined),
      ask: (home: string, claim: Claim, timeoutMs: number): Promise<ClaimAnswer> =>
        wire(() => sites.at(home).uses.claimed(claim, timeoutMs * 0.8)),
      release: (home, { id }) =>
        void wire(() => sites.at(home).uses.released(id)).catch(() => undefined),
      timeoutMs: TIMEOUT_MS,
      onTimeout,
      newId: () => `${name}-${ids++}`,
      clock,
      logger: sites.logger,
    });
  }

  /** What a client is told: it took the key, it did not, or why it failed. `breaks`: it goes before it is told. */
  async take(key: string, { fails = false } = {}): Promise<string> {
    const { clock } = this.#sites;
    const use = this.uses.use(key);
    const refused = await new Promise<string | undefined>((resolve) => use.ready(resolve));
    if (refused !== undefined) return refused;
    await clock.sleep(this.#sites.between([0, 3]));
    const isTaken = !fails && this.cache.delete(key);
    if (isTaken) this.#tell(key);
    await clock.sleep(this.#sites.between([0, 3]));
    use.end(isTaken);
    return isTaken ? "taken" : "not there";
  }

  #tell(key: string): void {
    const { clock, sites } = this.#sites;
    clock.after(this.#sites.between([0, 5]), () => this.rows.set(key, removed()));
    for (const site of sites.values()) {
      if (site === this) continue;
      clock.after(this.#sites.between(this.#sites.lagMs), () => {
        site.cache.delete(key);
        site.rows.set(key, removed());
      });
    }
  }
}

describe("a single-use key", () => {
  it("is taken exactly once however many clients of three sites try at once", async () => {
    for (let seed = 1; seed <= 150; seed++) {
      const sites = new Sites(["nyc", "lon", "fra"], seed);
      sites.put("k");
      const told: string[] = [];
      for (let i = 0; i < 6; i++) {
        const site = sites.at(["nyc", "lon", "fra"][(seed + i) % 3] ?? "");
        sites.clock.after(sites.between([0, 30]), () => {
          void site.take("k").then((end) => told.push(end));
        });
      }
      await sites.pass(1_500);
      expect([seed, told.filter((end) => end === "taken").length, told.length]).toEqual([
        seed,
        1,
        6,
      ]);
      // The others found it gone: it came in time.
      expect(told.filter((end) => end === "not there")).toHaveLength(5);
      expect(sites.at("nyc").uses.granted).toBe(0);
    }
  });

  it("can be taken by another when whoever was granted it did not take it", async () => {
    const sites = new Sites(["nyc", "lon", "fra"]);
    sites.put("k");
    const told: string[] = [];
    void sites
      .at("lon")
      .take("k", { fails: true })
      .then((end) => told.push(`lon: ${end}`));
    await sites.pass(2);
    void sites
      .at("fra")
      .take("k")
      .then((end) => told.push(`fra: ${end}`));
    await sites.pass(200);
    expect(told).toEqual(["lon: not there", "fra: taken"]);
    expect(sites.at("lon").uses.stats).toMatchObject({ granted: 1, refused: 0 });
  });

  it("is refused under fail when its home cannot be asked, and taken under degrade, which is told of once", async () => {
    for (const onTimeout of ["fail", "degrade"] as const) {
      const sites = new Sites(["nyc", "lon"], 1, onTimeout);
      const told: string[] = [];
      sites.isCut = true;
      for (const key of ["a", "b"]) {
        sites.put(key);
        void sites
          .at("lon")
          .take(key)
          .then((end) => told.push(end));
      }
      await sites.pass(50);
      const { unasked, refused } = sites.at("lon").uses.stats;
      const errors = sites.logger.lines.filter(({ level }) => level === "error");
      if (onTimeout === "fail") {
        expect(told).toEqual(Array(2).fill(expect.stringContaining("nyc, where the key was")));
        expect([unasked, refused, errors.length]).toEqual([0, 2, 0]);
      } else {
        expect(told).toEqual(["taken", "taken"]);
        expect([unasked, refused, errors.length]).toEqual([2, 0, 1]);
      }
    }
  });

  it("is refused at another site until its use there has arrived, whatever onTimeout says", async () => {
    const sites = new Sites(["nyc", "lon"], 1, "degrade");
    sites.lagMs = [5_000, 5_000];
    sites.put("k");
    const told: string[] = [];
    void sites
      .at("nyc")
      .take("k")
      .then((end) => told.push(end));
    await sites.pass(100);
    void sites
      .at("lon")
      .take("k")
      .then((end) => told.push(end));
    await sites.pass(2_000);
    expect(told).toEqual(["taken", expect.stringContaining("on its way here")]);
    await sites.pass(4_000);
    void sites
      .at("lon")
      .take("k")
      .then((end) => told.push(end));
    await sites.pass(100);
    expect(told[2]).toBe("not there");
  });

  it("is free again when a claimant's client went while it waited", async () => {
    const sites = new Sites(["nyc", "lon"]);
    sites.put("k");
    const use = sites.at("lon").uses.use("k");
    let isReady = false;
    use.ready(() => (isReady = true));
    use.end(true);
    await sites.pass(100);
    expect([isReady, sites.at("nyc").uses.granted]).toEqual([false, 0]);
    let told = "";
    void sites
      .at("nyc")
      .take("k")
      .then((end) => (told = end));
    await sites.pass(100);
    expect(told).toBe("taken");
  });

  it("that was granted and never removed is free again after a while, which is told of", async () => {
    const sites = new Sites(["nyc", "lon"]);
    sites.put("k");
    const use = sites.at("lon").uses.use("k");
    use.ready(() => undefined);
    await sites.pass(100);
    // Its connection broke: nobody knows whether it was done.
    use.end(true);
    expect(sites.at("nyc").uses.granted).toBe(1);
    await sites.pass(TIMEOUT_MS + 6_000);
    expect(sites.at("nyc").uses.granted).toBe(0);
    expect(sites.logger.lines.map(({ message }) => message)).toEqual([
      expect.stringContaining("has not removed it"),
    ]);
  });

  it("waits at its home after a start until what the last run granted is used or given up", async () => {
    const sites = new Sites(["nyc"]);
    const site = new Site("nyc", sites, "fail");
    site.rows.set("k", written());
    site.cache.set("k", STATE);
    let told = "";
    void site.take("k").then((end) => (told = end));
    await sites.pass(TIMEOUT_MS - 10);
    expect(told).toBe("");
    await sites.pass(50);
    expect(told).toBe("taken");
  });
});
