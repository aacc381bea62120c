import {
  existsSync,
  mkdirSync,
  openSync,
  readSync,
  closeSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import type { Config } from "../../topology/config/config.ts";
import { assert } from "../../topology/errors.ts";
import { natsServerConfig, renderServerConfig } from "../nats/server-config.ts";
import type { CacheOptions } from "./infinispan-config.ts";
import { startDetached } from "./detached-process.ts";
import {
  HOT_ROD_ANSWER,
  HOT_ROD_PING,
  STARTED_MESSAGE,
  infinispanArguments,
  writeInfinispanHome,
} from "./infinispan-home.ts";
import type { LabPorts, LabSiteName, PortsBySite } from "./lab-file.ts";
import type { LabFolder, LabProcess } from "./lab-state.ts";
import { answers } from "./server-process.ts";
import { projectRoot, which } from "./which.ts";

/** How long a process may take to answer one question about its readiness. */
const ANSWER_MS_MAX = 2_000;

/** What every part of a lab is made from. */
export interface LabPlan {
  readonly folder: LabFolder;
  readonly config: Config;
  readonly ports: PortsBySite;
  /** The caches of each Infinispan. */
  readonly caches: Readonly<Record<string, CacheOptions>>;
  /** More of Java's options for each Infinispan. */
  readonly java: readonly string[];
}

type Part = Pick<LabProcess, "kind" | "name" | "ports" | "log">;

/** Starts a site's nats-server on what `isthmus nats-config` prints for it. */
export async function startNats(plan: LabPlan, site: LabSiteName): Promise<LabProcess> {
  const file = join(siteFolder(plan, site), "nats-server.conf");
  writeFileSync(file, renderServerConfig(natsServerConfig(plan.config, site)));
  const { nats, leaf } = portsOf(plan, site);
  const log = join(siteFolder(plan, site), "nats-server.log");
  const part: Part = {
    kind: "nats-server",
    name: `nats-server ${site}`,
    ports: { nats, leaf },
    log,
  };
  return start(part, site, await which("nats-server"), ["-c", file]);
}

/** Starts a site's Infinispan, a cluster of its own. */
export async function startInfinispan(plan: LabPlan, site: LabSiteName): Promise<LabProcess> {
  const { cache, cluster } = portsOf(plan, site);
  const folder = join(siteFolder(plan, site), "infinispan");
  writeInfinispanHome(folder, {
    clusterName: `lab-${site}`,
    nodeName: `lab-${site}`,
    port: cache,
    clusterPort: cluster,
    members: [cluster],
    caches: plan.caches,
  });
  const log = join(siteFolder(plan, site), "infinispan.log");
  const name = `Infinispan ${site}`;
  const part: Part = { kind: "infinispan", name, ports: { cache, cluster }, log };
  const args = [...plan.java, ...(await infinispanArguments(folder, `lab-${site}`))];
  return start(part, site, await which("java"), args);
}

/** Starts a site's process, `isthmus run`; `environment` is added to this program's own. */
export function startSite(
  plan: LabPlan,
  site: LabSiteName,
  environment: Readonly<Record<string, string>> = {},
): Promise<LabProcess> {
  const program = join(projectRoot(), "deploy", "bin", "isthmus.mjs");
  const log = join(siteFolder(plan, site), "isthmus.log");
  const { http, door } = portsOf(plan, site);
  const hasDoor = plan.config.sites.some((its) => its.name === site && its.frontDoor !== undefined);
  const ports = hasDoor ? { http, door } : { http };
  const part: Part = { kind: "isthmus", name: `isthmus ${site}`, ports, log };
  const args = [program, "run", "-f", plan.folder.file, "--site", site];
  return start(part, site, process.execPath, args, environment);
}

function portsOf({ ports }: LabPlan, site: LabSiteName): LabPorts {
  const found = ports.get(site);
  assert(found, () => `the lab has no site ${site}`);
  return found;
}

function siteFolder({ folder }: LabPlan, site: LabSiteName): string {
  const path = join(folder.path, site);
  mkdirSync(path, { recursive: true });
  return path;
}

async function start(
  part: Part,
  site: LabSiteName,
  command: string,
  args: string[],
  environment: Readonly<Record<string, string>> = {},
) {
  const logFrom = existsSync(part.log) ? statSync(part.log).size : 0;
  return { ...part, site, logFrom, ...(await startDetached(command, args, part.log, environment)) };
}

/** Why a process that runs is not ready yet, or undefined when it is. */
export async function whyNotReady(part: LabProcess): Promise<string | undefined> {
  switch (part.kind) {
    case "nats-server":
      // It greets each client with INFO, and listens for clients only once JetStream is up.
      return (await greets(part.ports["nats"], "", (bytes) => bytes.includes("INFO ")))
        ? undefined
        : "it does not take connections";
    case "infinispan": {
      const isUp = (bytes: Buffer) => bytes[0] === HOT_ROD_ANSWER;
      if (!(await greets(part.ports["cache"], HOT_ROD_PING, isUp)))
        return "Hot Rod does not answer";
      return logHas(part, STARTED_MESSAGE) ? undefined : "its start is not over";
    }
    case "isthmus":
      return siteNotReady(part);
  }
}

/** The line with which a process that runs says that it will never be ready. */
export function fatalLine(part: LabProcess): string | undefined {
  // An Infinispan whose start failed lets its process live on.
  if (part.kind !== "infinispan") return undefined;
  return /.*(?:Exception in thread "main"|ISPN080028).*/.exec(logOf(part))?.[0];
}

async function siteNotReady({ ports }: LabProcess): Promise<string | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${ports["http"]}/health/ready`, {
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
    });
    if (!response.ok) return `/health/ready says ${response.status}: ${await response.text()}`;
  } catch {
    return "/health/ready does not answer";
  }
  if (ports["door"] === undefined) return undefined;
  const isUp = (bytes: Buffer) => bytes[0] === HOT_ROD_ANSWER;
  return (await greets(ports["door"], HOT_ROD_PING, isUp)) ? undefined : "its front door is shut";
}

function greets(
  port = 0,
  hello: string | Buffer,
  isAnswer: (bytes: Buffer) => boolean,
): Promise<boolean> {
  const open = () => {
    const socket = connect(port, "127.0.0.1");
    if (hello.length > 0) socket.write(hello);
    return socket;
  };
  return answers(open, isAnswer, ANSWER_MS_MAX);
}

/** Whether a process logged these characters since it started, however much that is. */
function logHas({ log, logFrom }: LabProcess, text: string): boolean {
  const bytes = Buffer.alloc(2 ** 20);
  const file = openSync(log, "r");
  try {
    for (let at = logFrom; ;) {
      const read = readSync(file, bytes, 0, bytes.length, at);
      if (bytes.subarray(0, read).includes(text)) return true;
      if (read < bytes.length) return false;
      // The characters may lie across the end of what was read.
      at += read - text.length;
    }
  } finally {
    closeSync(file);
  }
}

/** What a process logged as it started: the first MiB since then. */
export function logOf({ log, logFrom }: LabProcess): string {
  if (!existsSync(log)) return "";
  const bytes = Buffer.alloc(2 ** 20);
  const file = openSync(log, "r");
  try {
    return bytes.toString("utf8", 0, readSync(file, bytes, 0, bytes.length, logFrom));
  } finally {
    closeSync(file);
  }
}
