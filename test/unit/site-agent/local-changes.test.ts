import { ErrorCode } from "../../../topology/errors.ts";
import { describe, expect, it } from "vitest";
import { CacheStats } from "../../../site-agent/cache-stats.ts";
import { LocalChanges } from "../../../site-agent/local-changes.ts";
import { Offers } from "../../../site-agent/offers.ts";
import { dotMs, makeDot, SiteClock } from "../../../topology/version/dot.ts";
import type { Context, Entry } from "../../../topology/version/entry.ts";
import { EPOCH_MS } from "../../sim/world/sim-process.ts";
import { hashOf, ScriptedCache } from "../../support/scripted-cache.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";
import { outboxOf } from "../../support/outbox.ts";

const FLOOR: Context = new Map([["lon", makeDot(5, 0)]]);

function bench(options: { withoutValues?: boolean } = {}) {
  const machine = new VirtualMachine();
  const rows = machine.ledger.cache("sessions");
  const stats = new CacheStats();
  const cache = new ScriptedCache();
  const clock = new SiteClock(machine.clock, 0n);
  clock.reserve(makeDot(EPOCH_MS + 1_000_000, 0));
  const seen = { frozen: 0, oversized: [] as number[], dots: [] as bigint[] };
  const changes = new LocalChanges({
    site: "nyc",
    cache: "sessions",
    ledger: rows,
    floor: () => FLOOR,
    dots: clock,
    stats,
    valueBytesMax: 10,
    withoutValues: options.withoutValues ?? false,
    frozenSeq: () => seen.frozen,
    onVersion: (dot) => seen.dots.push(dot),
    onQueued: () => undefined,
    onOversized: (_key, bytes) => seen.oversized.push(bytes),
  });
  const put = (value: string, at?: number): Entry => {
    cache.put("k", value, { expiresAt: 9_000, maxIdleMs: 3 });
    const state = cache.entries.get("k");
    if (state === undefined) throw new Error("nothing was put");
    return changes.put("k", rows.get("k"), state, hashOf(value), { at, seenBy: 1 });
  };
  const outbox = async () => {
    await machine.settle(machine.ledger.commit());
    return outboxOf(rows, 0, 100, 1_000_000).map(({ record }) => record);
  };
  return { machine, rows, stats, cache, changes, seen, put, outbox };
}

describe("a local change", () => {
  it("gets the next dot, takes what was seen as its context, and stands alone", async () => {
    const { put, outbox, changes, rows } = bench();
    const first = put("a");
    const second = put("b");
    const removed = changes.remove("k", rows.get("k"), undefined);
    expect(removed.siblings).toHaveLength(1);
    expect([first, second, removed].map(({ presence }) => presence)).toEqual([
      "live",
      "live",
      "tombstone",
    ]);
    const [last] = await outbox();
    expect(last).toMatchObject({ kind: "remove", hash: "", key: "k" });
    expect(last?.context).toEqual(second.context);
    expect(first.context.get("lon")).toBe(FLOOR.get("lon"));
    const own = [first, second, removed].map(({ context }) => context.get("nyc") ?? 0n);
    expect(own).toEqual(own.toSorted((a, b) => (a < b ? -1 : 1)));
    expect(new Set(own).size).toBe(3);
  });

  it("is committed with its outbox row or not at all (I6)", async () => {
    for (const committed of [false, true]) {
      const { machine, put, outbox } = bench();
      put("a");
      if (committed) await outbox();
      machine.restart();
      const rows = machine.ledger.cache("sessions");
      const found = [rows.get("k")?.presence, rows.outboxSize().rows];
      expect(found).toEqual(committed ? ["live", 1] : [undefined, 0]);
    }
  });

  it("is dated by its dot, or by what a scan says, never both", async () => {
    const { put, outbox, seen } = bench();
    expect(put("a").siblings[0]?.at).toBe(dotMs(seen.dots[0] ?? 0n));
    expect(put("b", 1_234).siblings[0]?.at).toBe(1_234);
    expect((await outbox()).at(-1)).toMatchObject({ at: 1_234, expiresAt: 9_000, maxIdleMs: 3 });
  });

  it("replaces an earlier one of its key that is in no batch yet, and no other", async () => {
    const { put, outbox, seen, stats } = bench();
    put("a");
    const { outboxSeq } = put("b");
    expect((await outbox()).map(({ value }) => String(value))).toEqual(["b"]);
    seen.frozen = outboxSeq;
    put("c");
    expect((await outbox()).map(({ value }) => String(value))).toEqual(["b", "c"]);
    expect(stats.conflated).toBe(1);
  });

  it("above the limit is versioned and reported, but not sent; the next one says that it saw it", async () => {
    const { put, outbox, seen } = bench();
    const large = put("x".repeat(11));
    expect([seen.oversized, (await outbox()).length]).toEqual([[11], 0]);
    expect(large.presence).toBe("live");
    put("small");
    const [sent] = await outbox();
    expect(sent?.context.get("nyc")).toBe(large.siblings[0]?.dot);
  });

  it("under invalidate goes to the log without its value", async () => {
    const { put, outbox } = bench({ withoutValues: true });
    put("secret");
    const [sent] = await outbox();
    expect(sent).toMatchObject({ kind: "put", hash: hashOf("secret") });
    expect(sent?.value).toBeUndefined();
  });
});

describe("what a site offers a peer of its keys", () => {
  const offer = async (
    change: (made: ReturnType<typeof bench>, entry: Entry) => void,
    copyless = false,
  ) => {
    const made = bench();
    change(made, made.put("a"));
    const { rows, cache, machine } = made;
    const options = { ledger: machine.ledger, hash: hashOf, withoutValues: false };
    const offers = new Offers(rows, cache, () => FLOOR, options);
    return machine.settle(offers.of(["k"], copyless));
  };

  it("waits until all that it tells is on disk: what a crash takes back must not live on at a peer (I6)", async () => {
    const { rows, cache, machine, put } = bench();
    put("a");
    machine.disk.isFull = true;
    const options = { ledger: machine.ledger, hash: hashOf, withoutValues: false };
    const offered = new Offers(rows, cache, () => FLOOR, options).of(["k"], false);
    const code = offered.catch((error: unknown) => (error as { code?: unknown }).code);
    expect(await machine.settle(code)).toBe(ErrorCode.LedgerBroken);
  });

  it("is the version with its value while the cache holds what the ledger says", async () => {
    const [entry] = await offer(() => undefined);
    expect(String(entry?.versions?.siblings[0]?.value)).toBe("a");
    const known = await offer(({ rows }, row) => {
      if (row.held) rows.put("k", { ...row, held: { ...row.held, token: undefined } });
    });
    expect(String(known[0]?.versions?.siblings[0]?.value)).toBe("a");
  });

  it("is nothing while the value is not settled, or there is no copy to vouch for", async () => {
    expect(await offer(({ cache }) => cache.put("k", "other"))).toEqual([]);
    expect(await offer(({ cache }) => cache.put("k", "a"))).toEqual([]);
    expect(await offer(({ cache }) => cache.entries.clear())).toEqual([]);
    expect(
      await offer(({ rows }, row) => {
        rows.put("k", { ...row, presence: "absent", held: undefined });
      }),
    ).toEqual([]);
  });

  it("is for a comparison also the versions alone of a key without a copy", async () => {
    const [told] = await offer(({ rows }, row) => {
      rows.put("k", { ...row, presence: "absent", held: undefined });
    }, true);
    expect(told?.versions?.siblings).toMatchObject([{ kind: "put", hash: hashOf("a") }]);
    expect(told?.versions?.siblings[0]?.value).toBeUndefined();
  });

  it("is the versions alone of a removed key, and the floor of one it does not know", async () => {
    const [removed] = await offer(({ changes, rows }) => changes.remove("k", rows.get("k"), 1));
    expect(removed?.versions?.siblings).toMatchObject([{ kind: "remove" }]);
    const unknown = await offer(({ rows }) => rows.delete("k"));
    expect(unknown).toEqual([{ key: "k", versions: undefined, floor: FLOOR }]);
  });
});
