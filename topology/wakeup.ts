/** Wakes one loop that waits for work: calls that come while it does not wait are remembered, all as one. */
export class Wakeup {
  #isCalled = false;
  #wake: (() => void) | undefined;

  /** There is work. */
  call(): void {
    this.#isCalled = true;
    this.#wake?.();
  }

  /** Resolves at the next call, at once if one came since the last wait, or when the signal aborts. */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake);
        this.#wake = undefined;
        this.#isCalled = false;
        resolve();
      };
      this.#wake = wake;
      signal.addEventListener("abort", wake);
      if (signal.aborted || this.#isCalled) wake();
    });
  }
}
