import type { VerbContext } from "./verb.ts";

/** Shows how far long work is, on stderr: one line that changes on a terminal, a line now and then elsewhere. */
export class Progress {
  readonly #context: Pick<VerbContext, "stderr" | "json">;
  readonly #now: () => number;
  #shownAt = Number.NEGATIVE_INFINITY;
  #isOpen = false;

  constructor(context: Pick<VerbContext, "stderr" | "json">, now: () => number) {
    this.#context = context;
    this.#now = now;
  }

  /** The present line. */
  show(line: string): void {
    const { stderr } = this.#context;
    if (stderr.isTTY === true) {
      stderr.write(`\r\u001B[K${line}`);
      this.#isOpen = true;
      return;
    }
    if (this.#now() - this.#shownAt < PLAIN_EVERY_MS) return;
    this.#shownAt = this.#now();
    stderr.write(`${line}\n`);
  }

  /** The work ended: what follows begins a line. */
  end(): void {
    if (this.#isOpen) this.#context.stderr.write("\r\u001B[K");
    this.#isOpen = false;
  }
}

/** Between two lines where each stays. */
const PLAIN_EVERY_MS = 5_000;
