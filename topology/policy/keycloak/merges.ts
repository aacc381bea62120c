import { authSessionTabs } from "./auth-session-tabs.ts";
import { loginFailure } from "./login-failure.ts";
import type { SchemaMerge } from "./schema-merge.ts";

/** Keycloak's merges, by the name that the file uses. */
export const keycloakMerges: ReadonlyMap<string, SchemaMerge> = new Map([
  ["keycloak/auth-session-tabs", authSessionTabs],
  ["keycloak/login-failure", loginFailure],
]);
