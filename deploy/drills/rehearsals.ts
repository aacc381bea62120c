import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { didYouMean } from "../../topology/config/suggest.ts";
import { catalogue, drillOf } from "./catalogue.ts";
import { needsOf } from "./drill.ts";
import type { Drill, Need } from "./drill.ts";
import type { DrillReport } from "./drill-report.ts";
import { DrillRun } from "./drill-run.ts";
import type { DrillOptions } from "./drill-run.ts";
import { keycloakDrills } from "./keycloak/keycloak-drill.ts";
import { soaks } from "./soak/soak-run.ts";

/** What `drill run` runs: a drill of a file, or one that is a program. */
export interface Rehearsal {
  readonly name: string;
  readonly summary: string;
  readonly groups: readonly string[];
  /** It takes so long that it is not of `all`. */
  readonly alone: boolean;
  /** Beyond a lab. */
  readonly needs: readonly Need[];
  /** Runs it. What fails is in the report; nothing that was started is left. */
  run(options: DrillOptions): Promise<DrillReport>;
}

/** Everything that comes with Isthmus. @throws IsthmusError for a file with faults. */
export function rehearsals(): Rehearsal[] {
  return [...catalogue().map(ofFile), ...keycloakDrills, ...soaks];
}

/**
 * What a word means: the drills of a group (`smoke`, or `all`), the one of that name, or that of a file.
 *
 * @throws IsthmusError DrillUnknown, or the first fault of the file
 */
export function rehearsalsNamed(word: string, cwd: string): Rehearsal[] {
  if (/\.ya?ml$/.test(word)) return [ofFile(drillOf(word, cwd))];
  const all = rehearsals();
  const found = all.filter(
    ({ name, groups, alone }) =>
      (word === "all" && !alone) || name === word || groups.includes(word),
  );
  if (found.length > 0) return found;
  const names = ["all", "smoke", ...all.map(({ name }) => name)];
  throw new IsthmusError(
    ErrorCode.DrillUnknown,
    `no drill is named ${JSON.stringify(word)}${didYouMean(word, names)}`,
    { hint: "isthmus drill list shows every drill" },
  );
}

const ofFile = (drill: Drill): Rehearsal => ({
  name: drill.name,
  summary: drill.summary,
  groups: drill.groups,
  alone: drill.alone,
  needs: needsOf(drill),
  run: (options) => new DrillRun(drill, options).run(),
});
