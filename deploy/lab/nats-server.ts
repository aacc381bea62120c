import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "./free-ports.ts";
import { ServerProcess, answers } from "./server-process.ts";
import { which } from "./which.ts";

/** How long a nats-server may take to accept connections; a large store to recover is the slow case. */
const START_MS_MAX = 20_000;

/** A leaf link to another site's server. */
export interface LeafRemote {
  readonly url: string;
  /** Subjects that nothing passes on, either way. */
  readonly denied: readonly string[];
}

/** What a nats-server of a test or of the lab is started with. */
export interface NatsServerOptions {
  /** JetStream domain, also the server's name. */
  readonly domain: string;
  /** Leaf URLs of the sites that this one dials, for example another server's `leafUrl`. */
  readonly leafRemotes?: readonly (string | LeafRemote)[];
  /** True: no leaf link passes another's interest on, which three sites and more need because their links form a ring. */
  readonly isolatesLeafs?: boolean;
  /** When JetStream flushes to disk; `always` by default, so that what it acknowledged survives a crash of the machine. */
  readonly syncInterval?: string;
  /** Further lines of the `jetstream` block, of each leaf remote, and of the file itself. */
  readonly jetstream?: string;
  readonly leafRemote?: string;
  readonly config?: string;
  /** Where the store, the configuration and the log are kept; a temporary folder, removed at the end, by default. */
  readonly folder?: string;
}

/** A real nats-server with JetStream on random ports of 127.0.0.1. */
export class NatsServer implements AsyncDisposable {
  readonly port: number;
  readonly leafPort: number;
  readonly folder: string;
  readonly #options: NatsServerOptions;
  #process: ServerProcess | undefined;

  private constructor(options: NatsServerOptions, folder: string, port: number, leafPort: number) {
    this.#options = options;
    this.folder = folder;
    this.port = port;
    this.leafPort = leafPort;
  }

  /** Resolves once the server accepts connections. @throws Error that holds the end of its log. */
  static async start(options: NatsServerOptions): Promise<NatsServer> {
    const [port, leafPort] = (await freePorts(2)) as [number, number];
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), `isthmus-nats-${options.domain}-`));
    mkdirSync(folder, { recursive: true });
    const server = new NatsServer(options, folder, port, leafPort);
    try {
      await server.run();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where clients connect. */
  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Where other sites' servers connect. */
  get leafUrl(): string {
    return `nats://127.0.0.1:${this.leafPort}`;
  }

  /** The process, for its log and for signals. @throws Error when it is not running. */
  get process(): ServerProcess {
    if (this.#process === undefined)
      throw new Error(`nats-server ${this.#options.domain} is stopped`);
    return this.#process;
  }

  /** Starts the server again after `stop` or `kill`, on the same ports and the same store. */
  async run(): Promise<void> {
    const file = join(this.folder, "nats-server.conf");
    writeFileSync(file, natsServerFile(this.#options, this.folder, this.port, this.leafPort));
    const log = join(this.folder, "nats-server.log");
    const name = `nats-server ${this.#options.domain}`;
    const started = ServerProcess.spawn(name, log, await which("nats-server"), ["-c", file]);
    this.#process = started;
    // The server greets each client with INFO, and listens for clients only once JetStream is up.
    const greets = () =>
      answers(
        () => connect(this.port, "127.0.0.1"),
        (bytes) => bytes.includes("INFO "),
        1000,
      );
    try {
      await started.untilReady(greets, START_MS_MAX);
    } catch (error) {
      await started.kill();
      throw error;
    }
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
    if (this.#options.folder === undefined) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The configuration file of a server on these ports of 127.0.0.1, with its store below `folder`. */
export function natsServerFile(
  options: NatsServerOptions,
  folder: string,
  port: number,
  leafPort: number,
): string {
  const { domain, leafRemotes = [], leafRemote = "", syncInterval = "always" } = options;
  // A leaf that learns the other server's own URLs would go round a proxy that a test put between them.
  const remotes = leafRemotes.map(
    (remote) => `    { ${remoteConfig(remote)}\n      ${leafRemote} }`,
  );
  const isolate = options.isolatesLeafs === true ? "isolate_leafnode_interest: true" : "";
  return `server_name: "${domain}"
listen: "127.0.0.1:${port}"
ping_interval: "10s"
jetstream {
  store_dir: "${join(folder, "jetstream")}"
  domain: "${domain}"
  sync_interval: ${syncInterval}
  ${options.jetstream ?? ""}
}
leafnodes {
  listen: "127.0.0.1:${leafPort}"
  advertise: "127.0.0.1:${leafPort}"
  reconnect: 1
  ${isolate}
  remotes: [
${remotes.join("\n")}
  ]
}
${options.config ?? ""}
`;
}

function remoteConfig(remote: string | LeafRemote): string {
  const { url, denied } = typeof remote === "string" ? { url: remote, denied: [] } : remote;
  const deny = denied.length === 0 ? "" : JSON.stringify(denied);
  const rules = deny === "" ? "" : `, deny_imports: ${deny}, deny_exports: ${deny}`;
  return `urls: ["${url}"], ignore_discovered_servers: true${rules}`;
}
