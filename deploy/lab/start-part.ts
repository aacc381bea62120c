import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../../topology/config/config.ts";
import { assert } from "../../topology/errors.ts";
import { startDetached } from "./detached-process.ts";
import type { StartOptions } from "./detached-process.ts";
import type { CacheOptions } from "./infinispan-config.ts";
import type { KeycloakSessions, LabPorts, LabSiteName, PortsBySite } from "./lab-file.ts";
import type { LabFolder, LabProcess } from "./lab-state.ts";

/** What every part of a lab is made from. */
export interface LabPlan {
  readonly folder: LabFolder;
  readonly config: Config;
  readonly ports: PortsBySite;
  /** The caches of each Infinispan. */
  readonly caches: Readonly<Record<string, CacheOptions>>;
  /** More of Java's options for each Infinispan. */
  readonly java: readonly string[];
  /** Where its Keycloaks keep their users' sessions, if it has any. */
  readonly keycloak: KeycloakSessions | undefined;
}

/** A part of a lab before it is started. */
export type Part = Pick<LabProcess, "kind" | "name" | "site" | "ports" | "log">;

/** The ports of a site. */
export function portsOf({ ports }: LabPlan, site: LabSiteName): LabPorts {
  const found = ports.get(site);
  assert(found, () => `the lab has no site ${site}`);
  return found;
}

/** A site's folder, made if need be. */
export function siteFolder({ folder }: LabPlan, site: LabSiteName): string {
  const path = join(folder.path, site);
  mkdirSync(path, { recursive: true });
  return path;
}

/** The site that the others follow: its ports stand for what a lab has once. */
export function firstSite({ ports }: LabPlan): LabSiteName {
  const [first] = ports.keys();
  assert(first !== undefined, "a lab without sites");
  return first;
}

/** Starts a part's program, whose output goes to the end of the part's log. */
export async function startPart(
  part: Part,
  command: string,
  args: readonly string[],
  options: StartOptions = {},
): Promise<LabProcess> {
  const logFrom = existsSync(part.log) ? statSync(part.log).size : 0;
  return { ...part, logFrom, ...(await startDetached(command, args, part.log, options)) };
}
