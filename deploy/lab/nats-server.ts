import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { freePorts } from "./free-ports.ts";
import { RestartableServer, serverFolder } from "./restartable-server.ts";
import type { ServerFolder } from "./restartable-server.ts";
import { answers } from "./server-process.ts";
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
export class NatsServer extends RestartableServer {
  readonly port: number;
  readonly leafPort: number;
  readonly #options: NatsServerOptions;

  private constructor(
    options: NatsServerOptions,
    folder: ServerFolder,
    [port, leafPort]: [number, number],
  ) {
    super(`nats-server ${options.domain}`, folder);
    this.#options = options;
    this.port = port;
    this.leafPort = leafPort;
  }

  /** Resolves once the server accepts connections. @throws Error that holds the end of its log. */
  static async start(options: NatsServerOptions): Promise<NatsServer> {
    const ports = (await freePorts(2)) as [number, number];
    const folder = serverFolder(options.folder, `isthmus-nats-${options.domain}-`);
    return RestartableServer.started(new NatsServer(options, folder, ports));
  }

  /** Where clients connect. */
  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Where other sites' servers connect. */
  get leafUrl(): string {
    return `nats://127.0.0.1:${this.leafPort}`;
  }

  /** Starts the server again after `stop` or `kill`, on the same ports and the same store. */
  override async run(): Promise<void> {
    const file = join(this.folder, "nats-server.conf");
    writeFileSync(file, natsServerFile(this.#options, this.folder, this.port, this.leafPort));
    // The server greets each client with INFO, and listens for clients only once JetStream is up.
    const greets = () =>
      answers(
        () => connect(this.port, "127.0.0.1"),
        (bytes) => bytes.includes("INFO "),
        1000,
      );
    await this.spawn(await which("nats-server"), ["-c", file], "nats-server.log", (started) =>
      started.untilReady(greets, START_MS_MAX),
    );
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
