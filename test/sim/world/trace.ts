import { createHash } from "node:crypto";

const KEPT = 20_000;

/** What happened, line by line with its virtual time: the newest lines, and a hash of all, by which two runs compare. */
export class Trace {
  readonly #now: () => number;
  readonly #hash = createHash("sha256");
  #lines: string[] = [];

  constructor(now: () => number) {
    this.#now = now;
  }

  add(line: string): void {
    const text = `${this.#now().toFixed(3)} ${line}`;
    this.#hash.update(text);
    this.#lines.push(text);
    if (this.#lines.length > 2 * KEPT) this.#lines = this.#lines.slice(-KEPT);
  }

  /** The newest lines that mention `text`. */
  lines(text = ""): string[] {
    return this.#lines.filter((line) => line.includes(text));
  }

  /** Of everything so far. */
  digest(): string {
    return this.#hash.copy().digest("hex");
  }
}
