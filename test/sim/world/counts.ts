/** How often each fault and each rare path happened; a run prints them, and one that stays at 0 was not tested. */
export class Counts {
  readonly #counts = new Map<string, number>();

  add(name: string, n = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + n);
  }

  get(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  addAll(other: Counts): void {
    for (const [name, n] of other.#counts) this.add(name, n);
  }

  /** In the order of their names. */
  all(): Array<[string, number]> {
    return [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}
