import { systemClock, systemRandom } from "../../deploy/site/system.ts";
import type { Logger } from "../../topology/ports.ts";

/** The machine's own clock and true randomness, for tests against real servers. */
export { systemClock as realClock, systemRandom as realRandom };

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
