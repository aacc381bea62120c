import { randomBytes } from "node:crypto";
import type { Clock, Logger, Random } from "../../topology/ports.ts";

/** The machine's own clock, for tests against real servers. */
export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener("abort", done);
    }),
  after: (ms, fn) => {
    const timer = setTimeout(fn, ms);
    return () => clearTimeout(timer);
  },
};

/** True randomness. */
export const realRandom: Random = { next: () => Math.random(), bytes: (n) => randomBytes(n) };

/** A logger that keeps its lines, for tests that ask what was said. */
export class MemoryLogger implements Logger {
  readonly lines: Array<{ level: string; message: string; fields: object }> = [];

  debug(fields: object, message: string): void {
    this.lines.push({ level: "debug", message, fields });
  }
  info(fields: object, message: string): void {
    this.lines.push({ level: "info", message, fields });
  }
  warn(fields: object, message: string): void {
    this.lines.push({ level: "warn", message, fields });
  }
  error(fields: object, message: string): void {
    this.lines.push({ level: "error", message, fields });
  }
  child(): Logger {
    return this;
  }
}
