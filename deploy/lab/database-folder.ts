import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** The user `nobody` and its group, as Linux numbers them. */
const NOBODY = 65_534;

/** As whom PostgreSQL is run: it refuses to be run by root. Undefined: as this program is. */
export function databaseUser(): number | undefined {
  return process.getuid?.() === 0 ? NOBODY : undefined;
}

/** Where the lab's PostgreSQL keeps its data: below the lab's folder, unless its user may not go there. */
export function databaseFolder(lab: string): string {
  if (databaseUser() === undefined) return join(lab, "postgres");
  const name = createHash("sha256").update(resolve(lab)).digest("hex").slice(0, 16);
  return join(tmpdir(), `isthmus-lab-postgres-${name}`);
}
