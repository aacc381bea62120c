import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const found = new Map<string, Promise<string>>();

/** The folder that holds the project, whether this runs from the sources or from dist. */
export function projectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "deploy", "start.mjs"))) {
    const above = dirname(folder);
    if (above === folder) throw new Error("deploy/start.mjs is missing: run from a whole checkout");
    folder = above;
  }
  return folder;
}

/** What `deploy/start.mjs which` finds. */
type Thing =
  | "nats-server"
  | "java"
  | "infinispan"
  | "java-client"
  | "drill-checker"
  | "toxiproxy"
  | "keycloak"
  | "keycloak-persistent-sessions"
  | "postgres"
  | "chromium";

/**
 * The path (for jars the class path) of something that a real server needs, fetched on first use.
 * @throws Error that says what to install.
 */
export function which(thing: Thing): Promise<string> {
  let path = found.get(thing);
  if (path === undefined) {
    path = ask(thing);
    found.set(thing, path);
  }
  return path;
}

async function ask(thing: string): Promise<string> {
  const script = join(projectRoot(), "deploy", "start.mjs");
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [script, "which", thing]);
    return stdout.trim();
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim();
    throw new Error(said === undefined || said === "" ? `cannot find ${thing}` : said, {
      cause: error,
    });
  }
}
