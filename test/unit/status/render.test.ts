import { describe, expect, it } from "vitest";
import { duration, renderSites } from "../../../deploy/status/render.ts";
import { soundCache, soundOrigin, soundStatus, soundTarget } from "./example-status.ts";

describe("status as text", () => {
  it("shows a sound site in a few lines", () => {
    expect(renderSites([soundStatus()])).toBe(
      `nyc  ACTIVE  mx1 pid 4711, up 5 min  version 1.2.3  term 3  NATS connected  log 1..90
  peer lon: up, heard 120 ms ago, clock -1.5 ms (±0.4)
  CACHE  MODE   STATE  QUEUED  SITE  TO IT       AT RISK  FROM IT    LAG
  carts  async  live   0       lon   up to date  0        receiving  7 ms (mean 9 ms)
  no problems; 0 conflicts and 0 dead letters since the start
`,
    );
  });

  it("shows what is at risk for each target, gaps, and every problem", () => {
    const atRisk = { mutations: 12, bytes: 2_048, ageMs: 61_000, isAtLeast: true };
    const gap = { reason: "listener lost", since: 1 };
    const text = renderSites([
      soundStatus({
        caches: [
          soundCache({
            state: "blocked",
            gap,
            dirty: 2,
            outbox: { rows: 3, bytes: 30, oldestMs: 5 },
            targets: [soundTarget({ state: "silent", atRisk }), soundTarget({ target: "par" })],
            origins: [soundOrigin({ gap, lagMs: null, deadLetters: 1 })],
          }),
          soundCache({ cache: "keys", state: "never" }),
        ],
        problems: [
          { cache: "carts", peer: null, code: "IS2002", what: "blocked: nobody there" },
          { cache: null, peer: "lon", code: null, what: "no heartbeat of lon for 4 s" },
        ],
      }),
    ]);
    expect(text).toMatch(
      /carts {2}async {2}BLOCKED, GAP {2}5 +lon +silent +at least 12 \(2\.0 KiB, 61 s\) {2}receiving, GAP, 1 dead letters {2}-\n/,
    );
    expect(text).toMatch(/\n {27,}par {3}up to date {2}0 +- +-\n/);
    expect(text).toContain("\n  not replicated: keys (never)\n");
    expect(text).toContain("\n  2 problem(s); ");
    expect(text).toContain("\n    ! carts: blocked: nobody there (IS2002)\n");
    expect(text).toContain("\n    ! no heartbeat of lon for 4 s\n");
  });

  it("shows a site that did not answer, with the reason", () => {
    const lon = { site: "lon", state: "unreachable", reason: "IS3009 no answer" } as const;
    expect(renderSites([soundStatus(), lon])).toMatch(
      /\n\nlon {2}UNREACHABLE: IS3009 no answer\n$/,
    );
  });

  it.each([
    [0, "0 ms"],
    [999, "999 ms"],
    [1_000, "1 s"],
    [119_999, "119 s"],
    [120_000, "2 min"],
    [7_200_000, "2 h"],
    [172_800_000, "2 d"],
  ])("writes %i ms as %s", (ms, text) => {
    expect(duration(ms)).toBe(text);
  });
});
