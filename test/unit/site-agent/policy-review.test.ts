import { describe, expect, it } from "vitest";
import { PolicyReview } from "../../../site-agent/policy-review.ts";
import { EPOCH_MS } from "../../sim/world/sim-process.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { LEDGER_PAGE_ROWS } from "../../../topology/limits.ts";
import { conflictPolicyHash } from "../../../topology/policy/conflict-policy-hash.ts";
import type { ConflictPolicy } from "../../../topology/policy/conflict.ts";
import type { Mode } from "../../../topology/policy/mode.ts";
import { hashOf } from "../../support/scripted-cache.ts";
import { MemoryLogger } from "../../support/real-time.ts";
import { unionMerge } from "../version/sites-model.ts";
import { ApplierBench, arrival } from "./applier-bench.ts";

const LATER = EPOCH_MS + 60_000;

/** The bench's site starts with this policy in its file: what it reviews, and when it is done. */
class Started {
  readonly lon: ApplierBench;
  readonly settled: string[] = [];
  readonly logger = new MemoryLogger();
  readonly #review: PolicyReview;

  constructor(lon: ApplierBench, conflict: ConflictPolicy, mode: Mode = "async") {
    this.lon = lon;
    lon.changePolicy(conflict);
    this.#review = new PolicyReview({
      cache: "sessions",
      policy: {
        cache: "sessions",
        mode,
        conflict,
        timeoutMs: 1_500,
        onTimeout: "degrade",
        to: undefined,
        rename: new Map(),
        evicts: false,
        singleUse: undefined,
        localKeys: [],
        reason: "a test",
      },
      policyHash: conflictPolicyHash(conflict),
      merges: unionMerge,
      ledger: lon.machine.ledger,
      rows: lon.rows,
      applier: {
        settle: (key) => {
          this.settled.push(key);
          return lon.applier.settle(key);
        },
        contest: () => Promise.reject(new Error("nothing here is new")),
      },
      clock: lon.machine.clock,
      logger: this.logger,
    });
  }

  async run(signal = new AbortController().signal): Promise<void> {
    await this.lon.machine.settle(this.#review.run(signal, false));
  }
}

/** What shows at `lon` under a policy: written there, after `nyc`'s older version and before `fra`'s newer one. */
async function siteWith(policy: ConflictPolicy, newest: string | undefined): Promise<ApplierBench> {
  const lon = new ApplierBench(policy);
  await new Started(lon, policy).run();
  await lon.captured("own");
  await lon.apply(arrival("nyc", 1, "oldest"));
  await lon.apply(arrival("fra", LATER, newest));
  return lon;
}

describe("a change of conflict policy", () => {
  it.each<[ConflictPolicy, string | undefined, ConflictPolicy, string | undefined]>([
    ["last-writer-wins", "newest", "first-writer-wins", "oldest"],
    ["first-writer-wins", "newest", "last-writer-wins", "newest"],
    ["last-writer-wins", "newest", { preferSite: ["lon"] }, "own"],
    ["prefer-remove", undefined, "prefer-put", "own"],
    ["prefer-put", undefined, "prefer-remove", undefined],
    ["last-writer-wins", undefined, "first-writer-wins", "oldest"],
    ["last-writer-wins", "newest", { merge: "union" }, "delnostw"],
    [{ merge: "union" }, "newest", "last-writer-wins", "newest"],
  ])(
    "from %j, with a newest %j, to %j shows %j, and publishes nothing",
    async (before, newest, now, shows) => {
      const lon = await siteWith(before, newest);
      const [published, siblings] = [lon.published.length, lon.row?.siblings.length];
      expect(siblings).toBe(3);
      const again = new Started(lon, now);
      await again.run();
      expect(lon.cache.text("k")).toBe(shows);
      expect(lon.row?.presence).toBe(shows === undefined ? "tombstone" : "live");
      expect([lon.published.length, lon.row?.siblings.length]).toEqual([published, siblings]);
    },
  );

  it("is over once every key was evaluated: the next start under it looks at none", async () => {
    const lon = await siteWith("last-writer-wins", "newest");
    const changed = new Started(lon, "first-writer-wins");
    await changed.run();
    expect(changed.settled).toEqual(["k"]);
    expect(changed.logger.lines.map(({ fields }) => fields)).toMatchObject([
      { reviewed: 1, written: 1 },
    ]);
    const next = new Started(lon, "first-writer-wins");
    await next.run();
    expect([next.settled, next.logger.lines]).toEqual([[], []]);
  });

  it("that was cut short is begun again, by a fault or by a stop", async () => {
    const lon = await siteWith("last-writer-wins", "newest");
    const failing = new Started(lon, "first-writer-wins");
    lon.cache.fates = ["refused"];
    await expect(failing.run()).rejects.toMatchObject({ code: ErrorCode.CacheMissing });
    const ended = new AbortController();
    ended.abort();
    await new Started(lon, "first-writer-wins").run(ended.signal);
    expect(lon.cache.text("k")).toBe("newest");
    const again = new Started(lon, "first-writer-wins");
    await again.run();
    expect([again.settled, lon.cache.text("k")]).toEqual([["k"], "oldest"]);
  });

  it("leaves alone what has one version, no copy, or ended by itself", async () => {
    const lon = await siteWith("last-writer-wins", "newest");
    const row = lon.row;
    if (row === undefined) throw new Error("nothing was applied");
    lon.rows.put("one version", { ...row, siblings: row.siblings.slice(0, 1) });
    lon.rows.put("absent", { ...row, presence: "absent", held: undefined });
    const siblings = row.siblings.map((sibling) => ({ ...sibling, expiresAt: 1 }));
    lon.rows.put("ended", { ...row, siblings, presence: "tombstone", held: undefined });
    await lon.machine.settle(lon.machine.ledger.commit());
    // It is fra's version that ended: its bytes were in the cache.
    const shown = new Started(lon, { preferSite: ["fra"] });
    await shown.run();
    expect(shown.settled).toEqual(["k"]);
    expect(["one version", "absent", "ended"].map((key) => lon.cache.text(key))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("brings up what was hidden behind an entry that ended", async () => {
    const lon = await siteWith("last-writer-wins", "newest");
    const row = lon.row;
    if (row === undefined) throw new Error("nothing was applied");
    lon.cache.entries.delete("k");
    lon.rows.put("k", { ...row, presence: "tombstone", held: undefined });
    await lon.machine.settle(lon.machine.ledger.commit());
    await new Started(lon, "first-writer-wins").run();
    expect(lon.cache.text("k")).toBe("oldest");
  });

  it("takes a ledger that was never evaluated, and a cache under invalidate, for evaluated", async () => {
    const lon = new ApplierBench("last-writer-wins");
    await lon.captured("own");
    await lon.apply(arrival("nyc", 1, "oldest"));
    const first = new Started(lon, "first-writer-wins");
    await first.run();
    const invalidating = new Started(lon, "last-writer-wins", "invalidate");
    await invalidating.run();
    expect([first.settled, invalidating.settled]).toEqual([[], []]);
    const back = new Started(lon, "last-writer-wins");
    await back.run();
    expect(back.settled).toEqual([]);
  });

  it("is seen through over a ledger of many pages", async () => {
    const lon = await siteWith("last-writer-wins", "newest");
    const row = lon.row;
    if (row?.held === undefined) throw new Error("nothing was applied");
    const count = LEDGER_PAGE_ROWS + 10;
    const names = Array.from({ length: count }, (_, i) => `k${String(i).padStart(5, "0")}`);
    for (const name of names) {
      const token = lon.cache.put(name, "newest");
      lon.rows.put(name, { ...row, held: { ...row.held, hash: hashOf("newest"), token } });
    }
    await lon.machine.settle(lon.machine.ledger.commit());
    const changed = new Started(lon, "first-writer-wins");
    await changed.run();
    expect(changed.settled).toHaveLength(count + 1);
    expect(names.filter((name) => lon.cache.text(name) !== "oldest")).toEqual([]);
  });
});
