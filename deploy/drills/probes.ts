/** One probe that came to show: when it was written at one site, and when it was first seen at the other, ms since the epoch. */
export interface Seen {
  readonly writtenAt: number;
  readonly seenAt: number;
}

/** Lag over a time, in ms. */
export interface Lag {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Counters that are written at each site all the time and awaited at the other: how long a write takes to show. */
export class Probes {
  readonly #written = new Map<string, Map<number, number>>();
  readonly #seen = new Map<string, Seen[]>();
  readonly #newest = new Map<string, number>();

  /** Counter `n` of a way such as `nyc to lon` was acknowledged; `at` is when its write began. */
  written(way: string, n: number, at: number): void {
    const all = this.#written.get(way) ?? new Map<number, number>();
    this.#written.set(way, all.set(n, at));
  }

  /** Counter `n` shows at the other site, and so what came before it, which it replaced, is through too. */
  seen(way: string, n: number, at: number): void {
    const written = this.#written.get(way);
    const all = this.#seen.get(way) ?? [];
    for (let each = (this.#newest.get(way) ?? 0) + 1; each <= n; each++) {
      // One whose write failed, or whose writer has no answer yet, is not measured.
      const writtenAt = written?.get(each);
      if (writtenAt !== undefined) all.push({ writtenAt, seenAt: at });
    }
    this.#seen.set(way, all);
    this.#newest.set(way, Math.max(n, this.#newest.get(way) ?? 0));
  }

  /** The ways that were ever written. */
  ways(): string[] {
    return [...this.#written.keys()].sort();
  }

  /** What came to show, in the order of its writing. */
  of(way: string): readonly Seen[] {
    return this.#seen.get(way) ?? [];
  }

  /** Age of the oldest write of either way that does not show yet, in ms; 0: all show. */
  waitingMs(now: number): number {
    const ages = this.ways().map((way) => {
      const newest = this.#newest.get(way) ?? 0;
      const waiting = [...(this.#written.get(way) ?? [])].filter(([n]) => n > newest);
      return Math.max(0, ...waiting.map(([, at]) => now - at));
    });
    return Math.max(0, ...ages);
  }

  /** Lag of all writes of a way that came to show; undefined: none did. */
  lag(way: string): Lag | undefined {
    const sorted = this.of(way)
      .map(({ writtenAt, seenAt }) => seenAt - writtenAt)
      .sort((a, b) => a - b);
    const at = (q: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
    return sorted.length === 0 ? undefined : { p50: at(0.5), p99: at(0.99), max: at(1) };
  }

  /**
   * How a fault that lasted from `from` to `to` held up a way. `rtoMs`: the longest that a write made during it waited for
   * showing, or until the first one made since it began showed. `recoveryMs`: from its end until all of those showed.
   * undefined: none that was made since it began did.
   */
  during(
    way: string,
    from: number,
    to: number,
  ): { readonly rtoMs: number; readonly recoveryMs: number } | undefined {
    const since = this.of(way).filter(({ writtenAt }) => writtenAt >= from);
    const [first] = since;
    if (first === undefined) return undefined;
    const held = since.filter(({ writtenAt }) => writtenAt <= to);
    const waits = held.map(({ writtenAt, seenAt }) => seenAt - writtenAt);
    const last = Math.max(first.seenAt, ...held.map(({ seenAt }) => seenAt));
    return {
      rtoMs: Math.max(first.seenAt - from, ...waits),
      recoveryMs: Math.max(0, last - to),
    };
  }
}
