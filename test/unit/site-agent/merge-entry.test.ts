import { describe, expect, it } from "vitest";
import { fulfilled, Intents, type Intent } from "../../../site-agent/apply/intents.ts";
import type { Context, Versions } from "../../../topology/version/entry.ts";
import { EPOCH_MS } from "../../sim/world/sim-process.ts";
import { hashOf } from "../../support/scripted-cache.ts";
import { ApplierBench, arrival } from "./applier-bench.ts";

const LATER = EPOCH_MS + 60_000;

/** A peer's entry of one version. */
function entryOf(value: string | undefined, at = LATER): Versions {
  const { context: _saw, ...sibling } = arrival("nyc", at, value);
  return { context: new Map([["nyc", sibling.dot]]), siblings: [sibling] };
}

const merge = (lon: ApplierBench, versions: Versions | undefined, floor: Context = new Map()) =>
  lon.machine.settle(lon.applier.merge("k", { key: "k", versions, floor }));

const intentsOf = (lon: ApplierBench): Intents => new Intents(lon.machine.ledger, "sessions");

describe("a peer's whole entry", () => {
  it("has its intent on disk before the cache is written, and not any more when the row is committed (I6)", async () => {
    const lon = new ApplierBench();
    await lon.captured("local");
    const onDisk: unknown[] = [];
    lon.cache.beforeWrite = () => {
      for (const [name, fact] of lon.machine.disk.table("fact\0intent/")) onDisk.push(name, fact);
    };
    expect(await merge(lon, entryOf("theirs"))).toBe("written");
    expect(onDisk).toMatchObject(["sessions/1", { key: "k", hash: hashOf("theirs") }]);
    expect(lon.machine.disk.table("fact\0intent/")).toEqual([]);
    expect([lon.cache.text("k"), lon.authors]).toEqual(["theirs", ["lon", "nyc"]]);
  });

  it("that a crash cut off after the write is known by its intent: the state is that version, with its token (I4, I6)", async () => {
    for (const value of ["theirs", undefined]) {
      const lon = new ApplierBench();
      const row = await lon.captured("local");
      lon.cache.fates = ["done, no answer"];
      lon.cache.beforeWrite = () => {
        lon.cache.read = () => new Promise(() => undefined);
      };
      void lon.applier.merge("k", { key: "k", versions: entryOf(value), floor: new Map() });
      await lon.machine.pass(1_000);
      lon.machine.restart();
      const rows = lon.machine.ledger.cache("sessions");
      const state = lon.cache.entries.get("k");
      const read = () => Promise.resolve(state);
      const recovering = intentsOf(lon).recover(rows, { read }, hashOf);
      expect(await lon.machine.settle(recovering)).toBe(1);
      expect(rows.get("k")).toMatchObject({
        presence: value === undefined ? "tombstone" : "live",
        siblings: [{ author: "lon", hash: row.held?.hash }, { author: "nyc" }],
        held: value === undefined ? undefined : { hash: hashOf(value), token: state?.token },
      });
      expect([...intentsOf(lon).leftover()]).toEqual([]);
    }
  });

  it("that a crash cut off before the write leaves the row as it was", async () => {
    const lon = new ApplierBench();
    const row = await lon.captured("local");
    const intent: Intent = {
      key: "k",
      plan: { write: "put", hash: hashOf("theirs"), expiresAt: 0, maxIdleMs: 0 },
      versions: entryOf("theirs"),
    };
    const state = lon.cache.entries.get("k");
    expect(fulfilled(intent, row, state, hashOf)).toBeUndefined();
    expect(fulfilled(intent, row, undefined, hashOf)).toBeUndefined();
    const remove = { write: "remove", presence: "tombstone" } as const;
    expect(fulfilled({ ...intent, plan: remove }, row, state, hashOf)).toBeUndefined();
  });

  it("of which the peer's floor covers all takes away what is here, and keeps that both saw it", async () => {
    const lon = new ApplierBench();
    await lon.apply(arrival("nyc", 5, "old"));
    const { dot } = arrival("nyc", 9, undefined);
    expect(await merge(lon, undefined, new Map([["nyc", dot]]))).toBe("written");
    expect([lon.cache.text("k"), lon.row?.presence, lon.authors]).toEqual([
      undefined,
      "tombstone",
      [],
    ]);
    // What the floor covers is dropped when it comes late.
    expect(await lon.apply(arrival("nyc", 8, "late"))).toBe("covered");
    expect(lon.cache.text("k")).toBeUndefined();
    expect(lon.published).toEqual([]);
  });

  it("makes no row of a key that is unknown at both", async () => {
    const lon = new ApplierBench();
    expect(await merge(lon, undefined, new Map([["nyc", 9n]]))).toBe("covered");
    expect(lon.row).toBeUndefined();
  });

  it("with other bytes for the same version gives way or wins the same way at both sites", async () => {
    for (const [mine, theirs] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      const lon = new ApplierBench();
      await lon.apply(arrival("nyc", 5, mine));
      await merge(lon, entryOf(theirs, 5));
      const winner = hashOf(mine) > hashOf(theirs) ? mine : theirs;
      expect(lon.cache.text("k")).toBe(winner);
    }
  });
});
