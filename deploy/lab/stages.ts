import { startKeycloak } from "./keycloak.ts";
import type { LabSiteName } from "./lab-file.ts";
import { startInfinispan, startNats, startSite } from "./lab-parts.ts";
import type { LabProcess } from "./lab-state.ts";
import { whyDoorShut } from "./part-readiness.ts";
import type { whyNotReady } from "./part-readiness.ts";
import { startPostgres } from "./postgres.ts";
import { firstSite } from "./start-part.ts";
import type { LabPlan } from "./start-part.ts";

/** How each kind of process is started. */
export const STARTS: Readonly<
  Record<
    LabProcess["kind"],
    (
      plan: LabPlan,
      site: LabSiteName,
      environment?: Readonly<Record<string, string>>,
    ) => Promise<LabProcess>
  >
> = {
  "nats-server": startNats,
  postgres: startPostgres,
  infinispan: startInfinispan,
  isthmus: startSite,
  keycloak: startKeycloak,
};

/** Processes that are started together; the next ones are when `why` finds nothing against any of them. */
export interface Stage {
  readonly what: string;
  readonly kind: LabProcess["kind"];
  readonly sites: readonly LabSiteName[];
  readonly why?: typeof whyNotReady;
}

/** A lab's processes in the order of their start. */
export function stagesOf(plan: LabPlan): Stage[] {
  const sites = [...plan.ports.keys()];
  const at = sites.join(" and ");
  const nats: Stage = { what: `nats-server at ${at}`, kind: "nats-server", sites };
  const caches: Stage = { what: `Infinispan at ${at}`, kind: "infinispan", sites };
  const isthmus: Stage = { what: `Isthmus at ${at}`, kind: "isthmus", sites };
  if (plan.keycloak === undefined) return [nats, caches, isthmus];
  const database: Stage = { what: "PostgreSQL", kind: "postgres", sites: [firstSite(plan)] };
  // One after the other: the first makes the tables that the others find.
  const keycloaks = sites.map((site): Stage => ({
    what: `Keycloak at ${site}`,
    kind: "keycloak",
    sites: [site],
  }));
  return [nats, database, caches, { ...isthmus, why: whyDoorShut }, ...keycloaks];
}
