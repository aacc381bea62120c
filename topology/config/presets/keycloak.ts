import type { PresetRow } from "./preset.ts";

const LOCAL = "local to each Keycloak; invalidated by messages in work";
const SESSION = "a user's session: the next request may come to another site";

/** The caches of the Keycloak and RHBK documentation, one row each. */
export const keycloakPreset: readonly PresetRow[] = [
  { cache: "realms", mode: "never", reason: LOCAL },
  { cache: "users", mode: "never", reason: LOCAL },
  { cache: "authorization", mode: "never", reason: LOCAL },
  { cache: "keys", mode: "never", reason: LOCAL },
  { cache: "crl", mode: "never", reason: LOCAL },
  {
    cache: "work",
    mode: "async",
    // Locks of tasks, of one site's nodes: a site that dies must not take the other's along, nor one site's remove end both.
    localKeys: ["task::"],
    reason: "cluster events, kept for their 120 s",
  },
  { cache: "sessions", mode: "sync", reason: SESSION },
  { cache: "clientSessions", mode: "sync", reason: SESSION },
  { cache: "offlineSessions", mode: "sync", reason: SESSION },
  { cache: "offlineClientSessions", mode: "sync", reason: SESSION },
  {
    cache: "authenticationSessions",
    mode: "sync",
    reason: "without sticky sessions a login fails with expired_code; off is right with them",
  },
  { cache: "actionTokens", mode: "sync", reason: "used once: see singleUse" },
  { cache: "loginFailures", mode: "async", reason: "the administrator's choice: off is valid" },
];
