import { describe, expect, it } from "vitest";
import type { HandledCache } from "../../../deploy/site/handled-cache.ts";
import type { Site } from "../../../deploy/site/site.ts";
import { TombstoneRounds } from "../../../deploy/site/tombstone-rounds.ts";
import type { CacheAgent } from "../../../site-agent/cache-agent.ts";
import { TOMBSTONE_ROUND_MS } from "../../../topology/limits.ts";
import type { Context } from "../../../topology/version/entry.ts";
import type { TombstoneRound } from "../../../topology/version/tombstone.ts";
import { ManualClock } from "../../support/manual-clock.ts";

/** What a peer's last heartbeat said of the cache: its own end, and how far it applied each origin. */
interface Said {
  readonly end: bigint;
  readonly applied: Readonly<Record<string, bigint>>;
}

/** The site `lon` with peers nyc and par. */
function bench() {
  const clock = new ManualClock();
  const said = new Map<string, Said>();
  const drops: Array<{ round: TombstoneRound; floor: Context; expiredBefore: number }> = [];
  const agent = {
    gap: undefined as object | undefined,
    lastDot: 10n,
    tombstones: {
      mayBe: true,
      drop: async (round: TombstoneRound, floor: Context, expiredBefore: number) => {
        drops.push({ round, floor, expiredBefore });
        return 3;
      },
    },
    floor: (): Context => new Map([["par", 1n]]),
  };
  const receivers = [
    { origin: "nyc", appliedDot: 20n },
    { origin: "par", appliedDot: 30n },
  ];
  const peerGaps = new Map<string, object>();
  const last = (peer: string) => {
    const heard = said.get(peer);
    if (heard === undefined) return undefined;
    const applied = Object.entries(heard.applied).map(([origin, dot]) => [
      origin,
      { sessions: { dot } },
    ]);
    return {
      beat: {
        content: { ends: { sessions: { dot: heard.end } }, applied: Object.fromEntries(applied) },
      },
    };
  };
  const site = {
    name: "lon",
    peers: ["nyc", "par"],
    heartbeat: { last },
    ports: { clock, ledger: { fact: () => undefined, setFact: () => undefined } },
    config: { limits: { maxClockSkewMs: 500, tombstones: { maxAgeMs: 3_600_000_000 } } },
  } as unknown as Site;
  const refusals = { has: () => false, peers: [], byPeers: [] };
  const cache = { name: "sessions", receivers, peerGaps, refusals } as unknown as HandledCache;
  const rounds = new TombstoneRounds(site, cache, agent as unknown as CacheAgent);
  said.set("nyc", { end: 20n, applied: { lon: 10n, par: 30n } });
  said.set("par", { end: 30n, applied: { lon: 10n, nyc: 20n } });
  return { clock, said, drops, agent, receivers, peerGaps, rounds };
}

describe("tombstones", () => {
  it("go in two steps: after all applied what there was, and then the ends noted at that moment", async () => {
    const { clock, said, drops, agent, receivers, rounds } = bench();
    said.set("nyc", { end: 25n, applied: { lon: 8n, par: 30n } });
    await rounds.step();
    await rounds.step();
    expect(drops).toEqual([]);
    agent.lastDot = 11n;
    said.set("nyc", { end: 26n, applied: { lon: 10n, par: 30n } });
    said.set("par", { end: 31n, applied: { lon: 10n, nyc: 25n } });
    await rounds.step();
    expect(drops).toEqual([]);
    receivers[0] = { origin: "nyc", appliedDot: 25n };
    await rounds.step();
    const ends = new Map([
      ["lon", 10n],
      ["nyc", 25n],
      ["par", 30n],
    ]);
    const level = new Map([
      ["lon", 8n],
      ["nyc", 20n],
      ["par", 30n],
    ]);
    expect(drops).toEqual([
      { round: { level, ends }, floor: ends, expiredBefore: clock.now() - 2_500 },
    ]);
    expect(rounds.dropped).toBe(3);
  });

  it.each<[string, (made: ReturnType<typeof bench>) => void]>([
    ["a peer was never heard", ({ said }) => said.delete("par")],
    [
      "a peer says nothing of an origin",
      ({ said }) => said.set("par", { end: 30n, applied: { lon: 10n } }),
    ],
    [
      "a peer keeps a dead letter, and so stands still",
      ({ said }) => said.set("par", { end: 30n, applied: { lon: 9n, nyc: 20n } }),
    ],
    ["this site has a gap", ({ agent }) => (agent.gap = {})],
    ["this site may have missed batches of a peer", ({ peerGaps }) => peerGaps.set("nyc", {})],
    ["there are none", ({ agent }) => (agent.tombstones.mayBe = false)],
  ])("stay while %s", async (_name, change) => {
    const made = bench();
    change(made);
    for (let i = 0; i < 5; i++) {
      await made.rounds.step();
      made.clock.advance(TOMBSTONE_ROUND_MS);
    }
    expect(made.drops).toEqual([]);
  });

  it("are looked at in rounds that begin no more often than their pause", async () => {
    const { clock, drops, rounds } = bench();
    for (let i = 0; i < 10; i++) await rounds.step();
    expect(drops).toHaveLength(1);
    clock.advance(TOMBSTONE_ROUND_MS);
    for (let i = 0; i < 10; i++) await rounds.step();
    expect(drops).toHaveLength(2);
  });
});
