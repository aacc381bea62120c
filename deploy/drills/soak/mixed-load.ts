import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { startChecker } from "../checker.ts";
import type { CacheAddress } from "../checker.ts";

const THREADS_PER_SITE = 6;

/** What Infinispan's Java client met. */
export interface MixedReport {
  readonly operations: number;
  /** Operations that ended with an exception. */
  readonly errors: number;
  /** Answers that were not what the thread had written. */
  readonly wrong: number;
  readonly events: number;
  readonly longestMs: number;
  /** Operations by kind. */
  readonly kinds: Readonly<Record<string, number>>;
  readonly examples: readonly string[];
}

/** Infinispan's Java client, which does everything that it can at all front doors, in a process of its own. */
export class MixedLoad {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #last = "";

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#ended = once(child, "exit");
    if (child.stdout === null) throw new Error("the client has no output");
    createInterface({ input: child.stdout }).on("line", (line) => {
      this.#last = line;
    });
  }

  /** `rate`: operations a second, over all doors. What the client says goes to the file `log`. */
  static async start(
    doors: readonly CacheAddress[],
    cache: string,
    rate: number,
    log: string,
  ): Promise<MixedLoad> {
    const args = [
      "mix",
      `doors=${doors.join(",")}`,
      `cache=${cache}`,
      `threads=${THREADS_PER_SITE}`,
      `rate=${rate}`,
    ];
    return new MixedLoad(await startChecker(args, log));
  }

  /** Operations, errors and wrong answers so far, as the client told last. */
  get soFar(): string {
    const [, operations = "0", errors = "0", wrong = "0"] = this.#last.split(" ");
    return `${operations} operations, ${errors} errors, ${wrong} wrong answers`;
  }

  /** @throws IsthmusError DrillCheckerFailed when the client ended by itself */
  async stop(): Promise<MixedReport> {
    if (this.#child.exitCode === null) this.#child.stdin?.write("stop\n");
    await this.#ended;
    if (this.#last.startsWith("{")) return JSON.parse(this.#last) as MixedReport;
    const why = `the Java client ended: exit ${this.#child.exitCode}, ${this.#last}`;
    throw new IsthmusError(ErrorCode.DrillCheckerFailed, why);
  }

  /** Ends it, whatever it does. */
  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}
