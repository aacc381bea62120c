/** Holds callers of `pass` until they are let through. */
export class Gate {
  arrivals = 0;
  #isOpen = false;
  #held: Array<() => void> = [];
  #watchers: Array<() => void> = [];

  /** Resolves when this caller is let through. */
  readonly pass = (): Promise<void> => {
    this.arrivals += 1;
    for (const wake of this.#watchers.splice(0)) wake();
    if (this.#isOpen) return Promise.resolve();
    return new Promise((resolve) => this.#held.push(resolve));
  };

  /** Whether someone is held. */
  get isHolding(): boolean {
    return this.#held.length > 0;
  }

  /** Lets the caller through that has been held longest. */
  letOne(): void {
    this.#held.shift()?.();
  }

  /** Lets all through, from now on. */
  open(): void {
    this.#isOpen = true;
    for (const release of this.#held.splice(0)) release();
  }

  /** Resolves once there have been `n` arrivals. */
  async arrival(n: number): Promise<void> {
    while (this.arrivals < n) {
      await new Promise<void>((resolve) => this.#watchers.push(resolve));
    }
  }
}
