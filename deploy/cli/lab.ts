import { resolve } from "node:path";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { KEYCLOAK_ADMIN } from "../lab/keycloak.ts";
import { DEMO_CACHE, labShape } from "../lab/lab-file.ts";
import type { KeycloakSessions } from "../lab/lab-file.ts";
import { Lab } from "../lab/lab.ts";
import type { LabPartStatus, LabStatus } from "../lab/lab.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";
import { textLines } from "../status/text-table.ts";

/** The highest first port: the last of the lab's ports is 18 above it. */
const BASE_PORT_MAX = 65_517;

/** `isthmus lab up|down|status`: a real two-site stack on this machine. */
export const lab: Verb = {
  name: "lab",
  summary: "a real two-site stack on this machine: nats-server, Infinispan and Isthmus, twice",
  args: "up|down|status",
  json: '{"folder", "file", "phase", "ready", "processes": [{name, site, kind, state, reason, pid, memoryBytes, ports, log}]}; down: {"stopped"}',
  options: {
    folder: { value: "FOLDER", summary: "where it keeps its file, logs and data, default lab" },
    ports: {
      value: "BASE",
      summary: "up: nyc's ports from BASE, lon's from BASE+10; default free",
    },
    "keep-data": { summary: "down: keep logs and data for the next up" },
    keycloak: { summary: "up: with a Keycloak at each site, and one PostgreSQL for both" },
    "persistent-sessions": {
      summary: "up --keycloak: users' sessions are in its database, not in Infinispan",
    },
  },
  async run(context: VerbContext): Promise<Exit> {
    const [action = ""] = context.args;
    const run = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
    if (run === undefined || context.args.length !== 1)
      throw new IsthmusError(
        ErrorCode.UsageInvalid,
        `expected one of ${Object.keys(ACTIONS).join("|")}, got ${context.args.join(" ") || "nothing"}`,
      );
    const { folder } = context.options;
    const path = resolve(context.cwd, typeof folder === "string" ? folder : "lab");
    return run(new Lab(path, (line) => context.stderr.write(`${line}\n`)), context);
  },
};

type Action = (stack: Lab, context: VerbContext) => Promise<Exit>;

const ACTIONS: Readonly<Record<string, Action>> = { up, down, status };

async function up(stack: Lab, context: VerbContext): Promise<Exit> {
  const base = basePort(context.options["ports"]);
  const shape = labShape(keycloakSessions(context));
  const stopping = new AbortController();
  const stop = () => stopping.abort();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    const isNew = await stack.up(base, stopping.signal, shape);
    if (!isNew) context.stderr.write(`the lab in ${stack.folder.path} runs already\n`);
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
  const code = await status(stack, context);
  const found = await stack.status();
  if (found !== undefined) context.stderr.write(howToLogIn(found));
  if (!context.json && found !== undefined) context.stdout.write(howToTry(found));
  return code;
}

function keycloakSessions({ options }: VerbContext): KeycloakSessions | undefined {
  const isPersistent = options["persistent-sessions"] === true;
  if (options["keycloak"] === true) return isPersistent ? "database" : "infinispan";
  if (!isPersistent) return undefined;
  throw new IsthmusError(ErrorCode.UsageInvalid, "--persistent-sessions: only with --keycloak");
}

async function down(stack: Lab, context: VerbContext): Promise<Exit> {
  const keepData = context.options["keep-data"] === true;
  const stopped = await stack.down(keepData);
  if (context.json) context.stdout.write(`${JSON.stringify({ stopped })}\n`);
  else if (stopped.length === 0) context.stderr.write(`no lab runs in ${stack.folder.path}\n`);
  return Exit.Fine;
}

async function status(stack: Lab, context: VerbContext): Promise<Exit> {
  const found = await stack.status();
  if (found === undefined) {
    if (context.json) context.stdout.write(`${JSON.stringify(noLab(stack))}\n`);
    else context.stdout.write(`no lab in ${stack.folder.path}\n`);
    return Exit.No;
  }
  const ready = isReady(found);
  if (context.json) {
    const { folder, file, phase, parts } = found;
    const report = { folder, file, phase, ready, processes: parts.map(reported) };
    context.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  } else context.stdout.write(table(found));
  return ready ? Exit.Fine : Exit.No;
}

const isReady = ({ phase, parts }: LabStatus): boolean =>
  phase === "running" && parts.every(({ state }) => state === "ready");

const noLab = ({ folder }: Lab) => ({
  folder: folder.path,
  file: folder.file,
  phase: "down",
  ready: false,
  processes: [],
});

function reported(part: LabPartStatus) {
  const { name, site, kind, state, reason, pid, residentBytes, ports, log } = part;
  return { name, site, kind, state, reason, pid, memoryBytes: residentBytes, ports, log };
}

function basePort(option: string | true | undefined): number | undefined {
  if (typeof option !== "string") return undefined;
  const base = Number(option);
  if (Number.isInteger(base) && base >= 1024 && base <= BASE_PORT_MAX) return base;
  throw new IsthmusError(
    ErrorCode.UsageInvalid,
    `--ports: expected a port from 1024 to ${BASE_PORT_MAX}, got ${option}`,
  );
}

function table({ phase, parts }: LabStatus): string {
  const rows = [
    ["PROCESS", "STATE", "PID", "MEMORY", "PORTS OF 127.0.0.1"],
    ...parts.map(({ name, state, pid, residentBytes, ports }) => [
      name,
      state,
      String(pid),
      `${Math.round(residentBytes / 2 ** 20)} MiB`,
      Object.entries(ports)
        .map(([use, port]) => `${use} ${port}`)
        .join(", "),
    ]),
  ];
  const reasons = parts.flatMap(({ name, reason }) => (reason ? [`${name}: ${reason}`] : []));
  const half = phase === "running" ? [] : [`the lab is ${phase}`];
  return [...textLines(rows), ...reasons, ...half, ""].join("\n");
}

/** Nothing for a lab without Keycloak. */
function howToLogIn({ parts }: LabStatus): string {
  const keycloaks = parts.filter(({ kind }) => kind === "keycloak");
  const lines = keycloaks.map(
    ({ name, ports }) => `${name}: http://127.0.0.1:${ports["keycloak"]}\n`,
  );
  if (lines.length === 0) return "";
  const { username, password } = KEYCLOAK_ADMIN;
  return `${lines.join("")}administrator of both: ${username}, password ${password}\n`;
}

function howToTry({ file, parts }: LabStatus): string {
  const rest = (site: string) => {
    const port = parts.find((p) => p.kind === "infinispan" && p.site === site)?.ports["cache"];
    return `http://127.0.0.1:${port}/rest/v2/caches/${DEMO_CACHE}/greeting`;
  };
  return `
The file is ${file}. Write at nyc, read at lon, with any Hot Rod client or over REST:
  curl -X POST -H 'Content-Type: text/plain' -d hello ${rest("nyc")}
  curl -H 'Accept: text/plain' ${rest("lon")}
Stop it with: isthmus lab down
`;
}
