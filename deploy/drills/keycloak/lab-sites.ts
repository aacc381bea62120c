import { KEYCLOAK_ADMIN } from "../../lab/keycloak.ts";
import type { LabProcess } from "../../lab/lab-state.ts";
import { KeycloakSite } from "./keycloak-site.ts";

/** What is to be known of a process of a lab to reach it. */
type Reached = Pick<LabProcess, "kind" | "site" | "ports">;

/** The Keycloaks of a lab, in the order of its sites. @throws Error for a lab without any */
export function labKeycloaks(parts: readonly Reached[]): KeycloakSite[] {
  const url = (port: number | undefined) => `http://127.0.0.1:${port}`;
  const keycloaks = parts.filter(({ kind }) => kind === "keycloak");
  const [first] = keycloaks;
  if (first === undefined) throw new Error("the lab has no Keycloak");
  return keycloaks.map(({ site, ports }) => {
    const cache = parts.find((part) => part.kind === "infinispan" && part.site === site);
    return new KeycloakSite({
      name: site,
      url: url(ports["keycloak"]),
      publicUrl: url(first.ports["keycloak"]),
      cachePort: cache?.ports["cache"] ?? 0,
      admin: KEYCLOAK_ADMIN,
    });
  });
}
