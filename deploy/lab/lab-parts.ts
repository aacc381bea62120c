import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { natsServerConfig, renderServerConfig } from "../nats/server-config.ts";
import { infinispanArguments, writeInfinispanHome } from "./infinispan-home.ts";
import type { LabSiteName } from "./lab-file.ts";
import type { LabProcess } from "./lab-state.ts";
import { portsOf, siteFolder, startPart } from "./start-part.ts";
import type { LabPlan, Part } from "./start-part.ts";
import { projectRoot, which } from "./which.ts";

/** Starts a site's nats-server on what `isthmus nats-config` prints for it. */
export async function startNats(plan: LabPlan, site: LabSiteName): Promise<LabProcess> {
  const file = join(siteFolder(plan, site), "nats-server.conf");
  writeFileSync(file, renderServerConfig(natsServerConfig(plan.config, site)));
  const { nats, leaf } = portsOf(plan, site);
  const log = join(siteFolder(plan, site), "nats-server.log");
  const name = `nats-server ${site}`;
  const part: Part = { kind: "nats-server", name, site, ports: { nats, leaf }, log };
  return startPart(part, await which("nats-server"), ["-c", file]);
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
  const part: Part = { kind: "infinispan", name, site, ports: { cache, cluster }, log };
  const args = [...plan.java, ...(await infinispanArguments(folder, `lab-${site}`))];
  return startPart(part, await which("java"), args);
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
  const part: Part = { kind: "isthmus", name: `isthmus ${site}`, site, ports, log };
  const args = [program, "run", "-f", plan.folder.file, "--site", site];
  return startPart(part, process.execPath, args, { environment });
}
