import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { renderDiagnostic } from "../../topology/config/diagnostic.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { projectRoot } from "../lab/which.ts";
import type { Drill } from "./drill.ts";
import { parseDrill } from "./parse-drill.ts";

/** Every drill that comes with Isthmus, by name. @throws IsthmusError for a file with faults. */
export function catalogue(): Drill[] {
  const folder = join(projectRoot(), "deploy", "drills");
  const files = readdirSync(folder).filter((file) => file.endsWith(".yaml"));
  return files.sort().map((file) => readDrill(join(folder, file), file));
}

/** The drill of a file of the user's. @throws IsthmusError DrillUnknown, or the first fault of the file */
export function drillOf(file: string, cwd: string): Drill {
  return readDrill(resolve(cwd, file), file);
}

function readDrill(path: string, name: string): Drill {
  if (!existsSync(path))
    throw new IsthmusError(ErrorCode.DrillUnknown, `no drill file ${name}: it does not exist`);
  const { value, diagnostics } = parseDrill(readFileSync(path, "utf8"), name);
  if (value !== undefined) return value;
  const faults = diagnostics.filter(({ severity }) => severity === "error");
  const all = faults.map((fault) => `\n  ${renderDiagnostic(fault)}`).join("");
  throw new IsthmusError(faults[0]?.code ?? ErrorCode.FileNotYaml, `${name} is not valid:${all}`);
}
