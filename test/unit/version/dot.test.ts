import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Clock } from "../../../topology/ports.ts";
import { dotMs, makeDot, SiteClock } from "../../../topology/version/dot.ts";

class HandClock implements Clock {
  ms = 1_000_000;
  now = () => this.ms;
  monotonic = () => this.ms;
  sleep = () => Promise.resolve();
  after = () => () => {};
}

const drawing = (ms = 1_000_000, bound = 0n) => {
  const clock = new HandClock();
  clock.ms = ms;
  const site = new SiteClock(clock, bound);
  site.reserve(site.nextBound());
  return { clock, site };
};

describe("a dot", () => {
  it("holds ms and counter", () => {
    expect(makeDot(0x1234, 0xabcd)).toBe(0x1234abcdn);
    expect(dotMs(makeDot(1_790_000_000_123, 65_535))).toBe(1_790_000_000_123);
    expect(() => makeDot(2 ** 48, 0)).toThrow("ms");
    expect(() => makeDot(1, 65_536)).toThrow("counter");
  });
});

describe("a site's clock", () => {
  it("draws wall time, and counts within a millisecond", () => {
    const { site } = drawing();
    expect([site.next(), site.next()]).toEqual([makeDot(1_000_000, 0), makeDot(1_000_000, 1)]);
  });

  it("never goes back with the wall clock", () => {
    const { clock, site } = drawing();
    const before = site.next();
    clock.ms -= 500_000;
    expect(site.next()).toBe(before + 1n);
  });

  it("draws nothing without a reservation", () => {
    const site = new SiteClock(new HandClock(), 0n);
    expect(site.mayDraw()).toBe(false);
    expect(() => site.next()).toThrow("beyond the reservation");
  });

  it("asks for a reservation when half a block is left", () => {
    const { clock, site } = drawing();
    expect(site.needsReserve()).toBe(false);
    clock.ms += 501;
    expect([site.needsReserve(), site.mayDraw()]).toEqual([true, true]);
    site.reserve(site.nextBound());
    expect(site.needsReserve()).toBe(false);
  });

  it("stays below the reservation when wall time leaps past it", () => {
    const { clock, site } = drawing();
    clock.ms += 3_600_000;
    expect(site.mayDraw()).toBe(false);
    // All who asked before the leap get a dot of the last reserved millisecond.
    const drawn = Array.from({ length: 65_536 }, () => site.next());
    expect(new Set(drawn).size).toBe(65_536);
    expect(drawn[0]).toBe(site.reservedUpTo - 65_535n);
    expect(drawn.at(-1)).toBe(site.reservedUpTo);
    expect(() => site.next()).toThrow("beyond the reservation");
  });

  it("starts above the bound it is given", () => {
    const { site } = drawing();
    site.startAbove(makeDot(2_000_000, 7));
    site.reserve(site.nextBound());
    expect(site.next()).toBe(makeDot(2_000_000, 8));
  });

  it("rises over any restarts and clock jumps, never above what was reserved", () => {
    const step = fc.record({ jumpMs: fc.integer({ min: -5000, max: 5000 }), crash: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const clock = new HandClock();
        let persisted = 0n;
        let site = new SiteClock(clock, persisted);
        let last = 0n;
        for (const { jumpMs, crash } of steps) {
          clock.ms += jumpMs;
          if (crash) site = new SiteClock(clock, persisted);
          if (!site.mayDraw()) site.reserve((persisted = site.nextBound()));
          const dot = site.next();
          expect(dot > last && dot <= persisted).toBe(true);
          last = dot;
        }
      }),
    );
  });
});
