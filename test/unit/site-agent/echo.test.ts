import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Mark } from "../../../site-agent/tail/dirty-keys.ts";
import { isEchoEvent, sameExpiry } from "../../../site-agent/tail/judge.ts";
import type { Held } from "../../../topology/version/entry.ts";

const HELD: Held = { hash: "h", token: undefined, seenBy: 1, expiresAt: 0, maxIdleMs: 0 };

const ECHO: Mark = {
  cause: "modified",
  token: 9n,
  hash: "h",
  events: 1,
  retried: false,
  gapStart: undefined,
  attempts: 0,
};

describe("an event alone is the echo of an apply", () => {
  it("when it is the only one since, of that hash, no re-run, on the listener that saw what was replaced", () => {
    expect(isEchoEvent(HELD, ECHO, 1)).toBe(true);
  });

  it.each<[string, Held | undefined, Partial<Mark>, number]>([
    ["the token is known already", { ...HELD, token: 5n }, {}, 1],
    ["nothing is held", undefined, {}, 1],
    ["the listener is another", HELD, {}, 2],
    ["the state that was replaced had not been seen", { ...HELD, seenBy: 0 }, {}, 1],
    ["there were two events", HELD, { events: 2 }, 1],
    ["the server ran the write again", HELD, { retried: true }, 1],
    ["the hash is another", HELD, { hash: "x" }, 1],
    ["it brought no hash", HELD, { hash: undefined }, 1],
    ["it brought no token", HELD, { token: undefined }, 1],
    ["the entry has none", HELD, { token: 0n }, 1],
  ])("never when %s", (_name, row, more, listener) => {
    expect(isEchoEvent(row, { ...ECHO, ...more }, listener)).toBe(false);
  });
});

describe("two expiries", () => {
  it("are one write's within the second that metadata cuts off and a step of the clock, and symmetric", () => {
    const expiry = fc.record({ expiresAt: fc.nat(5_000), maxIdleMs: fc.nat(3_000) });
    fc.assert(
      fc.property(expiry, expiry, (a, b) => {
        expect(sameExpiry(a, a)).toBe(true);
        expect(sameExpiry(a, b)).toBe(sameExpiry(b, a));
        if (Math.abs(a.expiresAt - b.expiresAt) > 1_500) expect(sameExpiry(a, b)).toBe(false);
        if ((a.expiresAt === 0) !== (b.expiresAt === 0)) expect(sameExpiry(a, b)).toBe(false);
      }),
    );
    const at = (expiresAt: number) => ({ expiresAt, maxIdleMs: 0 });
    expect(sameExpiry(at(5_000), at(5_999))).toBe(true);
  });
});
