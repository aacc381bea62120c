import { describe, expect, it } from "vitest";
import { CacheStats } from "../../../site-agent/cache-stats.ts";
import { IdleKeys } from "../../../site-agent/idle-keys.ts";
import { KeyLocks } from "../../../site-agent/key-locks.ts";
import { OwnUses } from "../../../site-agent/own-uses.ts";
import type { Mark } from "../../../site-agent/tail/dirty-keys.ts";
import { type Evidence, judge } from "../../../site-agent/tail/judge.ts";
import { OWN_USES_MAX } from "../../../topology/limits.ts";
import type {
  CacheConnector,
  CacheLedger,
  CacheState,
  Ledger,
  WriteOutcome,
} from "../../../topology/ports.ts";
import type { Entry, Key } from "../../../topology/version/entry.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const WRITTEN = 1_700_000_000_000;
const IDLE_MS = 60_000;
const HASH = "ab".repeat(16);

const entryOf = (changes: Partial<Entry> = {}, lifespanMs = 0): Entry => {
  const expiresAt = lifespanMs === 0 ? 0 : WRITTEN + lifespanMs;
  const expiry = { expiresAt, maxIdleMs: IDLE_MS };
  return {
    context: new Map([["nyc", 1n]]),
    siblings: [
      { author: "nyc", dot: 1n, at: WRITTEN, kind: "put", hash: HASH, offsetMs: 0, ...expiry },
    ],
    presence: "live",
    held: { hash: HASH, token: 5n, seenBy: 1, ...expiry },
    outboxSeq: 0,
    ...changes,
  };
};

const waitingEntry = entryOf({ presence: "absent", held: undefined });

const stateOf = (lastUsedAt: number, maxIdleMs = IDLE_MS): CacheState => ({
  value: Buffer.from("v"),
  token: 7n,
  createdAt: 0,
  lastUsedAt,
  expiresAt: 0,
  maxIdleMs,
});

function markOf(cause: Mark["cause"], token?: bigint): Mark {
  const gapStart = cause === "scan" ? WRITTEN : undefined;
  return { cause, token, hash: undefined, events: 1, retried: false, gapStart, attempts: 0 };
}

function verdict(entry: Entry, cause: Mark["cause"], more: Partial<Evidence> = {}): string {
  return judge({
    entry,
    mark: markOf(cause, more.state?.token),
    state: undefined,
    hash: "",
    now: WRITTEN + IDLE_MS,
    listener: 1,
    expirySlackMs: 2_500,
    invalidate: false,
    asksPeers: true,
    isPast: false,
    ...more,
  }).is;
}

describe("an entry with a max-idle that is missing", () => {
  it("went idle when an expired event says that it ended before its lifespan", () => {
    expect(verdict(entryOf(), "expired")).toBe("idle");
    expect(verdict(entryOf({}, 3_600_000), "expired")).toBe("idle");
  });

  it("is expired when its lifespan is over, or there is nobody to ask", () => {
    expect(verdict(entryOf({}, IDLE_MS), "expired")).toBe("expired");
    expect(verdict(entryOf(), "expired", { asksPeers: false })).toBe("expired");
  });

  it("went idle, and was not removed, when a scan finds it missing after its earliest idle end", () => {
    expect(verdict(entryOf(), "scan")).toBe("idle");
    expect(verdict(entryOf(), "scan", { now: WRITTEN + IDLE_MS / 2 })).toBe("absence");
    expect(verdict(entryOf(), "scan", { asksPeers: false })).toBe("absence");
  });

  it("is removed when an event says so, whenever that is", () => {
    expect(verdict(entryOf(), "removed")).toBe("remove");
    expect(verdict(waitingEntry, "removed")).toBe("remove");
  });

  it("is read again after an event of a write", () => {
    expect(verdict(entryOf(), "modified")).toBe("unsettled");
  });
});

describe("a key that went idle and shows again with the bytes that it had", () => {
  it("was put anew by a client when a listener saw it come up", () => {
    const found = { state: stateOf(WRITTEN), hash: HASH };
    expect(verdict(waitingEntry, "created", found)).toBe("put");
  });

  it("is the known version when a scan finds it", () => {
    const found = { state: stateOf(WRITTEN), hash: HASH };
    expect(verdict(waitingEntry, "scan", found)).toBe("adopt");
  });
});

/** A cache with the touches of a real one: reads and writes begin the idle time anew, iteration does not. */
class FakeCache {
  readonly clock = new ManualClock(WRITTEN);
  readonly states = new Map<Key, CacheState>();
  scans = 0;
  readonly uses: OwnUses;

  constructor() {
    const connector = {
      read: async (key: Key) => {
        this.use(key);
        return this.states.get(key);
      },
      write: async (
        key: Key,
        _expected: bigint | "missing",
        _value: Uint8Array,
        { maxIdleMs }: { maxIdleMs: number },
      ): Promise<WriteOutcome> => {
        this.states.set(key, stateOf(this.clock.now(), maxIdleMs));
        return "done";
      },
      scan: async function* (this: FakeCache) {
        this.scans += 1;
        yield [...this.states].map(([key, state]) => ({ key, state }));
      }.bind(this),
    };
    this.uses = new OwnUses(connector as unknown as CacheConnector, this.clock);
  }

  /** A client reads the key. */
  use(key: Key): void {
    const state = this.states.get(key);
    if (state !== undefined) this.states.set(key, { ...state, lastUsedAt: this.clock.now() });
  }

  clientUse(key: Key): number {
    const state = this.states.get(key);
    if (state === undefined) throw new Error(`no ${key}`);
    return this.uses.clientUse(key, state);
  }
}

const write = (cache: FakeCache, key: Key): Promise<WriteOutcome> =>
  cache.uses.write(key, "missing", Buffer.from("v"), { lifespanMs: 0, maxIdleMs: IDLE_MS });

describe("the uses by Isthmus itself", () => {
  it("count as none: a write and a read of ours leave the last use by a client as it was", async () => {
    const cache = new FakeCache();
    await write(cache, "k");
    expect(cache.clientUse("k")).toBe(0);
    cache.clock.advance(5_000);
    cache.use("k");
    const used = cache.clock.now();
    expect(cache.clientUse("k")).toBe(used);
    cache.clock.advance(5_000);
    await cache.uses.read("k");
    expect(cache.states.get("k")?.lastUsedAt).toBe(used + 5_000);
    expect(cache.clientUse("k")).toBe(used);
  });

  it("do not hide a client's use that comes later", async () => {
    const cache = new FakeCache();
    await write(cache, "k");
    await cache.uses.read("k");
    cache.clock.advance(1_001);
    cache.use("k");
    expect(cache.clientUse("k")).toBe(cache.clock.now());
  });

  it("keep what a peer told of its clients", async () => {
    const cache = new FakeCache();
    cache.uses.usedElsewhere("k", WRITTEN - 10);
    await write(cache, "k");
    expect(cache.clientUse("k")).toBe(WRITTEN - 10);
  });

  it("are forgotten, the oldest first, beyond their bound", async () => {
    const cache = new FakeCache();
    await write(cache, "first");
    await write(cache, "second");
    for (let i = 0; i < OWN_USES_MAX - 1; i++) cache.uses.usedElsewhere(`k${i}`, 1);
    expect(cache.clientUse("second")).toBe(0);
    expect(cache.clientUse("first")).toBe(WRITTEN);
  });
});

function idleKeys(cache: FakeCache, entries: Map<Key, Entry>) {
  const rows = {
    get: (key: Key) => entries.get(key),
    put: (key: Key, entry: Entry) => void entries.set(key, entry),
    page: (after: Key | undefined) => (after === undefined ? [...entries] : []),
  } as unknown as CacheLedger;
  const ledger = { commit: async () => undefined } as unknown as Ledger;
  const { clock, uses } = cache;
  const stats = new CacheStats();
  const policy = "last-writer-wins";
  const merges = new Map();
  const locks = new KeyLocks();
  return new IdleKeys({ ledger, rows, locks, uses, stats, clock, policy, merges });
}

describe("what a site tells of keys that went idle at another", () => {
  it("comes from one iteration for all who ask meanwhile, and uses nothing", async () => {
    const cache = new FakeCache();
    cache.states.set("a", stateOf(WRITTEN + 1_000));
    cache.states.set("b", stateOf(WRITTEN + 2_000));
    const keys = idleKeys(cache, new Map());
    const both = Promise.all([keys.lastUses(["b", "gone"]), keys.lastUses(["a"])]);
    cache.clock.advance(0);
    await Promise.resolve();
    cache.clock.advance(0);
    expect(await both).toEqual([
      [
        { usedAt: WRITTEN + 2_000, heldUntil: WRITTEN + 2_000 + IDLE_MS },
        { usedAt: 0, heldUntil: 0 },
      ],
      [{ usedAt: WRITTEN + 1_000, heldUntil: WRITTEN + 1_000 + IDLE_MS }],
    ]);
    expect(cache.scans).toBe(1);
    expect(cache.states.get("a")?.lastUsedAt).toBe(WRITTEN + 1_000);
  });

  it("takes the write of a version for a use by its writer, and Isthmus's own apply of it for none", async () => {
    const cache = new FakeCache();
    cache.clock.advance(30_000);
    await write(cache, "k");
    const keys = idleKeys(cache, new Map([["k", entryOf()]]));
    const told = keys.lastUses(["k"]);
    await Promise.resolve();
    cache.clock.advance(0);
    expect(await told).toEqual([{ usedAt: WRITTEN, heldUntil: WRITTEN + 30_000 + IDLE_MS }]);
  });
});

describe("a key that waits for the peers' answers", () => {
  it("ends as a tombstone that keeps its versions, unless a write came meanwhile", async () => {
    const entries = new Map([
      ["waits", waitingEntry],
      ["written", entryOf()],
    ]);
    const keys = idleKeys(new FakeCache(), entries);
    expect(await keys.expire("waits")).toBe(true);
    expect(await keys.expire("written")).toBe(false);
    expect(entries.get("waits")).toEqual({ ...waitingEntry, presence: "tombstone" });
    expect(entries.get("written")).toEqual(entryOf());
  });

  it("waits by the max-idle of what shows, whatever loses against it (no copy would come ever more)", () => {
    const [sibling] = waitingEntry.siblings;
    if (sibling === undefined) throw new Error("no sibling");
    const older = { ...sibling, author: "lon", at: sibling.at - 1, maxIdleMs: 0 };
    const newer = { ...older, at: sibling.at + 1 };
    const entries = new Map([
      ["shows", { ...waitingEntry, siblings: [older, sibling] }],
      ["loses", { ...waitingEntry, siblings: [newer, sibling] }],
    ]);
    const keys = idleKeys(new FakeCache(), entries);
    expect([keys.waiting("shows"), keys.waiting("loses")]).toEqual([IDLE_MS, undefined]);
  });

  it("is told from one that lost its copy and has no max-idle, which is fetched without asking", async () => {
    const [sibling] = waitingEntry.siblings;
    if (sibling === undefined) throw new Error("no sibling");
    const plain = { ...waitingEntry, siblings: [{ ...sibling, maxIdleMs: 0 }] };
    const cache = new FakeCache();
    const keys = idleKeys(
      cache,
      new Map([
        ["idle", waitingEntry],
        ["plain", plain],
        ["live", entryOf()],
      ]),
    );
    const found = async (idles: boolean): Promise<Key[]> => {
      const list: Key[] = [];
      const reading = (async () => {
        for await (const key of keys.absentKeys(idles)) list.push(key);
      })();
      for (let i = 0; i < 8; i++) {
        await Promise.resolve();
        cache.clock.advance(0);
      }
      await reading;
      return list;
    };
    expect(await found(true)).toEqual(["idle"]);
    expect(await found(false)).toEqual(["plain"]);
  });
});
