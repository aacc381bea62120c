import type { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";
import { Flag } from "./opcodes.ts";

/** The unit of a duration on the wire; `Default` takes the cache's configuration, `Infinite` never ends. */
export const TimeUnit = {
  Seconds: 0,
  Milliseconds: 1,
  Nanoseconds: 2,
  Microseconds: 3,
  Minutes: 4,
  Hours: 5,
  Days: 6,
  Default: 7,
  Infinite: 8,
} as const;

/** A duration as sent: `amount` (0 to 2^63 - 1) is 0 for `Default` and `Infinite`. */
export interface Duration {
  /** One of {@link TimeUnit}. */
  readonly unit: number;
  readonly amount: bigint;
}

/** How long an entry lives: since it was written, and since it was last used. */
export interface Expiration {
  readonly lifespan: Duration;
  readonly maxIdle: Duration;
}

const DEFAULT_DURATION: Duration = { unit: TimeUnit.Default, amount: 0n };
export const INFINITE_DURATION: Duration = { unit: TimeUnit.Infinite, amount: 0n };

/** Never expires. */
export const IMMORTAL: Expiration = { lifespan: INFINITE_DURATION, maxIdle: INFINITE_DURATION };

/** Expires as the cache's configuration says. */
export const CACHE_DEFAULT: Expiration = { lifespan: DEFAULT_DURATION, maxIdle: DEFAULT_DURATION };

/** Nanoseconds in one of each unit, by its number. */
const NANOS = [
  1_000_000_000n,
  1_000_000n,
  1n,
  1_000n,
  60_000_000_000n,
  3_600_000_000_000n,
  86_400_000_000_000n,
] as const;

/** Above this a 2.x duration is a time since the epoch. */
const ABSOLUTE_MS = 30 * 86_400_000;

/** A duration of `ms` milliseconds (rounded up); 0 is the cache's default and below 0 is infinite, as in the Java client. */
function durationOfMs(ms: number): Duration {
  if (ms === 0) return DEFAULT_DURATION;
  if (ms < 0 || ms === Number.POSITIVE_INFINITY) return INFINITE_DURATION;
  return { unit: TimeUnit.Milliseconds, amount: BigInt(Math.ceil(ms)) };
}

/** An expiration of milliseconds, each rounded up; 0 is the cache's default and below 0 is infinite, as in the Java client. */
export function expirationOfMs(lifespanMs: number, maxIdleMs: number): Expiration {
  return { lifespan: durationOfMs(lifespanMs), maxIdle: durationOfMs(maxIdleMs) };
}

/** What an expiration means for the entry: ms (rounded down), "default" or "infinite" each. */
export interface ResolvedExpiration {
  readonly lifespanMs: number | "default" | "infinite";
  readonly maxIdleMs: number | "default" | "infinite";
}

/**
 * Resolves an expiration by the rules of the request's protocol: before 2.2 whole seconds with 0 for none and flags for the
 * cache's default; before 3.0 a duration above 30 days is a time since the epoch (`nowMs` in the same terms).
 */
export function resolveExpiration(
  expiration: Expiration,
  version: number,
  flags: number,
  nowMs: number,
): ResolvedExpiration {
  const resolve = (duration: Duration, flag: number): number | "default" | "infinite" => {
    if (duration.unit === TimeUnit.Default) return "default";
    if (duration.unit === TimeUnit.Infinite) return "infinite";
    if (version < 22) {
      if ((flags & flag) !== 0) return "default";
      if (duration.amount === 0n) return "infinite";
    }
    const nanos = NANOS[duration.unit];
    const ms = nanos === undefined ? 0 : Number((duration.amount * nanos) / 1_000_000n);
    return version < 30 && ms > ABSOLUTE_MS ? Math.max(0, ms - nowMs) : ms;
  };
  return {
    lifespanMs: resolve(expiration.lifespan, Flag.DefaultLifespan),
    maxIdleMs: resolve(expiration.maxIdle, Flag.DefaultMaxIdle),
  };
}

/** Reads two vInts of seconds (before 2.2), or a byte of two units and an amount for each that has one. */
export function readExpiration(r: Reader, version: number): Expiration {
  if (version < 22) {
    const lifespan = { unit: TimeUnit.Seconds, amount: BigInt(r.vInt()) };
    return { lifespan, maxIdle: { unit: TimeUnit.Seconds, amount: BigInt(r.vInt()) } };
  }
  const units = r.u8();
  if (units === 0x88) return IMMORTAL;
  if (units === 0x77) return CACHE_DEFAULT;
  return { lifespan: readDuration(r, units >> 4), maxIdle: readDuration(r, units & 0x0f) };
}

function readDuration(r: Reader, unit: number): Duration {
  if (unit === TimeUnit.Default) return DEFAULT_DURATION;
  if (unit === TimeUnit.Infinite) return INFINITE_DURATION;
  if (unit > TimeUnit.Infinite) r.malformed(`a time unit of 0 to 8, found ${unit}`);
  return { unit, amount: r.vLong() };
}

/** The inverse of {@link readExpiration}; before 2.2 an amount is sent in seconds, rounded up, and 0 for default and infinite. */
export function writeExpiration(w: Writer, expiration: Expiration, version: number): void {
  const { lifespan, maxIdle } = expiration;
  if (version < 22) {
    w.vInt(wholeSeconds(lifespan));
    w.vInt(wholeSeconds(maxIdle));
    return;
  }
  w.u8((lifespan.unit << 4) | maxIdle.unit);
  if (lifespan.unit < TimeUnit.Default) w.vLong(lifespan.amount);
  if (maxIdle.unit < TimeUnit.Default) w.vLong(maxIdle.amount);
}

function wholeSeconds(duration: Duration): number {
  const nanos = NANOS[duration.unit];
  if (nanos === undefined) return 0;
  const seconds = (duration.amount * nanos + 999_999_999n) / 1_000_000_000n;
  return seconds > 0xffff_ffffn ? 0xffff_ffff : Number(seconds);
}
