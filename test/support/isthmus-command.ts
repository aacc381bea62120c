import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { projectRoot } from "../../deploy/lab/which.ts";
import { until } from "./linked-sites.ts";

/** One line of a site's log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly code?: string;
  readonly [field: string]: unknown;
}

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** `isthmus` as users run it: a process of its own, from the build in dist. Stopped by its own pid. */
export class IsthmusChild implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  out = "";
  err = "";

  constructor(args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}) {
    const program = join(projectRoot(), "deploy/bin/isthmus.mjs");
    this.#child = spawn(process.execPath, [program, ...args], {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(this.#child);
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.out += text));
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.err += text));
    this.#ended = once(this.#child, "close").then(([code]) => {
      running.delete(this.#child);
      return code as number | null;
    });
  }

  /** The process id. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** The lines that are JSON. */
  get lines(): LogLine[] {
    const lines = this.err.split("\n").filter((line) => line.startsWith("{"));
    return lines.map((line) => JSON.parse(line) as LogLine);
  }

  /** Resolves with the exit code; null: ended by a signal. */
  ended(): Promise<number | null> {
    return this.#ended;
  }

  /** Resolves with what `ask` answers once that is neither undefined nor false. @throws Error with its log if it ends first */
  async until<T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> {
    try {
      return await until(what, () => {
        if (this.#child.exitCode !== null) throw new Error(`it ended with ${this.#child.exitCode}`);
        return ask();
      });
    } catch (error) {
      throw new Error(`not ${what}; its log:\n${this.err}`, { cause: error });
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.signal("SIGKILL");
    await this.#ended;
  }
}

/** Runs one command to its end. */
export async function isthmus(
  args: readonly string[],
  cwd: string,
): Promise<{ code: number | null; out: string; err: string }> {
  await using child = new IsthmusChild(args, cwd);
  const code = await child.ended();
  return { code, out: child.out, err: child.err };
}
