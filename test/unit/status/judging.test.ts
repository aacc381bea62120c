import { describe, expect, it } from "vitest";
import { problemsOf } from "../../../deploy/status/problems.ts";
import { balancerAnswer, readiness } from "../../../deploy/status/readiness.ts";
import type { CacheStatus, SiteStatus } from "../../../deploy/status/site-status.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { soundCache, soundOrigin, soundStatus, soundTarget } from "./example-status.ts";

const told = (status: SiteStatus): string[] => problemsOf(status).map(({ what }) => what);
const withCache = (changes: Partial<CacheStatus>): SiteStatus =>
  soundStatus({ caches: [soundCache(changes)] });
const unreachable = {
  state: "blocked",
  why: "nobody there",
  code: ErrorCode.CacheUnreachable,
} as const;

describe("what is wrong at a site", () => {
  it("is nothing at a sound one, nor for a sync cache that nothing holds, nor for one that is off", () => {
    expect(told(soundStatus())).toEqual([]);
    expect(told(withCache({ state: "unheld", why: "no front door" }))).toEqual([]);
    expect(told(withCache({ state: "off", why: "no rule names it" }))).toEqual([]);
  });

  it("names the process, NATS and the lease first, then caches, then peers", () => {
    const status = soundStatus({
      natsConnected: false,
      leaseMsLeft: -10,
      caches: [
        soundCache({
          ...unreachable,
          gap: { reason: "listener lost", since: 1 },
          origins: [
            soundOrigin({
              state: "stalled",
              gap: { reason: "batches 3 to 4 are missing", since: 2 },
            }),
          ],
        }),
      ],
      peers: [
        {
          site: "lon",
          state: "silent",
          heardMsAgo: 4_000,
          term: 1,
          clock: { offsetMs: 900, errorMs: 1, alarm: true },
        },
      ],
    });
    expect(told(status)).toEqual([
      "the site's NATS is not connected",
      "the lease ran out and could not be renewed: nothing is written",
      "blocked: nobody there",
      "gap: listener lost",
      "from lon: stalled",
      "gap toward lon: batches 3 to 4 are missing",
      "no heartbeat of lon for 4 s",
      "the clock of lon is 900 ms from this site's",
    ]);
    expect(problemsOf(status)[2]).toEqual({
      cache: "carts",
      peer: null,
      code: ErrorCode.CacheUnreachable,
      what: "blocked: nobody there",
    });
  });

  it("says of a gap toward a peer how far its repair is", () => {
    const gap = { reason: "the log was trimmed", since: 1_200_000 };
    const running = { peer: "lon", compared: 4_096, differing: 7 };
    const resync = { repaired: 0, received: 5, sent: 2, running };
    const status = soundStatus({
      caches: [soundCache({ origins: [soundOrigin({ gap })], resync })],
    });
    expect(told(status)).toEqual([
      "gap toward lon: the log was trimmed; being repaired: 4096 keys compared, 7 differed",
    ]);
  });

  it("names a cache that an operator paused, once, and a target that is offline, with what is at risk", () => {
    const offline = {
      by: "rule",
      why: "no heartbeat for 31 s",
      since: 1,
      isReturning: true,
    } as const;
    const atRisk = { mutations: 12, bytes: 900, ageMs: 40_000, isAtLeast: true };
    const why = "no heartbeat for 31 s; back when level: no heartbeat comes";
    const caches = [
      soundCache({
        pausedSince: Date.UTC(2026, 10, 21),
        origins: [soundOrigin({ state: "paused" })],
        targets: [soundTarget({ state: "offline", why, offline, atRisk })],
      }),
    ];
    expect(told(soundStatus({ caches }))).toEqual([
      "paused by an operator since 2026-11-21T00:00:00.000Z: nothing of other sites is applied until isthmus resume",
      "lon is offline: no heartbeat for 31 s; back when level: no heartbeat comes; at least 12 changes are at risk",
    ]);
    expect(problemsOf(soundStatus({ caches }))[1]).toMatchObject({
      peer: "lon",
      code: ErrorCode.TargetOffline,
    });
  });

  it("names a site that has to be re-seeded, at both ends, instead of what that blocks", () => {
    const origins = [soundOrigin({ state: "blocked", why: "refused", refusedSince: 5 })];
    const targets = [soundTarget({ refusesThis: true })];
    const found = problemsOf(soundStatus({ caches: [soundCache({ origins, targets })] }));
    expect(found.map(({ what }) => what)).toEqual([
      "lon takes nothing of this site, which was away for longer than limits.tombstones.maxAge: re-seed it",
      "lon was away for longer than limits.tombstones.maxAge: nothing of it is taken until it is re-seeded",
    ]);
    expect(found.every(({ code }) => code === ErrorCode.ReseedNeeded)).toBe(true);
  });

  it("is a process that is not active, before anything else is known of it", () => {
    expect(told(soundStatus({ state: "standby", caches: [], peers: [] }))).toEqual([
      "the process is standby",
    ]);
  });
});

describe("readiness", () => {
  it("is given while caches are live or being scanned", () => {
    for (const state of ["live", "unheld", "scanning", "off", "never"] as const)
      expect(readiness(withCache({ state }))).toEqual({ ok: true, reasons: [] });
  });

  it("is refused with every reason", () => {
    const status = soundStatus({
      state: "stopping",
      natsConnected: false,
      caches: [soundCache({ ...unreachable }), soundCache({ cache: "work", state: "starting" })],
    });
    expect(readiness(status)).toEqual({
      ok: false,
      reasons: [
        "the process is stopping",
        "the site's NATS is not connected",
        "cache carts is blocked: nobody there",
        "cache work is starting",
      ],
    });
  });

  it("is refused before an active process has taken up its caches", () => {
    expect(readiness(soundStatus({ caches: [] }))).toEqual({
      ok: false,
      reasons: ["no cache is taken up yet"],
    });
  });
});

describe("the balancer's answer", () => {
  it("is yes without NATS, with one cache missing, and with no cache to handle", () => {
    const missing = soundCache({ state: "blocked", why: "gone", code: ErrorCode.CacheMissing });
    for (const status of [
      soundStatus({ natsConnected: false }),
      soundStatus({ caches: [missing, soundCache({ cache: "work" })] }),
      soundStatus({ caches: [] }),
    ])
      expect(balancerAnswer(status)).toEqual({ ok: true, reasons: [] });
  });

  it("is no on a process that is not active, and while the local cache is away or not reached yet", () => {
    expect(balancerAnswer(soundStatus({ state: "standby" })).reasons).toEqual([
      "the process is standby",
    ]);
    const both = soundStatus({ caches: [soundCache(unreachable), soundCache({ cache: "work" })] });
    expect(balancerAnswer(both).reasons).toEqual(["the local cache cannot be used: nobody there"]);
    expect(balancerAnswer(withCache({ state: "starting" })).reasons).toEqual([
      "the local cache was not reached yet",
    ]);
  });
});
