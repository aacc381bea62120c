import { describe, expect, it } from "vitest";
import type { HandledCache } from "../../../deploy/site/handled-cache.ts";
import {
  noteUncleanEnd,
  rebuildFromLogs,
  recoverUncommitted,
} from "../../../deploy/site/recovery.ts";
import type { Site } from "../../../deploy/site/site.ts";
import { PositionStore } from "../../../gateway/receive/position-store.ts";
import type { Uncommitted } from "../../../site-agent/apply/recovery.ts";
import type { CacheAgent } from "../../../site-agent/cache-agent.ts";
import { RECOVERY_UNHEARD_MS_MAX } from "../../../topology/limits.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { type BatchHeader, encodeBatch } from "../../../topology/mutation/batch.ts";
import { logSubject } from "../../../topology/names.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import type { Arrival } from "../../../topology/version/join.ts";
import { silentLogger } from "../../support/manual-clock.ts";
import { ScriptedLog } from "../../support/scripted-log.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";

const batch = (origin: string, ms: number, header: Partial<BatchHeader> = {}): Buffer => {
  const base = { origin, cache: "sessions", epoch: 1, term: 1, incarnation: "i", counter: ms };
  const more = { policyHash: "p", mode: "async", offsets: new Map(), mediaType: "t", held: false };
  const mutation = {
    key: `k${ms % 2}`,
    kind: "remove",
    dot: makeDot(ms, 0),
    context: new Map(),
  } as const;
  return encodeBatch({ ...base, ...more, ...header } as BatchHeader, [
    { ...mutation, at: ms, hash: "", expiresAt: 0, maxIdleMs: 0 },
  ]);
};

/** A site `lon` with its own log and nyc's mirror. */
async function bench() {
  const machine = new VirtualMachine();
  const [log, mirror] = [new ScriptedLog(), new ScriptedLog()];
  await log.recreate();
  await mirror.recreate();
  const positions = new PositionStore(machine.ledger);
  const head = { incarnation: "i", standing: { incarnation: "i", lastSeq: 0 } };
  const above: bigint[] = [];
  let heard: unknown;
  const site = {
    name: "lon",
    ports: {
      ledger: machine.ledger,
      log,
      mirrors: new Map([["nyc", mirror]]),
      logger: silentLogger,
      clock: machine.clock,
    },
    startedAt: machine.clock.monotonic(),
    heartbeat: { last: () => heard },
    positions,
    head,
    config: { policies: [], preset: "none" },
    offsetFrom: () => 7,
    noteOwnDot: (_cache: string, context: ReadonlyMap<string, bigint>) => {
      const dot = context.get("lon");
      if (dot !== undefined) above.push(dot);
    },
  } as unknown as Site;
  const cache = {
    name: "sessions",
    receivers: [{ origin: "nyc" }],
    refusals: { voidUpTo: () => 0n },
  } as unknown as HandledCache;
  const found: Uncommitted[] = [];
  const rebuilt: Array<[string, readonly Arrival[]]> = [];
  let failure: Error | undefined;
  const agent = {
    recover: async (window: () => Promise<Uncommitted>) => {
      found.push(await window());
      if (failure !== undefined) throw failure;
    },
    rebuild: (key: string, arrivals: readonly Arrival[]) => rebuilt.push([key, arrivals]),
  } as unknown as CacheAgent;
  const stored = (from: ScriptedLog, origin: string, ...dots: number[]) => {
    for (const ms of dots) from.store(logSubject(origin, "sessions"), batch(origin, ms));
  };
  machine.ledger.setFact("alive/sessions", 1);
  const recover = () => machine.settle(recoverUncommitted(site, cache, agent));
  const rebuild = () => machine.settle(rebuildFromLogs(site, cache, agent));
  const fail = (error: Error | undefined) => (failure = error);
  return {
    machine,
    log,
    mirror,
    positions,
    head,
    site,
    found,
    rebuilt,
    above,
    stored,
    recover,
    rebuild,
    fail,
    hear: (lastSeq: number) => (heard = { beat: { content: { log: { lastSeq } } } }),
  };
}

const msOf = (window: ReadonlyMap<string, readonly Arrival[]> | undefined): number[] =>
  [...(window ?? new Map<string, readonly Arrival[]>()).values()]
    .flat()
    .map(({ at }) => at)
    .toSorted((a, b) => a - b);

describe("after an unclean end", () => {
  it("the own log behind the last acknowledgement and each mirror from position to bound are looked at, no more", async () => {
    const lon = await bench();
    lon.stored(lon.log, "lon", 1, 2, 3, 4);
    lon.stored(lon.mirror, "nyc", 11, 12, 13, 14, 15);
    lon.head.standing.lastSeq = 2;
    const at = { incarnation: "i", counter: 1, dot: 0n, isIncomplete: false };
    lon.positions.set("nyc", "sessions", { seq: 1, ...at });
    lon.positions.setBound("nyc", "sessions", 4);
    lon.hear(5);
    noteUncleanEnd(lon.site);
    await lon.recover();
    const [window] = lon.found;
    expect([msOf(window?.published), msOf(window?.arrivals)]).toEqual([
      [3, 4],
      [12, 13, 14],
    ]);
    const arrivals = [...(window?.arrivals.values() ?? [])].flat();
    expect(arrivals.every(({ author, offsetMs }) => author === "nyc" && offsetMs === 7)).toBe(true);
  });

  it("a second crash, or acknowledgements of this run, do not shorten what is looked at; done once, it is over (I6)", async () => {
    const lon = await bench();
    lon.stored(lon.log, "lon", 1, 2, 3);
    lon.head.standing.lastSeq = 1;
    noteUncleanEnd(lon.site);
    lon.fail(new Error("the cache is away"));
    await expect(lon.recover()).rejects.toThrow("away");
    lon.head.standing.lastSeq = 3;
    noteUncleanEnd(lon.site);
    lon.fail(undefined);
    await lon.recover();
    expect(lon.found.map(({ published }) => msOf(published))).toEqual([
      [2, 3],
      [2, 3],
    ]);
    await lon.recover();
    expect(lon.found).toHaveLength(2);
  });

  it("nothing is looked at after a clean end", async () => {
    const lon = await bench();
    lon.stored(lon.log, "lon", 1);
    await lon.recover();
    expect(lon.found).toEqual([]);
  });

  it("the whole own log is looked at if it was made anew since", async () => {
    const lon = await bench();
    lon.stored(lon.log, "lon", 1, 2);
    lon.head.standing.lastSeq = 2;
    noteUncleanEnd(lon.site);
    lon.head.incarnation = "another";
    await lon.recover();
    expect(msOf(lon.found[0]?.published)).toEqual([1, 2]);
  });

  it("a mirror that was made anew since is waited for until it has what was applied, as far as the origin's log goes (I6)", async () => {
    const lon = await bench();
    lon.stored(lon.mirror, "nyc", 11);
    lon.positions.setMirror("nyc", "sessions", "before");
    lon.positions.setBound("nyc", "sessions", 50);
    noteUncleanEnd(lon.site);
    await expect(lon.recover()).rejects.toMatchObject({ code: ErrorCode.MirrorReplaced });
    lon.hear(2);
    await expect(lon.recover()).rejects.toMatchObject({ code: ErrorCode.MirrorReplaced });
    lon.stored(lon.mirror, "nyc", 12);
    await lon.recover();
    expect(msOf(lon.found.at(-1)?.arrivals)).toEqual([11, 12]);
  });

  it("a mirror made anew of an origin that nobody hears is taken as it is after a while", async () => {
    const lon = await bench();
    lon.stored(lon.mirror, "nyc", 11);
    lon.positions.setBound("nyc", "sessions", 50);
    noteUncleanEnd(lon.site);
    await expect(lon.recover()).rejects.toMatchObject({ code: ErrorCode.MirrorReplaced });
    await lon.machine.pass(RECOVERY_UNHEARD_MS_MAX);
    await lon.recover();
    expect(msOf(lon.found.at(-1)?.arrivals)).toEqual([11]);
  });

  it("the mirror that the last run applied from is taken as it is, also when nobody hears its origin", async () => {
    const lon = await bench();
    lon.stored(lon.mirror, "nyc", 11);
    const { created } = (await lon.mirror.state()) ?? { created: "" };
    lon.positions.setMirror("nyc", "sessions", created);
    lon.positions.setBound("nyc", "sessions", 50);
    noteUncleanEnd(lon.site);
    await lon.recover();
    expect(msOf(lon.found.at(-1)?.arrivals)).toEqual([11]);
  });

  it("a batch that was refused or set aside stops nothing and brings in nothing; an unknown wire version stops (I9)", async () => {
    const lon = await bench();
    const subject = logSubject("nyc", "sessions");
    lon.mirror.store(subject, batch("par", 1));
    lon.mirror.store(subject, batch("nyc", 2, { cache: "users" }));
    lon.mirror.store(subject, batch("nyc", 3).subarray(0, 20));
    lon.mirror.store(subject, batch("nyc", 4));
    lon.positions.setBound("nyc", "sessions", 50);
    lon.hear(4);
    noteUncleanEnd(lon.site);
    await lon.recover();
    expect(msOf(lon.found[0]?.arrivals)).toEqual([4]);
    const newer = batch("nyc", 5);
    newer[1] = 99;
    lon.mirror.store(subject, newer);
    noteUncleanEnd(lon.site);
    await expect(lon.recover()).rejects.toMatchObject({ code: ErrorCode.WireVersionUnknown });
  });
});

describe("a ledger that was lost", () => {
  it("is rebuilt from all of the own log, then the mirrors, and dots start above every own one", async () => {
    const lon = await bench();
    const own = Array.from({ length: 1_200 }, (_, i) => i + 1);
    lon.stored(lon.log, "lon", ...own);
    lon.stored(lon.mirror, "nyc", 2_001, 2_002);
    await lon.rebuild();
    const arrivals = lon.rebuilt.flatMap(([, each]) => each);
    expect(arrivals.map(({ at }) => at).toSorted((a, b) => a - b)).toEqual([...own, 2_001, 2_002]);
    expect(arrivals.slice(-2).map(({ author, offsetMs }) => [author, offsetMs])).toEqual([
      ["nyc", 7],
      ["nyc", 7],
    ]);
    for (const [key, each] of lon.rebuilt) {
      expect(each.map(({ at }) => at)).toEqual(each.map(({ at }) => at).toSorted((a, b) => a - b));
      expect(each.every(({ at }) => key === `k${at % 2}`)).toBe(true);
    }
    expect(lon.above).toContain(makeDot(1_200, 0));
    expect(lon.above).not.toContain(makeDot(2_002, 0));
  });

  it("is rebuilt from nothing where no log has anything", async () => {
    const lon = await bench();
    lon.mirror.drop();
    await lon.rebuild();
    expect(lon.rebuilt).toEqual([]);
  });
});
