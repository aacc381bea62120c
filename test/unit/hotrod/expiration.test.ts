import { describe, expect, it } from "vitest";
import {
  CACHE_DEFAULT,
  expirationOfMs,
  IMMORTAL,
  readExpiration,
  resolveExpiration,
  TimeUnit,
  writeExpiration,
} from "../../../topology/hotrod/expiration.ts";
import type { Expiration } from "../../../topology/hotrod/expiration.ts";
import { Flag } from "../../../topology/hotrod/opcodes.ts";
import { Reader } from "../../../topology/hotrod/reader.ts";
import { Writer } from "../../../topology/hotrod/writer.ts";

const NOW = 1_700_000_000_000;
const DAY_MS = 86_400_000;

function encoded(expiration: Expiration, version: number): string {
  const w = new Writer();
  writeExpiration(w, expiration, version);
  return w.finish().toString("hex");
}

const resolved = (hex: string, version: number, flags = 0) =>
  resolveExpiration(
    readExpiration(new Reader(Buffer.from(hex, "hex")), version),
    version,
    flags,
    NOW,
  );

describe("an expiration", () => {
  it("is encoded as the Java client does: 0 is the cache's default, below 0 infinite, else milliseconds", () => {
    expect(encoded(expirationOfMs(0, 0), 41)).toBe("77");
    expect(encoded(expirationOfMs(-1, -1), 41)).toBe("88");
    expect(encoded(expirationOfMs(60_000, -1), 41)).toBe("18e0d403");
    expect(encoded(expirationOfMs(300, -1), 41)).toBe("18ac02");
    expect(encoded(expirationOfMs(1, 2), 41)).toBe("110102");
    expect(encoded(expirationOfMs(0.2, Number.POSITIVE_INFINITY), 41)).toBe("1801");
    expect(encoded(CACHE_DEFAULT, 41)).toBe("77");
    expect(encoded(IMMORTAL, 41)).toBe("88");
  });

  it("is resolved from every unit to milliseconds, rounded down", () => {
    const ofUnit = (unit: number, amount: bigint) => {
      const expiration = { ...IMMORTAL, lifespan: { unit, amount } };
      return resolveExpiration(expiration, 41, 0, NOW).lifespanMs;
    };
    expect(ofUnit(TimeUnit.Seconds, 2n)).toBe(2000);
    expect(ofUnit(TimeUnit.Milliseconds, 2n)).toBe(2);
    expect(ofUnit(TimeUnit.Nanoseconds, 2_999_999n)).toBe(2);
    expect(ofUnit(TimeUnit.Microseconds, 2999n)).toBe(2);
    expect(ofUnit(TimeUnit.Minutes, 2n)).toBe(120_000);
    expect(ofUnit(TimeUnit.Hours, 2n)).toBe(7_200_000);
    expect(ofUnit(TimeUnit.Days, 2n)).toBe(2 * DAY_MS);
  });

  it("is read from what Keycloak sends: 120 s and the cache's default", () => {
    expect(resolved("0778", 41)).toEqual({ lifespanMs: 120_000, maxIdleMs: "default" });
  });

  it("before protocol 2.2 counts seconds, where 0 is infinite and a flag means the cache's default", () => {
    expect(resolved("0500", 21)).toEqual({ lifespanMs: 5000, maxIdleMs: "infinite" });
    const both = Flag.DefaultLifespan | Flag.DefaultMaxIdle;
    expect(resolved("0500", 21, both)).toEqual({ lifespanMs: "default", maxIdleMs: "default" });
    expect(encoded(expirationOfMs(4001, -1), 21)).toBe("0500");
    expect(encoded(expirationOfMs(1e15, 0), 21)).toBe("ffffffff0f00");
  });

  it("above 30 days is a time since the epoch before protocol 3.0, and a duration from then on", () => {
    const at = expirationOfMs(NOW + 5000, 30 * DAY_MS);
    const months = { lifespanMs: 5000, maxIdleMs: 30 * DAY_MS };
    expect(resolveExpiration(at, 29, 0, NOW)).toEqual(months);
    expect(resolveExpiration(at, 30, 0, NOW).lifespanMs).toBe(NOW + 5000);
    expect(resolveExpiration(expirationOfMs(NOW - 1, -1), 29, 0, NOW).lifespanMs).toBe(0);
  });
});
