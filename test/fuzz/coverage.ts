import { readFileSync } from "node:fs";
import { type Profiler, Session } from "node:inspector";
import { fileURLToPath } from "node:url";

/** Which characters of some files this isolate has run, as V8's block coverage counts them. */
export class Coverage {
  readonly #session = new Session();
  readonly #covers: RegExp;
  /** By URL: 1 for each character that has run. */
  readonly #reached = new Map<string, Uint8Array>();
  #characters = 0;

  constructor(covers: RegExp) {
    this.#covers = covers;
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Characters reached so far. */
  get characters(): number {
    return this.#characters;
  }

  /** How many characters ran for the first time since the last call; `keep` false forgets them again. */
  take(keep = true): number {
    let found: Profiler.TakePreciseCoverageReturnType | undefined;
    // Its callback is called before post returns.
    this.#session.post("Profiler.takePreciseCoverage", (error, result) => {
      if (error !== null) throw error;
      found = result;
    });
    let fresh = 0;
    for (const script of found?.result ?? []) {
      if (this.#covers.test(script.url)) fresh += this.#join(script, keep);
    }
    if (keep) this.#characters += fresh;
    return fresh;
  }

  close(): void {
    this.#session.disconnect();
  }

  #join({ url, functions }: Profiler.ScriptCoverage, keep: boolean): number {
    let reached = this.#reached.get(url);
    if (reached === undefined) {
      reached = new Uint8Array(readFileSync(fileURLToPath(url), "utf8").length);
      this.#reached.set(url, reached);
    }
    // Inner functions and blocks come after those that hold them, and say it more exactly.
    const now = new Uint8Array(reached.length);
    for (const { ranges } of functions) {
      for (const { startOffset, endOffset, count } of ranges) {
        now.fill(count > 0 ? 1 : 0, startOffset, endOffset);
      }
    }
    let fresh = 0;
    for (let i = 0; i < now.length; i++) {
      if (now[i] !== 1 || reached[i] === 1) continue;
      fresh += 1;
      if (keep) reached[i] = 1;
    }
    return fresh;
  }
}
