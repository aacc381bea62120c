/** What happened, line by line with its virtual time, and a hash of all, by which two runs compare. */
export class Trace {
  readonly #now: () => number;
  readonly #isKept: boolean;
  readonly #lines: string[] = [];
  #a = 0x811c9dc5;
  #b = 0x9747b28c;

  /** `isKept`: the lines are wanted, not only their hash. */
  constructor(now: () => number, isKept: boolean) {
    this.#now = now;
    this.#isKept = isKept;
  }

  add(line: string): void {
    const now = this.#now();
    this.#hash(Math.floor(now * 1_000) >>> 0);
    for (let i = 0; i < line.length; i++) this.#hash(line.charCodeAt(i));
    if (this.#isKept) this.#lines.push(`${now.toFixed(3)} ${line}`);
  }

  /** The lines that mention `text`. */
  lines(text = ""): string[] {
    return this.#lines.filter((line) => line.includes(text));
  }

  /** Of everything so far. */
  digest(): string {
    return `${this.#a >>> 0} ${this.#b >>> 0}`;
  }

  #hash(n: number): void {
    this.#a = Math.imul(this.#a ^ n, 0x01000193);
    this.#b = Math.imul(this.#b ^ n, 0x85ebca6b) ^ (this.#b >>> 13);
  }
}
