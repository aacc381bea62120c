import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { freePorts } from "../lab/free-ports.ts";
import { ServerProcess } from "../lab/server-process.ts";
import { which } from "../lab/which.ts";

/** How long it may take to start, and to answer, in ms. */
const READY_MS_MAX = 10_000;

const PROXY = "leaf";

/** What bytes meet that lon sends to nyc (`upstream`: lon dials) or the other way. */
export type Stream = "upstream" | "downstream";

/** A toxiproxy in front of one address. Source: its HTTP API. */
export class Toxiproxy implements AsyncDisposable {
  /** The port of 127.0.0.1 that it passes on. */
  readonly port: number;
  readonly #process: ServerProcess;
  readonly #api: string;

  private constructor(process: ServerProcess, api: string, port: number) {
    this.#process = process;
    this.#api = api;
    this.port = port;
  }

  /** Starts one before `port` of 127.0.0.1. @throws IsthmusError DrillStepFailed, and Error when there is no toxiproxy */
  static async before(port: number, logFile: string): Promise<Toxiproxy> {
    const [apiPort = 0, listen = 0] = await freePorts(2);
    const args = ["-host", "127.0.0.1", "-port", String(apiPort)];
    const process = ServerProcess.spawn("toxiproxy", logFile, await which("toxiproxy"), args);
    const proxy = new Toxiproxy(process, `http://127.0.0.1:${apiPort}`, listen);
    await process.untilReady(() => proxy.#answers(), READY_MS_MAX);
    const address = { listen: `127.0.0.1:${listen}`, upstream: `127.0.0.1:${port}` };
    await proxy.#ask("POST", "/proxies", { name: PROXY, ...address, enabled: true });
    return proxy;
  }

  /** Closes every connection and takes no new one, or does again. */
  async enable(enabled: boolean): Promise<void> {
    await this.#ask("POST", `/proxies/${PROXY}`, { enabled });
  }

  /** Adds a toxic to one direction. Types and attributes: toxiproxy's README. */
  async poison(type: string, stream: Stream, attributes: Record<string, number>): Promise<void> {
    await this.#ask("POST", `/proxies/${PROXY}/toxics`, { type, stream, attributes });
  }

  /** No toxic is left, and connections pass. */
  async heal(): Promise<void> {
    await this.#ask("POST", "/reset");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop();
  }

  async #answers(): Promise<boolean> {
    return fetch(`${this.#api}/version`).then(
      (response) => response.ok,
      () => false,
    );
  }

  async #ask(method: string, path: string, body?: unknown): Promise<void> {
    const response = await fetch(`${this.#api}${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(READY_MS_MAX),
    });
    if (response.ok) return;
    const why = `toxiproxy answered ${method} ${path} with ${response.status}: ${await response.text()}`;
    throw new IsthmusError(ErrorCode.DrillStepFailed, why);
  }
}
