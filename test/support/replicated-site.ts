import { join } from "node:path";
import { ServerProcess } from "../../deploy/lab/server-process.ts";
import { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import type { AuthOptions, CacheOptions } from "../../deploy/lab/infinispan-config.ts";
import type { NatsServer } from "../../deploy/lab/nats-server.ts";
import { projectRoot } from "../../deploy/lab/which.ts";
import type { HandledCache } from "../../deploy/site/handled-cache.ts";
import { loadMerges } from "../../deploy/site/merges.ts";
import type { Site } from "../../deploy/site/site.ts";
import { SiteProcess } from "../../deploy/site/site-process.ts";
import type { Config } from "../../topology/config/config.ts";
import type { JavaCache, JavaClient, JavaConnection } from "./java-client.ts";
import { MemoryLogger, realClock, realRandom } from "./real-time.ts";

/** What a site of a test is made of. */
export interface SiteSpec {
  readonly name: string;
  /** Caches of a real Infinispan; undefined: an embedded cache, with the caches of the file. */
  readonly caches?: Readonly<Record<string, CacheOptions>>;
  /** Nodes of the Infinispan cluster, 1 by default. */
  readonly nodes?: number;
  readonly auth?: AuthOptions;
  /** Port of its front door; undefined: it has none. */
  readonly frontDoorPort?: number;
}

/** One site of a test: its nats-server, its Infinispan, and its Isthmus, in this process or in one of its own. */
export class ReplicatedSite {
  readonly name: string;
  readonly nats: NatsServer;
  readonly nodes: InfinispanServer[];
  /** What the site's Isthmus said, over all its runs in this process. */
  readonly logger = new MemoryLogger();
  /** Environment variables of the site's Isthmus. */
  readonly env: Record<string, string> = {};
  readonly #spec: SiteSpec;
  readonly #folder: string;
  readonly #java: JavaClient;
  #connection: { readonly to: string; readonly opened: Promise<JavaConnection> } | undefined;
  #process: SiteProcess | undefined;
  #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #failure: unknown;
  #child: ServerProcess | undefined;

  constructor(
    spec: SiteSpec,
    parts: { nats: NatsServer; nodes: InfinispanServer[]; folder: string; java: JavaClient },
  ) {
    this.name = spec.name;
    this.#spec = spec;
    this.nats = parts.nats;
    this.nodes = parts.nodes;
    this.#folder = parts.folder;
    this.#java = parts.java;
  }

  /** The site's entry in isthmus.yaml. `generation` makes a ledger of its own. */
  yaml(generation: number): string {
    const servers = JSON.stringify(this.nodes.map((node) => node.address));
    const user = Object.keys(this.#spec.auth?.users ?? {})[0];
    const auth = user === undefined ? "" : `, auth: { username: ${user}, passwordEnv: PASSWORD }`;
    const cache =
      this.#spec.caches === undefined
        ? "{ kind: embedded }"
        : `{ kind: infinispan, servers: ${servers}${auth} }`;
    const port = this.#spec.frontDoorPort;
    const door = port === undefined ? "" : `\n    frontDoor: { listen: "127.0.0.1:${port}" }`;
    return `  ${this.name}:
    cache: ${cache}${door}
    nats: { servers: ["${this.nats.url}"] }
    data: ./data-${generation}/${this.name}`;
  }

  /** The running site. @throws what ended it, or Error when it is not active */
  get site(): Site {
    if (this.#failure !== undefined) throw this.#failure;
    const site = this.#process?.site;
    if (site === undefined) throw new Error(`${this.name} is not active`);
    return site;
  }

  /** The site's process in a process of its own. */
  get child(): ServerProcess {
    if (this.#child === undefined) throw new Error(`${this.name} has no process of its own`);
    return this.#child;
  }

  /** The port of the embedded cache. */
  get embeddedPort(): number {
    const port = this.#process?.embedded?.port;
    if (port === undefined) throw new Error(`${this.name} has no embedded cache now`);
    return port;
  }

  get isRunning(): boolean {
    return this.#process !== undefined || this.#child !== undefined;
  }

  get isInProcess(): boolean {
    return this.#process !== undefined;
  }

  /** @throws Error when the site does not know the cache */
  handled(cache: string): HandledCache {
    const handled = this.site.caches.get(cache);
    if (handled === undefined) throw new Error(`${this.name} does not handle ${cache}`);
    return handled;
  }

  /** Runs the site in this process; resolves at once. */
  start(config: Config): void {
    if (this.isRunning) throw new Error(`${this.name} runs already`);
    this.#stopping = new AbortController();
    this.#failure = undefined;
    const { signal } = this.#stopping;
    this.#running = (async () => {
      const siteProcess = new SiteProcess({
        config,
        site: this.name,
        merges: await loadMerges(config, this.#folder),
        clock: realClock,
        random: realRandom,
        logger: this.logger,
        standby: false,
        env: this.env,
      });
      this.#process = siteProcess;
      await siteProcess.run(signal);
    })().catch((error: unknown) => {
      this.#failure = error;
    });
  }

  /** Runs the site in a process of its own, the one that users run. The tree must be built. */
  spawn(file: string): void {
    if (this.isRunning) throw new Error(`${this.name} runs already`);
    const program = join(projectRoot(), "deploy", "bin", "isthmus.mjs");
    const log = join(this.#folder, `${this.name}.log`);
    const args = [program, "run", "--site", this.name, "-f", file];
    this.#child = ServerProcess.spawn(`isthmus ${this.name}`, log, process.execPath, args);
  }

  /** Stops the site's Isthmus as an operator does. @throws what ended it before */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    await this.#child?.stop();
    this.#process = undefined;
    this.#running = undefined;
    this.#child = undefined;
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Ends a process of its own with SIGKILL. */
  async kill(): Promise<void> {
    await this.child.kill();
    this.#child = undefined;
  }

  /** A cache at this site as the Java client sees it. */
  async cache(name: string, mediaType?: string): Promise<JavaCache> {
    const address =
      this.nodes.length > 0
        ? this.nodes.map((node) => node.address).join(",")
        : `127.0.0.1:${this.embeddedPort}`;
    if (this.#connection?.to !== address) {
      const opened = this.#java.connect(address, this.#login());
      this.#connection = { to: address, opened };
    }
    return (await this.#connection.opened).cache(name, mediaType);
  }

  #login(): object {
    const [user] = Object.entries(this.#spec.auth?.users ?? {});
    if (user === undefined) return {};
    return { mechanism: "SCRAM-SHA-512", username: user[0], password: user[1] };
  }
}

/** Starts the nodes of a site's Infinispan, one after the other: each joins the first. */
export async function startNodes(spec: SiteSpec): Promise<InfinispanServer[]> {
  const nodes: InfinispanServer[] = [];
  if (spec.caches === undefined) return nodes;
  for (let i = 0; i < (spec.nodes ?? 1); i++) {
    const first = nodes[0];
    nodes.push(
      await InfinispanServer.start({
        name: `${spec.name}${i + 1}`,
        clusterName: spec.name,
        caches: spec.caches,
        ...(spec.auth !== undefined && { auth: spec.auth }),
        ...(first !== undefined && { joins: first }),
      }),
    );
  }
  return nodes;
}
