import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Mark } from "../../../site-agent/tail/dirty-keys.ts";
import { type Evidence, judge } from "../../../site-agent/tail/judge.ts";
import type { CacheState } from "../../../topology/ports.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import type { Entry, Held } from "../../../topology/version/entry.ts";

const NOW = 1_800_000_000_000;
const HELD: Held = { hash: "h", token: 5n, seenBy: 1, expiresAt: 0, maxIdleMs: 0 };

const entry = (presence: Entry["presence"], held: Partial<Held> = {}): Entry => ({
  context: new Map([["nyc", makeDot(NOW - 60_000, 0)]]),
  siblings: [
    {
      author: "nyc",
      dot: makeDot(NOW - 60_000, 0),
      at: NOW - 60_000,
      kind: "put",
      hash: "h",
      expiresAt: 0,
      maxIdleMs: 0,
      offsetMs: 0,
    },
  ],
  presence,
  held: presence === "live" ? { ...HELD, ...held } : undefined,
  outboxSeq: 0,
});

const mark = (cause: Mark["cause"], token?: bigint, more: Partial<Mark> = {}): Mark => ({
  cause,
  token,
  hash: undefined,
  events: cause === "scan" ? 0 : 1,
  retried: false,
  gapStart: cause === "scan" ? NOW - 1_000 : undefined,
  attempts: 0,
  ...more,
});

const state = (token: bigint, more: Partial<CacheState> = {}): CacheState => ({
  value: Buffer.from("v"),
  token,
  createdAt: 0,
  lastUsedAt: 0,
  expiresAt: 0,
  maxIdleMs: 0,
  ...more,
});

const judged = (
  row: Entry | undefined,
  why: Mark,
  found: CacheState | undefined,
  hash = "h",
  more: Partial<Evidence> = {},
) =>
  judge({
    entry: row,
    mark: why,
    state: found,
    hash: found === undefined ? "" : hash,
    now: NOW,
    listener: 1,
    expirySlackMs: 2_500,
    invalidate: false,
    asksPeers: false,
    isPast: false,
    ...more,
  });

const verdict = (...read: Parameters<typeof judged>) => judged(...read).is;

describe("a read that finds a value", () => {
  it.each<[string, Entry | undefined, Mark, CacheState, string, string]>([
    [
      "of a key nobody knew is a local change",
      undefined,
      mark("created", 5n),
      state(5n),
      "h",
      "put",
    ],
    [
      "of a removed key is a local change",
      entry("tombstone"),
      mark("created", 6n),
      state(6n),
      "h",
      "put",
    ],
    ["with the ledger's token is nothing new", entry("live"), mark("scan"), state(5n), "h", "same"],
    [
      "with the ledger's token, but another event's, came from a replica that lags",
      entry("live"),
      mark("modified", 6n),
      state(5n),
      "h",
      "unsettled",
    ],
    [
      "with the ledger's token after a removed event came from a replica that lags",
      entry("live"),
      mark("removed"),
      state(5n),
      "h",
      "unsettled",
    ],
    [
      "with another token is a local change, also with equal bytes",
      entry("live"),
      mark("modified", 6n),
      state(6n),
      "h",
      "put",
    ],
    [
      "with the ledger's token and other bytes is a local change by a write that drew none",
      entry("live"),
      mark("modified", 5n),
      state(5n),
      "x",
      "put",
    ],
    [
      "with the hash of an apply whose token is unknown tells the token",
      entry("live", { token: undefined }),
      mark("scan"),
      state(6n),
      "h",
      "token",
    ],
    [
      "with another hash than the apply's is a local change",
      entry("live", { token: undefined }),
      mark("modified", 6n),
      state(6n),
      "x",
      "put",
    ],
    [
      "with another expiry than the apply's is a local change",
      entry("live", { token: undefined }),
      mark("modified", 6n),
      state(6n, { expiresAt: NOW + 9_000 }),
      "h",
      "put",
    ],
    [
      "without a token and with an equal value is nothing new",
      entry("live", { token: 0n }),
      mark("modified", 0n),
      state(0n),
      "h",
      "same",
    ],
    [
      "without a token and with the value of a row that has one is that value, without a token from now on",
      entry("live", { token: 5n }),
      mark("modified", 0n),
      state(0n),
      "h",
      "token",
    ],
    [
      "without a token, whose event was of another value, is a lagging replica's answer",
      entry("live", { token: 0n }),
      mark("modified", 0n, { hash: "newer" }),
      state(0n),
      "h",
      "unsettled",
    ],
    [
      "without a token and with another value is a local change",
      entry("live", { token: 0n }),
      mark("modified", 0n),
      state(0n),
      "x",
      "put",
    ],
    [
      "of a known version without a copy here takes it back",
      entry("absent"),
      mark("created", 6n),
      state(6n),
      "h",
      "adopt",
    ],
    [
      "of an unknown value at a key without a copy is a local change",
      entry("absent"),
      mark("created", 6n),
      state(6n),
      "x",
      "put",
    ],
    [
      "after a removed event of a key without a copy is not settled",
      entry("absent"),
      mark("removed"),
      state(6n),
      "h",
      "unsettled",
    ],
    [
      "after an expiry of a key that is gone is not settled",
      entry("tombstone"),
      mark("expired"),
      state(6n),
      "h",
      "unsettled",
    ],
  ])("%s", (_name, row, why, found, hash, expected) => {
    expect(verdict(row, why, found, hash)).toBe(expected);
  });

  it("that the key held a moment ago is never a local change, whatever else is so (I3, I4)", () => {
    const rows = fc.constantFrom(undefined, entry("live"), entry("tombstone"), entry("absent"));
    const causes = fc.constantFrom("created", "modified", "removed", "expired", "scan" as const);
    fc.assert(
      fc.property(
        rows,
        causes,
        fc.bigInt(1n, 9n),
        fc.bigInt(1n, 9n),
        (row, cause, event, token) => {
          const why = mark(cause, cause === "modified" || cause === "created" ? event : undefined);
          const found = verdict(row, why, state(token), "h", { isPast: true });
          expect(["same", "unsettled"]).toContain(found);
        },
      ),
    );
  });

  it("is a load at a key without a copy under invalidate, and a local change where a copy was", () => {
    const under = { invalidate: true };
    expect(verdict(entry("absent"), mark("created", 6n), state(6n), "x", under)).toBe("adopt");
    expect(verdict(entry("live"), mark("modified", 6n), state(6n), "x", under)).toBe("put");
  });

  it("is read again after it told a token or a change, unless the newest event is of that token", () => {
    for (const [hash, is] of [
      ["h", "token"],
      ["x", "put"],
    ]) {
      const of = (why: Mark) => judged(entry("live", { token: undefined }), why, state(6n), hash);
      expect(of(mark("modified", 6n))).toEqual({ is, seenBy: 1, settled: true });
      expect(of(mark("modified", 7n))).toEqual({ is, seenBy: 0, settled: false });
      expect(of(mark("removed"))).toEqual({ is, seenBy: 0, settled: false });
      expect(of(mark("scan"))).toEqual({ is, seenBy: 0, settled: true });
    }
  });
});

describe("a read that finds nothing", () => {
  const soon = { expiresAt: NOW + 2_000 };
  const later = { expiresAt: NOW + 60_000 };
  it.each<[string, Entry | undefined, Mark, string]>([
    ["is a remove only by a removed event", entry("live"), mark("removed"), "remove"],
    ["never by a scan", entry("live"), mark("scan"), "absence"],
    [
      "is old news where a scan saw it a moment ago",
      entry("tombstone"),
      mark("scan", undefined, { isThere: true }),
      "unsettled",
    ],
    [
      "nor by the event of a write, which is still to be seen",
      entry("live"),
      mark("modified", 6n),
      "unsettled",
    ],
    [
      "nor is it the ledger's own end where another write was reported since",
      entry("live", soon),
      mark("modified", 6n),
      "unsettled",
    ],
    [
      "is an expiry by an expired event near the ledger's",
      entry("live", soon),
      mark("expired"),
      "expired",
    ],
    [
      "is a remove by the expiry of a write that the ledger never saw",
      entry("live"),
      mark("expired"),
      "remove",
    ],
    ["is an expiry near the ledger's", entry("live", soon), mark("scan"), "expired"],
    ["is no expiry long before the ledger's", entry("live", later), mark("scan"), "absence"],
    ["is nothing new at a removed key", entry("tombstone"), mark("removed"), "same"],
    ["is nothing at a key nobody knows", undefined, mark("removed"), "same"],
    [
      "is not settled at an unknown key that was reported written",
      undefined,
      mark("created", 5n),
      "unsettled",
    ],
    [
      "is a remove of a key without a copy, by a removed event",
      entry("absent"),
      mark("removed"),
      "remove",
    ],
    ["is nothing new at a key without a copy", entry("absent"), mark("scan"), "same"],
  ])("%s", (_name, row, why, expected) => {
    expect(verdict(row, why, undefined)).toBe(expected);
  });

  it("under invalidate is a remove of a copy that was here, and nothing where there was none", () => {
    const under = { invalidate: true };
    expect(verdict(entry("live"), mark("removed"), undefined, "", under)).toBe("remove");
    expect(verdict(entry("absent"), mark("removed"), undefined, "", under)).toBe("same");
  });

  it("is no remove by an event that may be older than what is here, where the answer may be too (I4)", () => {
    const unseen = entry("live", { seenBy: 0 });
    const past = { isPast: true };
    expect(verdict(unseen, mark("removed"), undefined, "", past)).toBe("unsettled");
    expect(verdict(unseen, mark("removed"), undefined)).toBe("remove");
    const both = mark("removed", undefined, { events: 2 });
    expect(verdict(unseen, both, undefined, "", past)).toBe("remove");
    const seen = entry("live", { seenBy: 1 });
    expect(verdict(seen, mark("removed"), undefined, "", past)).toBe("remove");
  });

  it("is never a remove by a read alone, whatever row and cause (a bare read never makes a remove)", () => {
    const rows = fc.constantFrom(undefined, entry("live"), entry("tombstone"), entry("absent"));
    const causes = fc.constantFrom("created", "modified", "scan" as const);
    fc.assert(
      fc.property(rows, causes, fc.boolean(), fc.boolean(), (row, cause, isPast, asksPeers) => {
        const found = verdict(row, mark(cause), undefined, "", { isPast, asksPeers });
        expect(found).not.toBe("remove");
      }),
    );
  });
});
