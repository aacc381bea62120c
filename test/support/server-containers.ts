import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { GenericContainer, Wait, getContainerRuntimeClient } from "testcontainers";
import type { ContainerRuntimeClient, StartedTestContainer } from "testcontainers";
import { freePorts } from "../../deploy/lab/free-ports.ts";
import {
  HOT_ROD_ANSWER,
  HOT_ROD_PING,
  STARTED_MESSAGE,
  infinispanArguments,
  writeInfinispanHome,
} from "../../deploy/lab/infinispan-home.ts";
import { natsServerFile } from "../../deploy/lab/nats-server.ts";
import { answers } from "../../deploy/lab/server-process.ts";
import { projectRoot, which } from "../../deploy/lab/which.ts";
import { until } from "./linked-sites.ts";
import type { RunningInfinispan, RunningNats, ServerProvider } from "./server-provider.ts";

/** The name of the image that {@link containers} makes. */
const IMAGE = "isthmus-test-host:local";

/** Folders of this machine that make the image's programs run. */
const SYSTEM_FOLDERS = ["/usr", "/etc"];

const START_MS_MAX = 120_000;

/**
 * Servers in containers of the Docker daemon that `DOCKER_HOST` names, on the host's network. No registry is asked: the image
 * holds empty folders alone, and this machine's programs are mounted into it, read-only.
 *
 * @throws Error that says why when there is no daemon.
 */
export async function containers(): Promise<ServerProvider> {
  // The process that would clear up after a crash comes from a registry; containers remove themselves when they end instead.
  process.env["TESTCONTAINERS_RYUK_DISABLED"] = "true";
  // On the host's network nothing is mapped; without this a daemon without a bridge is taken for none.
  process.env["TESTCONTAINERS_HOST_OVERRIDE"] ??= "127.0.0.1";
  const runtime = await getContainerRuntimeClient();
  await buildImage();
  return {
    nats: async (options) => {
      const folder = mkdtempSync(join(tmpdir(), `isthmus-container-${options.domain}-`));
      const [port, leafPort] = (await freePorts(2)) as [number, number];
      const file = join(folder, "nats-server.conf");
      writeFileSync(file, natsServerFile(options, folder, port, leafPort));
      const binary = await which("nats-server");
      const greets = (bytes: Buffer) => bytes.includes("INFO ");
      const isUp = () => answers(() => connect(port, "127.0.0.1"), greets, 1_000);
      const command = [binary, "-c", file];
      const started = await start(command, [dirname(binary), folder], /Server is ready/);
      return new ContainerServer(runtime, started, { port, leafPort, folder, isUp });
    },
    infinispan: async (options) => {
      const folder = mkdtempSync(join(tmpdir(), `isthmus-container-${options.name}-`));
      const [port, clusterPort] = (await freePorts(2)) as [number, number];
      const { name, clusterName = name, caches, auth } = options;
      const members = [clusterPort];
      const config = { clusterName, nodeName: name, port, clusterPort, members, caches, auth };
      writeInfinispanHome(folder, config);
      const isUp = () =>
        answers(
          () => greet(port),
          (bytes) => bytes[0] === HOT_ROD_ANSWER,
          1_000,
        );
      const command = [await which("java"), ...(await infinispanArguments(folder, name))];
      const jars = join(projectRoot(), ".cache");
      const started = await start(command, [jars, folder], new RegExp(STARTED_MESSAGE));
      return new ContainerServer(runtime, started, { port, leafPort: 0, folder, isUp });
    },
  };
}

function greet(port: number) {
  const socket = connect(port, "127.0.0.1");
  socket.write(HOT_ROD_PING);
  return socket;
}

/** Folders are mounted where they are, so that paths mean the same inside and outside. */
function start(
  command: string[],
  folders: readonly string[],
  ready: RegExp,
): Promise<StartedTestContainer> {
  const system = SYSTEM_FOLDERS.map((path) => ({
    source: path,
    target: path,
    mode: "ro" as const,
  }));
  const own = folders.map((path) => ({ source: path, target: path }));
  return new GenericContainer(IMAGE)
    .withNetworkMode("host")
    .withBindMounts([...system, ...own])
    .withEntrypoint([command[0] ?? ""])
    .withCommand(command.slice(1))
    .withWaitStrategy(Wait.forLogMessage(ready))
    .withStartupTimeout(START_MS_MAX)
    .start();
}

interface ContainerParts {
  readonly port: number;
  readonly leafPort: number;
  readonly folder: string;
  /** Whether the server answers. */
  readonly isUp: () => Promise<boolean>;
}

/** A server in a container. */
class ContainerServer implements RunningNats, RunningInfinispan {
  readonly port: number;
  readonly #runtime: ContainerRuntimeClient;
  readonly #container: StartedTestContainer;
  readonly #parts: ContainerParts;

  constructor(
    runtime: ContainerRuntimeClient,
    container: StartedTestContainer,
    parts: ContainerParts,
  ) {
    this.#runtime = runtime;
    this.#container = container;
    this.#parts = parts;
    this.port = parts.port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get url(): string {
    return `nats://${this.address}`;
  }

  get leafUrl(): string {
    return `nats://127.0.0.1:${this.#parts.leafPort}`;
  }

  async kill(): Promise<void> {
    const container = this.#runtime.container.getById(this.#container.getId());
    await container.kill({ signal: "SIGKILL" });
    await container.wait();
  }

  async run(): Promise<void> {
    const container = this.#runtime.container.getById(this.#container.getId());
    await container.start();
    await until("the server in the container answers", this.#parts.isUp, START_MS_MAX);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#container.stop({ remove: true, removeVolumes: true });
    rmSync(this.#parts.folder, { recursive: true, force: true });
  }
}

/** An image of empty folders with the links that a system of today has in its root; made from nothing, so never pulled. */
async function buildImage(): Promise<void> {
  const context = mkdtempSync(join(tmpdir(), "isthmus-image-"));
  try {
    const root = join(context, "root");
    for (const name of ["etc", "usr", "tmp"]) mkdirSync(join(root, name), { recursive: true });
    for (const name of ["bin", "sbin", "lib", "lib64"])
      symlinkSync(join("usr", name), join(root, name));
    writeFileSync(join(context, "Dockerfile"), "FROM scratch\nCOPY root/ /\n");
    await GenericContainer.fromDockerfile(context).build(IMAGE, { deleteOnExit: false });
  } finally {
    rmSync(context, { recursive: true, force: true });
  }
}
