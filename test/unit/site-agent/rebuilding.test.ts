import { describe, expect, it } from "vitest";
import { Rebuilding } from "../../../site-agent/apply/rebuilding.ts";
import { CACHE_RUN_TOLERANCE_MS, DOT_RESERVE_MS } from "../../../topology/limits.ts";
import { hashOf } from "../../support/scripted-cache.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";
import { arrival } from "./applier-bench.ts";

/** When the cache's server started, ms since the epoch. */
const STARTED = 1_000_000;
/** A dot of then is of that run for certain. */
const SINCE = STARTED + CACHE_RUN_TOLERANCE_MS + DOT_RESERVE_MS + 1;

function bench(...runs: string[]) {
  const rows = new VirtualMachine().ledger.cache("sessions");
  const servers = new Map(runs.map((run, i) => [`server ${i}`, run]));
  const parts = { site: "lon", rows, floor: () => new Map(), runs: () => servers };
  const rebuilding = new Rebuilding(parts);
  const presence = (author: string, at: number): string | undefined => {
    rebuilding.take("k", [arrival(author, at, `v${at}`)]);
    return rows.get("k")?.presence;
  };
  return { rows, rebuilding, presence };
}

describe("a ledger that was lost", () => {
  it("has what the site itself wrote in the present run of its cache: if it is missing, it was deleted (I3)", () => {
    expect(bench(`start ${STARTED} 77`).presence("lon", SINCE)).toBe("live");
  });

  it("has no copy of what a cache that was restarted may have lost, nor where no server tells its start", () => {
    expect(bench(`start ${STARTED} 77`).presence("lon", SINCE - 1)).toBe("absent");
    expect(bench("boot a").presence("lon", SINCE)).toBe("absent");
    expect(bench("topology 77").presence("lon", SINCE)).toBe("absent");
  });

  it("has no copy of what another site wrote: it may not have been applied here", () => {
    const { presence } = bench(`start ${STARTED} 77`);
    expect(presence("nyc", SINCE)).toBe("absent");
    // Written here, then overwritten there.
    const overwritten = bench(`start ${STARTED} 77`);
    expect(overwritten.presence("lon", SINCE)).toBe("live");
    const seen = new Map([["lon", arrival("lon", SINCE, "x").dot]]);
    overwritten.rebuilding.take("k", [arrival("nyc", SINCE + 1, "w", { context: seen })]);
    expect(overwritten.rows.get("k")?.presence).toBe("absent");
  });

  it("knows every value that the logs told of, until a scan has learned what the cache holds", () => {
    const { rebuilding } = bench();
    rebuilding.take("k", [arrival("nyc", 1, "old"), arrival("nyc", 2, "new")]);
    expect([rebuilding.isOn, rebuilding.isBlind]).toEqual([true, false]);
    expect(rebuilding.hasTold("k", hashOf("old"))).toBe(true);
    expect(rebuilding.hasTold("other", hashOf("old"))).toBe(false);
    rebuilding.over();
    expect([rebuilding.isOn, rebuilding.hasTold("k", hashOf("old"))]).toEqual([false, false]);
  });
});
