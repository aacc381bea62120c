import { LOG_REPEAT_MS, LOG_REPEATS_MAX } from "../../topology/limits.ts";
import type { Clock, Logger } from "../../topology/ports.ts";

type Level = "info" | "warn" | "error";

interface Line {
  readonly logger: Logger;
  readonly level: Level;
  readonly message: string;
  /** Of the newest one. */
  fields: object;
  /** How many were not written yet. */
  repeated: number;
  cancel: () => void;
}

/**
 * Keeps a fault that recurs many times a second from flooding the log: the first of the lines that say the same is written
 * at once; those that follow within `LOG_REPEAT_MS` are counted, and the last of them is written at the end of that time
 * with the count as `repeated`. Debug lines pass as they are.
 */
export class RepeatFilter {
  readonly #clock: Clock;
  readonly #lines = new Map<string, Line>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A logger whose lines, and those of its children, pass through this filter. */
  logger(inner: Logger, about = ""): Logger {
    const write = (level: Level) => (fields: object, message: string) =>
      this.#write({ logger: inner, level, message, fields, repeated: 0, cancel: () => {} }, about);
    return {
      debug: (fields, message) => inner.debug(fields, message),
      info: write("info"),
      warn: write("warn"),
      error: write("error"),
      child: (fields) => this.logger(inner.child(fields), `${about} ${JSON.stringify(fields)}`),
    };
  }

  /** Writes what is counted so far; to be called at the end. */
  flush(): void {
    for (const line of this.#lines.values()) {
      line.cancel();
      if (line.repeated > 0) tell(line);
    }
    this.#lines.clear();
  }

  #write(line: Line, about: string): void {
    const key = [about, line.level, line.message, errorText(line.fields)].join(" ");
    const known = this.#lines.get(key);
    if (known !== undefined) {
      known.fields = line.fields;
      known.repeated += 1;
      return;
    }
    line.logger[line.level](line.fields, line.message);
    if (this.#lines.size >= LOG_REPEATS_MAX) return;
    this.#lines.set(key, line);
    this.#arm(key, line);
  }

  #arm(key: string, line: Line): void {
    line.cancel = this.#clock.after(LOG_REPEAT_MS, () => {
      if (line.repeated === 0) {
        this.#lines.delete(key);
        return;
      }
      tell(line);
      line.repeated = 0;
      this.#arm(key, line);
    });
  }
}

const tell = ({ logger, level, fields, message, repeated }: Line): void =>
  logger[level]({ ...fields, repeated }, message);

/** Lines with different errors say different things. */
function errorText(fields: object): string {
  const { err, code } = fields as { readonly err?: unknown; readonly code?: unknown };
  return `${String(code)} ${err instanceof Error ? err.message : String(err)}`;
}
