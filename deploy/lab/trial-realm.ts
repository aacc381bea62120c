/** The realm that the lab's Keycloaks begin with. */
export const TRIAL_REALM = "trial";

/** Its clients, public ones, which take any way back and passwords too. */
export const TRIAL_CLIENTS = ["shop", "desk", "wiki"] as const;

/** Its users; each has its name as its password. */
export const TRIAL_USERS = ["alice", "bob", "carol"] as const;

/** What Keycloak imports at its first start; the same for a realm of another name. */
export function trialRealm(realm = TRIAL_REALM): object {
  return {
    realm,
    enabled: true,
    displayName: "Trial",
    // Passwords are no secrets here, and those who log in many.
    passwordPolicy: "hashAlgorithm(pbkdf2-sha256) and hashIterations(1)",
    // Failed logins are counted, in the cache loginFailures.
    bruteForceProtected: true,
    failureFactor: 100,
    // No login is too soon after another one: tests are quick.
    quickLoginCheckMilliSeconds: 0,
    clients: TRIAL_CLIENTS.map((clientId) => ({
      clientId,
      name: clientId,
      publicClient: true,
      standardFlowEnabled: true,
      directAccessGrantsEnabled: true,
      redirectUris: ["*"],
      attributes: { "post.logout.redirect.uris": "*" },
    })),
    users: TRIAL_USERS.map((username) => ({
      username,
      enabled: true,
      email: `${username}@trial.example`,
      emailVerified: true,
      firstName: username,
      lastName: "Trial",
      credentials: [{ type: "password", value: username }],
      realmRoles: [`default-roles-${realm}`, "offline_access"],
    })),
  };
}
