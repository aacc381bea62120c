import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

/** How often a starting server is asked whether it is ready: short against the 40 ms that nats-server takes. */
const READY_POLL_MS = 25;

/** How long a server may take to end after SIGTERM before it is killed. */
const STOP_MS_MAX = 20_000;

/** What a log's lines on a failure look like, of Infinispan and of nats-server. */
const ERROR_LINE = /\b(ERROR|FATAL|Caused by)\b|\[(ERR|FTL)\]|Exception in thread/;

const running = new Set<ChildProcess>();
process.once("exit", () => killRunning());

/** Kills every server process that this process started and that still runs; resolves with their number once all ended. */
export async function killRunning(): Promise<number> {
  const left = [...running];
  const ended = left.map((child) => once(child, "exit"));
  for (const child of left) child.kill("SIGKILL");
  await Promise.all(ended);
  return left.length;
}

/** A real server's process, stopped by its own pid; it never outlives this process's orderly end. */
export class ServerProcess implements AsyncDisposable {
  readonly logFile: string;
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #ended: Promise<void>;

  private constructor(name: string, logFile: string, child: ChildProcess) {
    this.#name = name;
    this.logFile = logFile;
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      const end = () => {
        running.delete(child);
        resolve();
      };
      child.once("exit", end);
      child.once("error", end);
    });
  }

  /** Starts `command`; its output goes to the end of `logFile`. */
  static spawn(name: string, logFile: string, command: string, args: string[]): ServerProcess {
    const log = openSync(logFile, "a");
    const child = spawn(command, args, { stdio: ["ignore", log, log] });
    closeSync(log);
    running.add(child);
    return new ServerProcess(name, logFile, child);
  }

  /** The process id, or undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** True until the process has ended. */
  get alive(): boolean {
    return (
      this.#child.exitCode === null && this.#child.signalCode === null && this.pid !== undefined
    );
  }

  /** All that the server has logged. */
  log(): string {
    return readFileSync(this.logFile, "utf8");
  }

  /** Resolves when `ready` answers true. @throws Error with the end of the log when the server ends first or takes longer than `timeoutMs`. */
  async untilReady(ready: () => Promise<boolean>, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await ready())) {
      if (!this.alive) throw this.fault("ended while it started");
      if (performance.now() > deadline) throw this.fault(`is not ready after ${timeoutMs} ms`);
      await sleep(READY_POLL_MS);
    }
  }

  /** Ends the process with SIGTERM, and with SIGKILL when it has not obeyed by then; resolves once it has ended. */
  async stop(timeoutMs = STOP_MS_MAX): Promise<void> {
    if (!this.alive) return;
    this.signal("SIGCONT");
    this.signal("SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), timeoutMs);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Ends the process with SIGKILL; resolves once it has ended. */
  async kill(): Promise<void> {
    if (!this.alive) return;
    this.signal("SIGKILL");
    await this.#ended;
  }

  /** Sends a signal, for example SIGSTOP and SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** An error that says what happened to this server, with the errors in its log and the end of it. */
  fault(what: string): Error {
    const lines = this.log().split("\n");
    const errors = lines.filter((line) => ERROR_LINE.test(line)).slice(0, 10);
    const told = errors.length === 0 ? "" : `its log tells:\n${errors.join("\n")}\n`;
    const tail = lines.slice(-20).join("\n");
    return new Error(`${this.#name} ${what}; ${told}its log ends:\n${tail}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** Resolves with true when a connection's first bytes satisfy `enough`, false on any failure and when it is closed before. */
export async function answers(
  connect: () => Duplex,
  enough: (bytes: Buffer) => boolean,
  timeoutMs: number,
): Promise<boolean> {
  const socket = connect();
  const closed = new AbortController();
  socket.once("close", () => closed.abort());
  const abort = AbortSignal.any([AbortSignal.timeout(timeoutMs), closed.signal]);
  try {
    let bytes = Buffer.alloc(0);
    while (!enough(bytes)) {
      const [chunk] = (await once(socket, "data", { signal: abort })) as [Buffer];
      bytes = Buffer.concat([bytes, chunk]);
    }
    return true;
  } catch {
    return false;
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
}
