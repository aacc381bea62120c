import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServerProcess } from "./server-process.ts";

/** Where a server keeps its files. */
export interface ServerFolder {
  readonly path: string;
  /** It goes with the server. */
  readonly isTemporary: boolean;
}

/** The folder that was asked for, made if need be, or a temporary one whose name begins with `prefix`. */
export function serverFolder(asked: string | undefined, prefix: string): ServerFolder {
  if (asked === undefined) return { path: mkdtempSync(join(tmpdir(), prefix)), isTemporary: true };
  mkdirSync(asked, { recursive: true });
  return { path: asked, isTemporary: false };
}

/** A real server that ends in good order or as a crash would, and starts again on the same ports and files. */
export abstract class RestartableServer implements AsyncDisposable {
  readonly folder: string;
  readonly #name: string;
  readonly #isTemporary: boolean;
  #process: ServerProcess | undefined;

  protected constructor(name: string, folder: ServerFolder) {
    this.#name = name;
    this.folder = folder.path;
    this.#isTemporary = folder.isTemporary;
  }

  /** Runs a server for the first time; what it left is removed when that fails. @throws as {@link RestartableServer.run} */
  protected static async started<T extends RestartableServer>(server: T): Promise<T> {
    try {
      await server.run();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts the server again after `stop` or `kill`. @throws Error that holds the end of its log */
  abstract run(): Promise<void>;

  /** Spawns its process, which logs into `logFile` of the folder; resolves once `ready` does, and kills it when that fails. */
  protected async spawn(
    command: string,
    args: string[],
    logFile: string,
    ready: (started: ServerProcess) => Promise<void>,
  ): Promise<void> {
    const started = ServerProcess.spawn(this.#name, join(this.folder, logFile), command, args);
    this.#process = started;
    try {
      await ready(started);
    } catch (error) {
      await started.kill();
      throw error;
    }
  }

  /** What it logged in earlier runs too; "" before the first. */
  protected get logSoFar(): string {
    return this.#process?.log() ?? "";
  }

  /** The process, for its log and for signals. @throws Error when it was never started */
  get process(): ServerProcess {
    if (this.#process === undefined) throw new Error(`${this.#name} is stopped`);
    return this.#process;
  }

  /** Ends the server in good order. */
  async stop(): Promise<void> {
    await this.#process?.stop();
  }

  /** Ends the server as a crash would. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    if (this.#isTemporary) rmSync(this.folder, { recursive: true, force: true });
  }
}
