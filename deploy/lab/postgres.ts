import { execFile } from "node:child_process";
import { chownSync, existsSync, lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { databaseFolder, databaseUser } from "./database-folder.ts";
import type { LabProcess } from "./lab-state.ts";
import { firstSite, portsOf, siteFolder, startPart } from "./start-part.ts";
import type { LabPlan, Part } from "./start-part.ts";
import { which } from "./which.ts";

/** Whoever comes from this machine is this user: the lab has no secrets. */
export const DATABASE_USER = "keycloak";
/** The database that `initdb` makes. */
export const DATABASE = "postgres";

/** Longer than `initdb` takes on a busy machine, ms. */
const INITDB_MS_MAX = 120_000;

/** A trial's: its data need not survive the machine. Sockets of its own would want a folder of their own. */
const SETTINGS = [
  "listen_addresses=127.0.0.1",
  "unix_socket_directories=",
  "max_connections=100",
  "shared_buffers=64MB",
  "fsync=off",
];

/** Starts the PostgreSQL that all Keycloaks of the lab share; its data is made on the first start. */
export async function startPostgres(plan: LabPlan): Promise<LabProcess> {
  const programs = await which("postgres");
  const folder = databaseFolder(plan.folder.path);
  const runAs = databaseUser();
  makeFolder(folder, runAs);
  if (!existsSync(join(folder, "PG_VERSION"))) await initialize(programs, folder, runAs);
  const site = firstSite(plan);
  const { database } = portsOf(plan, site);
  const log = join(siteFolder(plan, site), "postgres.log");
  const part: Part = { kind: "postgres", name: "PostgreSQL", site, ports: { database }, log };
  const settings = SETTINGS.flatMap((setting) => ["-c", setting]);
  const args = ["-D", folder, "-p", String(database), ...settings];
  return startPart(part, join(programs, "postgres"), args, { runAs });
}

/** Only the database's user may look into it; a folder that another user made is not taken. */
function makeFolder(folder: string, runAs: number | undefined): void {
  if (!existsSync(folder)) {
    mkdirSync(folder, { mode: 0o700 });
    if (runAs !== undefined) chownSync(folder, runAs, runAs);
  }
  const found = lstatSync(folder);
  const owner = runAs ?? process.getuid?.() ?? found.uid;
  if (found.isDirectory() && found.uid === owner) return;
  throw new IsthmusError(
    ErrorCode.LabFolderInvalid,
    `${folder}, for the lab's database, is not a folder of the user ${owner}: nothing was written`,
    { hint: "remove it, or name another lab with --folder" },
  );
}

async function initialize(
  programs: string,
  folder: string,
  runAs: number | undefined,
): Promise<void> {
  const who = ["-U", DATABASE_USER, "--auth=trust"];
  const args = ["-D", folder, ...who, "--encoding=UTF8", "--no-locale", "--no-sync"];
  const user = runAs === undefined ? {} : { uid: runAs, gid: runAs, cwd: "/" };
  const options = { timeout: INITDB_MS_MAX, ...user };
  try {
    await promisify(execFile)(join(programs, "initdb"), args, options);
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim() ?? String(cause);
    throw new IsthmusError(ErrorCode.LabProcessFailed, `initdb failed: ${said}`, { cause });
  }
}

/** A client's first message, protocol 3.0: its user and database. */
export const DATABASE_LOGIN = loginMessage();

function loginMessage(): Buffer {
  const words = ["user", DATABASE_USER, "database", DATABASE].join("\0");
  const body = Buffer.concat([Buffer.from([0, 3, 0, 0]), Buffer.from(`${words}\0\0`)]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length + 4);
  return Buffer.concat([length, body]);
}

/** Whether the answer begins as one to a client that is let in; one to come later is an error. */
export const isLetIn = (bytes: Buffer): boolean => bytes[0] === "R".charCodeAt(0);
