import type { Site } from "../../topology/config/config.ts";

/**
 * What the file asks of these sites' processes that this version does not do, by its key. A process that went on without
 * it would promise what it does not keep, so `run` refuses to start; the other verbs take such a file as it is.
 */
export function unavailableKeys(sites: readonly Site[]): string[] {
  const keys: string[] = [];
  for (const { name, keycloak } of sites) {
    if (keycloak !== undefined) keys.push(`sites.${name}.keycloak`);
  }
  return keys;
}
