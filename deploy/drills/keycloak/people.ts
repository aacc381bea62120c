import { randomBytes } from "node:crypto";
import { TRIAL_REALM, trialRealm } from "../../lab/trial-realm.ts";
import { eventually } from "./eventually.ts";
import type { KeycloakLab } from "./keycloak-lab.ts";
import type { KeycloakSite, Tokens } from "./keycloak-site.ts";
import { LoginFlow } from "./login-flow.ts";

/** Keys that are made at once: an RSA key, Keycloak's default, takes it seconds. */
const QUICK_KEYS = {
  defaultSignatureAlgorithm: "ES256",
  components: {
    "org.keycloak.keys.KeyProvider": [
      {
        name: "signatures",
        providerId: "ecdsa-generated",
        config: { priority: ["100"], ecdsaEllipticCurveKey: ["P-256"] },
      },
      {
        name: "refresh tokens and codes",
        providerId: "hmac-generated",
        config: { priority: ["100"], algorithm: ["HS512"] },
      },
      { name: "cookies", providerId: "aes-generated", config: { priority: ["100"] } },
    ],
  },
};

/** Who is to log in where; by default alice to the shop, in the trial realm. */
interface Who {
  readonly username?: string;
  readonly client?: string;
  readonly scope?: string;
  readonly realm?: string;
  readonly password?: string;
}

/** A person with a browser of their own. */
export function person(who: Who = {}): LoginFlow {
  const { username = "alice", client = "shop", scope = "openid", realm = TRIAL_REALM } = who;
  return new LoginFlow({ realm, client, username, password: who.password ?? username, scope });
}

/** Runs `work` in a realm of its own, like the trial one but for `settings`, which both sites know; then it is removed. */
export async function inRealm<T>(
  lab: KeycloakLab,
  settings: object,
  work: (realm: string) => Promise<T>,
): Promise<T> {
  const [nyc, lon] = lab.sites;
  const realm = `drill-${randomBytes(4).toString("hex")}`;
  await nyc.admin("POST", "", { ...trialRealm(realm), ...QUICK_KEYS, ...settings });
  try {
    await eventually(`${realm} at ${lon.name}`, async () => {
      await lon.admin("GET", realm);
      return true;
    });
    return await work(realm);
  } finally {
    await nyc.admin("DELETE", realm).catch((error: Error) => {
      if (!error.message.includes(": 404 ")) throw error;
    });
  }
}

/** A user's id. */
export async function userId(
  site: KeycloakSite,
  username: string,
  realm = TRIAL_REALM,
): Promise<string> {
  const path = `${realm}/users?exact=true&username=${username}`;
  const [user] = await site.admin<{ id: string }[]>("GET", path);
  if (user === undefined) throw new Error(`${site.name} knows no ${username} in ${realm}`);
  return user.id;
}

/** A session as the administration shows it. */
export interface ShownSession {
  readonly id: string;
  /** ms since the epoch, whole seconds. */
  readonly lastAccess: number;
}

/** The sessions of a user, by what a site's administration shows. */
export async function sessionsOf(
  site: KeycloakSite,
  username: string,
  realm = TRIAL_REALM,
): Promise<ShownSession[]> {
  const path = `${realm}/users/${await userId(site, username, realm)}/sessions`;
  return site.admin<ShownSession[]>("GET", path);
}

/** The session that tokens are of. @throws Error for tokens without one */
export function sessionOf({ session_state: session }: Tokens): string {
  if (session === undefined) throw new Error("tokens without a session");
  return session;
}

/**
 * Whether a session is kept at a site: in its Infinispan, or where sessions are in the database, as its Keycloak sees it.
 * Offline sessions are looked for among the offline ones.
 */
export async function isKept(
  lab: KeycloakLab,
  site: KeycloakSite,
  session: string,
  { username = "alice", realm = TRIAL_REALM } = {},
): Promise<boolean> {
  if (lab.sessions === "infinispan") return (await site.cache.keys("sessions")).includes(session);
  return (await sessionsOf(site, username, realm)).some(({ id }) => id === session);
}
