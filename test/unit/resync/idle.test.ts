import { describe, expect, it } from "vitest";
import { decideIdle, IdleAsker, serveIdle } from "../../../gateway/resync/idle.ts";
import { encodeKeys } from "../../../gateway/resync/peer-entries.ts";
import { IDLE_KEYS_MAX, IDLE_UNANSWERED_MS_MAX } from "../../../topology/limits.ts";
import type { Bus, LastUse } from "../../../topology/ports.ts";
import type { Key } from "../../../topology/version/entry.ts";
import { ManualClock, silentLogger } from "../../support/manual-clock.ts";

const IDLE_MS = 60_000;
const NONE: LastUse = { usedAt: 0, heldUntil: 0 };

describe("what becomes of a key that went idle", () => {
  const now = 1_000_000;
  const decide = (...answers: Array<LastUse | undefined>) => decideIdle(answers, IDLE_MS, now);

  it("is put back if a client of any peer used it within the max-idle, also when another did not answer", () => {
    const used = { usedAt: now - IDLE_MS + 1, heldUntil: now + 1 };
    expect(decide(NONE, used, undefined)).toEqual({ is: "put back", usedAt: used.usedAt });
  });

  it("ends when every peer answered and none has a copy", () => {
    expect(decide(NONE, { usedAt: now - IDLE_MS, heldUntil: now })).toEqual({ is: "ended" });
  });

  it("waits for a copy that only Isthmus touched: it may be used before it ends", () => {
    const touched = { usedAt: now - IDLE_MS, heldUntil: now + 500 };
    expect(decide(touched, NONE)).toEqual({ is: "held", until: now + 500 });
  });

  it("is open while a peer did not answer", () => {
    expect(decide(undefined, NONE)).toEqual({ is: "unanswered" });
  });
});

/** One site that asks and peers that answer by `answers`: a function of the key, or undefined for a peer that is away. */
class Asking {
  readonly clock = new ManualClock();
  readonly waiting = new Map<Key, number>();
  readonly ended: Key[] = [];
  readonly fetched: Key[] = [];
  readonly questions: Array<{ peer: string; keys: number }> = [];
  readonly stats = { idleAsked: 0, idlePutBack: 0, idleExpired: 0, idleUnanswered: 0 };
  readonly answers = new Map<string, ((key: Key) => LastUse) | undefined>();
  readonly silent = new Set<string>();
  /** Whether a fetch brings the copy. */
  offers = true;
  readonly usedElsewhere: Array<[Key, number]> = [];
  readonly asker: IdleAsker;
  readonly #ending = new AbortController();
  readonly running: Promise<void>;

  constructor(peers: readonly string[], offsetMs = 0) {
    const served = new Map<string, (payload: Uint8Array) => Promise<Uint8Array>>();
    const serving = {
      serve: (subject: string, handler: (payload: Uint8Array) => Promise<Uint8Array>) => {
        served.set(subject, handler);
        return () => served.delete(subject);
      },
    } as unknown as Bus;
    for (const peer of peers) {
      serveIdle(serving, peer, () => ({
        lastUses: async (keys) => {
          this.questions.push({ peer, keys: keys.length });
          const answer = this.answers.get(peer);
          if (answer === undefined) throw new Error("away");
          return keys.map(answer);
        },
      }));
    }
    const { clock, stats } = this;
    this.asker = new IdleAsker({
      cache: "sessions",
      peers,
      rows: {
        waiting: (key) => this.waiting.get(key),
        waitingKeys: () => all([...this.waiting.keys()]),
        expire: async (key) => {
          this.ended.push(key);
          return this.waiting.delete(key);
        },
        usedElsewhere: (key, at) => void this.usedElsewhere.push([key, at]),
      },
      fetch: async (keys) => {
        this.fetched.push(...keys);
        if (this.offers) for (const key of keys) this.waiting.delete(key);
      },
      offsetMs: () => offsetMs,
      isHeard: (peer) => !this.silent.has(peer),
      stats,
      bus: {
        request: (subject: string, payload: Uint8Array) =>
          served.get(subject)?.(payload) ?? Promise.reject(new Error("nobody serves it")),
      } as unknown as Bus,
      clock,
      logger: silentLogger,
    });
    this.running = this.asker.run(this.#ending.signal);
  }

  goesIdle(...keys: Key[]): void {
    for (const key of keys) {
      this.waiting.set(key, IDLE_MS);
      this.asker.add(key);
    }
  }

  /** Lets time pass, with everything that it brings about. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      this.clock.advance(Math.min(250, left));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async end(): Promise<void> {
    this.#ending.abort();
    await this.running;
  }
}

async function* all(keys: readonly Key[]): AsyncGenerator<Key> {
  yield* keys;
}

describe("keys that go idle", () => {
  it("are asked about together, and end or are put back as the peers' clients used them", async () => {
    const site = new Asking(["lon", "fra"]);
    site.answers.set("lon", () => NONE);
    site.answers.set("fra", (key) => (key === "used" ? { usedAt: used, heldUntil: used } : NONE));
    const used = site.clock.now() - 1_000;
    site.goesIdle("used", "unused");
    await site.pass(3_000);
    expect(site.questions).toEqual([
      { peer: "lon", keys: 2 },
      { peer: "fra", keys: 2 },
    ]);
    expect(site.fetched).toEqual(["used"]);
    expect(site.usedElsewhere).toEqual([["used", used]]);
    expect(site.ended).toEqual(["unused"]);
    expect(site.stats).toEqual({
      idleAsked: 2,
      idlePutBack: 1,
      idleExpired: 1,
      idleUnanswered: 0,
    });
    await site.end();
  });

  it("are decided in this site's clock, however far the peer's is off", async () => {
    const site = new Asking(["lon"], 100_000);
    // In our clock: half a max-idle ago for one, one and a half for the other.
    const recent = site.clock.now() - 100_000 - IDLE_MS / 2;
    const usedAt = (key: Key): number => (key === "used" ? recent : recent - IDLE_MS);
    site.answers.set("lon", (key) => ({ usedAt: usedAt(key), heldUntil: 0 }));
    site.goesIdle("used", "unused");
    await site.pass(3_000);
    expect(site.fetched).toEqual(["used"]);
    expect(site.ended).toEqual(["unused"]);
    await site.end();
  });

  it("are asked about again when a peer's copy, which only Isthmus touched, is over", async () => {
    const site = new Asking(["lon"]);
    const until = site.clock.now() + 30_000;
    site.answers.set("lon", () =>
      site.clock.now() < until ? { usedAt: 1, heldUntil: until } : NONE,
    );
    site.goesIdle("k");
    await site.pass(29_000);
    expect(site.questions).toHaveLength(1);
    expect(site.ended).toEqual([]);
    await site.pass(5_000);
    expect(site.questions).toHaveLength(2);
    expect(site.ended).toEqual(["k"]);
    expect(site.fetched).toEqual([]);
    await site.end();
  });

  it("wait for a peer that does not answer, for a bounded time, then end and are counted", async () => {
    const site = new Asking(["lon"]);
    site.goesIdle("k");
    await site.pass(IDLE_UNANSWERED_MS_MAX - 1_000);
    expect(site.ended).toEqual([]);
    expect(site.questions.length).toBeGreaterThan(10);
    await site.pass(10_000);
    expect(site.ended).toEqual(["k"]);
    expect(site.stats).toMatchObject({ idleExpired: 1, idleUnanswered: 1 });
    await site.end();
  });

  it("do not wait for a silent peer when a client of another used them", async () => {
    const site = new Asking(["lon", "fra"]);
    site.silent.add("lon");
    site.answers.set("fra", (key) =>
      key === "used" ? { usedAt: site.clock.now(), heldUntil: 0 } : NONE,
    );
    site.goesIdle("used", "unused");
    await site.pass(3_000);
    expect(site.questions.every(({ peer }) => peer === "fra")).toBe(true);
    expect([site.fetched, site.ended]).toEqual([["used"], []]);
    await site.end();
  });

  it("are put back once a peer answers again", async () => {
    const site = new Asking(["lon"]);
    site.goesIdle("k");
    await site.pass(20_000);
    site.answers.set("lon", () => ({ usedAt: site.clock.now(), heldUntil: 0 }));
    await site.pass(10_000);
    expect(site.fetched).toEqual(["k"]);
    expect(site.stats).toMatchObject({ idlePutBack: 1, idleExpired: 0, idleUnanswered: 0 });
    await site.end();
  });

  it("are asked about again when the peer did not send the copy that it has", async () => {
    const site = new Asking(["lon"]);
    site.offers = false;
    site.answers.set("lon", () => ({ usedAt: site.clock.now(), heldUntil: 0 }));
    site.goesIdle("k");
    await site.pass(4_000);
    expect(site.fetched.length).toBeGreaterThan(1);
    site.offers = true;
    await site.pass(10_000);
    expect(site.stats).toMatchObject({ idlePutBack: 1 });
    await site.end();
  });

  it("are left alone when a put comes before the answers do", async () => {
    const site = new Asking(["lon"]);
    site.answers.set("lon", () => {
      site.waiting.delete("k");
      return NONE;
    });
    site.goesIdle("k");
    await site.pass(3_000);
    expect(site.questions).toHaveLength(1);
    expect([site.ended, site.fetched]).toEqual([[], []]);
    await site.pass(60_000);
    expect(site.questions).toHaveLength(1);
    await site.end();
  });

  it("of an earlier run are found in the ledger, in questions of a bounded size", async () => {
    const site = new Asking(["lon"]);
    site.answers.set("lon", () => NONE);
    for (let i = 0; i <= IDLE_KEYS_MAX; i++) site.waiting.set(`k${i}`, IDLE_MS);
    site.asker.kick();
    await site.pass(4_000);
    expect(site.questions.map(({ keys }) => keys)).toEqual([IDLE_KEYS_MAX, 1]);
    expect(site.ended).toHaveLength(IDLE_KEYS_MAX + 1);
    await site.end();
  });
});

describe("a site that is asked", () => {
  const serving = (): Promise<(payload: Uint8Array) => Promise<Uint8Array>> =>
    new Promise((resolve) => {
      const serve = (_subject: string, handler: (payload: Uint8Array) => Promise<Uint8Array>) => {
        resolve(handler);
        return () => undefined;
      };
      serveIdle({ serve } as unknown as Bus, "nyc", (cache) =>
        cache === "sessions" ? { lastUses: async (keys) => keys.map(() => NONE) } : undefined,
      );
    });

  it("refuses a cache that it does not handle, and more keys than a question may have", async () => {
    const ask = await serving();
    const keys = Array.from({ length: IDLE_KEYS_MAX + 1 }, (_, i) => `k${i}`);
    await expect(ask(encodeKeys("others", ["k"]))).rejects.toMatchObject({ code: "IS3010" });
    await expect(ask(encodeKeys("sessions", keys))).rejects.toMatchObject({ code: "IS3010" });
    await expect(ask(encodeKeys("sessions", keys.slice(1)))).resolves.toBeDefined();
  });
});
