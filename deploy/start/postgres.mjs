// Finds the PostgreSQL that the lab's Keycloaks share.
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { Missing, onPath } from "./ground.mjs";

/** Where Debian keeps each version's programs, off the PATH. */
const DEBIAN = "/usr/lib/postgresql";

/** The folder that holds `postgres` and `initdb`: of PATH, or Debian's newest. Throws Missing("keycloak"). */
export async function postgres() {
  const isWhole = (folder) =>
    ["postgres", "initdb"].every((program) => existsSync(join(folder, program)));
  const installed = onPath("postgres");
  const versions = existsSync(DEBIAN)
    ? readdirSync(DEBIAN).map(Number).filter(Number.isInteger)
    : [];
  const newestFirst = versions.sort((a, b) => b - a).map((v) => join(DEBIAN, String(v), "bin"));
  const found = [
    ...(installed === undefined ? [] : [dirname(realpathSync(installed))]),
    ...newestFirst,
  ].find(isWhole);
  if (found !== undefined) return found;
  throw new Missing(
    "keycloak",
    "no postgres and initdb found. Put them on PATH, or install PostgreSQL (Debian: apt-get install postgresql)",
  );
}
