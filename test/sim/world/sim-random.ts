import type { Random } from "../../../topology/ports.ts";

/** Seeded randomness (xoshiro128**): the same seed draws the same run, on every machine. */
export class SimRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    // splitmix32 spreads neighbouring seeds over the whole state.
    let x = seed >>> 0;
    const next = (): number => {
      x = (x + 0x9e3779b9) >>> 0;
      let z = x;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      return (z ^ (z >>> 16)) >>> 0;
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    this.#d = next() | 1;
  }

  next(): number {
    const rotated = rotl(Math.imul(this.#b, 5), 7);
    const result = Math.imul(rotated, 9) >>> 0;
    const t = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= t;
    this.#d = rotl(this.#d, 11);
    return result / 2 ** 32;
  }

  bytes(n: number): Buffer {
    const bytes = Buffer.alloc(n);
    for (let i = 0; i < n; i++) bytes[i] = this.below(256);
    return bytes;
  }

  /** A whole number in [0, n). */
  below(n: number): number {
    return Math.floor(this.next() * n);
  }

  /** A float in [from, to). */
  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  /** True with probability `p`. */
  chance(p: number): boolean {
    return this.next() < p;
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }

  /** Mostly short, now and then much longer: `typical` ms, up to 20 times that. */
  latency(typical: number): number {
    const scale = this.chance(0.05) ? 20 : 2;
    return this.next() * typical * scale;
  }

  /** A generator of its own, which draws the same however often this one is asked afterwards. */
  fork(): SimRandom {
    return new SimRandom(this.below(2 ** 32));
  }
}

const rotl = (x: number, k: number): number => (x << k) | (x >>> (32 - k));
