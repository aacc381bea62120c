import { readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { makeCertificates } from "./certificates.ts";
import type { Certificates } from "./certificates.ts";
import { freePorts } from "./free-ports.ts";
import type { AuthOptions, CacheOptions, CrossSite } from "./infinispan-config.ts";
import {
  HOT_ROD_ANSWER,
  HOT_ROD_PING,
  STARTED_MESSAGE,
  infinispanArguments,
  writeInfinispanHome,
} from "./infinispan-home.ts";
import { RestartableServer, serverFolder } from "./restartable-server.ts";
import type { ServerFolder } from "./restartable-server.ts";
import { answers } from "./server-process.ts";
import { which } from "./which.ts";

/** How long a server may take to answer; it takes about 8 s on two idle cores. */
const START_MS_MAX = 120_000;

/** What a server is started with. */
export interface InfinispanServerOptions {
  /** The node's name. */
  readonly name: string;
  /** The cluster's name; `name` by default. */
  readonly clusterName?: string;
  readonly caches: Readonly<Record<string, CacheOptions>>;
  /** Without it every client may do everything. */
  readonly auth?: AuthOptions;
  /** True: TLS with a trial's own authority, see `certificates`. */
  readonly tls?: boolean;
  /** A running server whose cluster this one joins; the cluster's name is taken from it. */
  readonly joins?: InfinispanServer;
  readonly heapMib?: number;
  /** More of Java's options. */
  readonly java?: readonly string[];
  readonly crossSite?: CrossSite;
  /** What clients are told this node's address is, for example a proxy's. */
  readonly advertise?: { readonly host: string; readonly port: number };
  /** Where configuration and log are kept; a temporary folder, removed at the end, by default. */
  readonly folder?: string;
}

/** A real Infinispan server (Hot Rod and REST on one random port of 127.0.0.1); its caches are in memory alone. */
export class InfinispanServer extends RestartableServer {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly clusterName: string;
  /** Set with `tls: true`. */
  readonly certificates: Certificates | undefined;
  readonly #options: InfinispanServerOptions;
  readonly #clusterPort: number;
  /** Cluster ports of all nodes that ever belonged to the cluster; shared by all of them. */
  readonly #members: number[];

  private constructor(
    options: InfinispanServerOptions,
    folder: ServerFolder,
    ports: [number, number],
    certificates: Certificates | undefined,
  ) {
    super(`Infinispan ${options.name}`, folder);
    this.#options = options;
    [this.port, this.#clusterPort] = ports;
    this.certificates = certificates;
    this.clusterName = options.joins?.clusterName ?? options.clusterName ?? options.name;
    this.#members = options.joins === undefined ? [] : options.joins.#members;
    this.#members.push(this.#clusterPort);
  }

  /** Resolves once Hot Rod answers and, for a node that joins, the cluster is complete. @throws Error that holds the end of its log. */
  static async start(options: InfinispanServerOptions): Promise<InfinispanServer> {
    const ports = (await freePorts(2)) as [number, number];
    const folder = serverFolder(options.folder, `isthmus-ispn-${options.name}-`);
    const certificates = options.tls === true ? await makeCertificates(folder.path) : undefined;
    return RestartableServer.started(new InfinispanServer(options, folder, ports, certificates));
  }

  /** `host:port` of Hot Rod and REST. */
  get address(): string {
    return `${this.host}:${this.port}`;
  }

  /** Starts the server again after `stop` or `kill`, on the same ports; its caches are empty unless another node has them. */
  override async run(): Promise<void> {
    this.#writeFiles();
    const { name, heapMib, java = [] } = this.#options;
    const logBefore = this.logSoFar.length;
    const args = [...java, ...(await infinispanArguments(this.folder, name, heapMib))];
    await this.spawn(await which("java"), args, "server.log", async (started) => {
      await started.untilReady(() => this.#answersHotRod(), START_MS_MAX);
      await started.untilReady(async () => this.#complete(logBefore), START_MS_MAX);
    });
  }

  async #answersHotRod(): Promise<boolean> {
    const open = () => {
      const socket = this.certificates === undefined ? connect(this.port, this.host) : this.#tls();
      socket.write(HOT_ROD_PING);
      return socket;
    };
    // A server whose start failed lets its process live on.
    const failed = /Exception in thread "main"|ISPN080028/.exec(this.process.log());
    if (failed !== null) throw this.process.fault("failed to start");
    return answers(open, (bytes) => bytes[0] === HOT_ROD_ANSWER, 2000);
  }

  #tls() {
    const files = this.certificates as Certificates;
    return connectTls({
      host: this.host,
      port: this.port,
      ca: readFileSync(files.caFile),
      cert: readFileSync(files.clientCertFile),
      key: readFileSync(files.clientKeyFile),
    });
  }

  /** True when the start is over (Hot Rod answers before, with errors) and the view holds more than this node, if it joined one. */
  #complete(logBefore: number): boolean {
    const log = this.process.log().slice(logBefore);
    if (!log.includes(STARTED_MESSAGE)) return false;
    if (this.#options.joins?.process.alive !== true) return true;
    const views = log.matchAll(/new cluster view for channel .*\((\d+)\) \[/g);
    return [...views].some(([, members]) => Number(members) > 1);
  }

  #writeFiles(): void {
    const { name, caches, auth, advertise, crossSite } = this.#options;
    // State of an earlier run would make a node wait for members that are gone.
    rmSync(join(this.folder, "data"), { recursive: true, force: true });
    writeInfinispanHome(this.folder, {
      clusterName: this.clusterName,
      nodeName: name,
      port: this.port,
      clusterPort: this.#clusterPort,
      members: this.#members,
      caches,
      auth,
      certificates: this.certificates,
      crossSite,
      advertise,
    });
  }
}
