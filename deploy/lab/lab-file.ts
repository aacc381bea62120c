import { createServer } from "node:net";
import { once } from "node:events";
import { keycloakPreset } from "../../topology/config/presets/keycloak.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { CacheOptions } from "./infinispan-config.ts";
import { freePorts } from "./free-ports.ts";

/** Every site that a lab may have, in the order of its file: each dials those before it. */
export const SITE_NAMES = ["nyc", "lon", "sfo"] as const;

/** See {@link SITE_NAMES}. */
export type LabSiteName = (typeof SITE_NAMES)[number];

/** The sites of a lab whose shape names none. */
export const LAB_SITES: readonly LabSiteName[] = ["nyc", "lon"];

/** The cache that no preset names, for whatever one wants to try. */
export const DEMO_CACHE = "demo";

/** Ports of 127.0.0.1 that a site of the lab listens on. */
export interface LabPorts {
  /** Infinispan's Hot Rod and REST. */
  readonly cache: number;
  /** Infinispan among its nodes. */
  readonly cluster: number;
  readonly nats: number;
  readonly leaf: number;
  readonly http: number;
  /** The site's front door, if it has one; its Keycloak reaches Infinispan there. */
  readonly door: number;
  readonly keycloak: number;
  /** Keycloak's health and metrics. */
  readonly management: number;
  /** PostgreSQL; used at the first site alone, for all of them. */
  readonly database: number;
}

const KINDS = [
  "cache",
  "cluster",
  "nats",
  "leaf",
  "http",
  "door",
  "keycloak",
  "management",
  "database",
] as const satisfies (keyof LabPorts)[];

/** Ports with `base` follow it: 10 for the first site, 10 for each of the others. */
const PORTS_PER_SITE = 10;

/** The ports of each site of a lab. */
export type PortsBySite = ReadonlyMap<LabSiteName, LabPorts>;

/** Every site's ports: free ones, or those that follow `base`. @throws IsthmusError LabPortTaken when one of those is in use. */
export async function labPorts(
  base: number | undefined,
  sites: readonly LabSiteName[],
): Promise<PortsBySite> {
  const free = base === undefined ? await freePorts(sites.length * KINDS.length) : [];
  const of = async (site: number): Promise<LabPorts> => {
    const pairs = KINDS.map((kind, i) => {
      const port =
        base === undefined ? free[site * KINDS.length + i] : base + site * PORTS_PER_SITE + i;
      return [kind, port ?? 0] as const;
    });
    if (base !== undefined) for (const [kind, port] of pairs) await mustBeFree(kind, port);
    return Object.fromEntries(pairs) as Record<keyof LabPorts, number>;
  };
  const found = new Map<LabSiteName, LabPorts>();
  for (const [i, site] of sites.entries()) found.set(site, await of(i));
  return found;
}

async function mustBeFree(kind: string, port: number): Promise<void> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new IsthmusError(
      ErrorCode.LabPortTaken,
      `port ${port} of 127.0.0.1, for ${kind}, cannot be listened on: ${reason}`,
      { hint: "name another first port with --ports, or leave it out for free ones", cause },
    );
  } finally {
    server.close();
  }
}

/** How the lab's file begins; no other file is ever written over. */
export const LAB_MARK = "# Two sites on this machine, written by `isthmus lab up`.";

/** Where the lab's Keycloaks keep their users' sessions. */
export type KeycloakSessions = "infinispan" | "database";

/** What a lab is for: its caches, the file's rules for them, and what else its making takes. */
export interface LabShape {
  /** The file's preset, and what it says about it. */
  readonly preset: string;
  /** Rows of `policies`. */
  readonly rules: readonly string[];
  readonly caches: Readonly<Record<string, CacheOptions>>;
  /** {@link LAB_SITES} by default. */
  readonly sites?: readonly LabSiteName[];
  /** Each site has a front door. */
  readonly frontDoors?: boolean;
  /** More of Java's options for each Infinispan. */
  readonly java?: readonly string[];
  /** A Keycloak at each site, behind the site's front door, and one database for all of them; undefined: none. */
  readonly keycloak?: KeycloakSessions | undefined;
  /**
   * Called once the ports are known, before anything is started, with the lab's folder; may resolve with another port of
   * 127.0.0.1 at which the first site's leaf listener is dialled, that of a proxy.
   */
  prepare?(folder: string, ports: PortsBySite): Promise<number | void>;
}

/** The lab's `isthmus.yaml`; paths in it are relative to it. `dialled` is where the first site's leaf is reached, if not there. */
export function labFile(
  ports: PortsBySite,
  shape: Pick<LabShape, "preset" | "rules" | "frontDoors" | "keycloak"> = labShape(),
  dialled?: number,
): string {
  const sites = Array.from(ports, ([site, { cache, nats, leaf, http, door }], i) => {
    const frontDoor =
      shape.frontDoors === true || shape.keycloak !== undefined
        ? `    frontDoor: { listen: "127.0.0.1:${door}" }\n`
        : "";
    const through = dialled === undefined || i !== 0 ? "" : `, advertise: "127.0.0.1:${dialled}"`;
    return `  ${site}:
    cache: { kind: infinispan, servers: ["127.0.0.1:${cache}"] }
    nats:
      servers: ["nats://127.0.0.1:${nats}"]
      leaf: { listen: "127.0.0.1:${leaf}"${through} }
      storeDir: ./${site}/jetstream
${frontDoor}    http: { listen: "127.0.0.1:${http}" }
    data: ./${site}/ledger
`;
  });
  return `${LAB_MARK}
apiVersion: isthmus/v1
name: lab
preset: ${shape.preset}
sites:
${sites.join("")}policies:
${shape.rules.map((rule) => `  - ${rule}\n`).join("")}limits:
  logMaxBytes: 1GiB
`;
}

/**
 * What `lab up` gives: the caches of the Keycloak preset that leave a site, and {@link DEMO_CACHE}. With Keycloak only the
 * latter is made: a Keycloak makes its caches itself, and none for sessions that it keeps in its database.
 */
export function labShape(keycloak?: KeycloakSessions): LabShape {
  const options: CacheOptions = { kind: "distributed", persistent: true };
  const preset = "keycloak # what it says of each cache: isthmus caches";
  const demo = `{ match: ${DEMO_CACHE}, mode: async }`;
  if (keycloak !== undefined) {
    const none = `{ match: [${SESSION_CACHES.join(", ")}], mode: "off" }`;
    const rules = [...KEYCLOAK_RULES, ...(keycloak === "database" ? [none] : []), demo];
    return { preset, rules, caches: { [DEMO_CACHE]: options }, keycloak };
  }
  const names = keycloakPreset.filter(({ mode }) => mode !== "never").map(({ cache }) => cache);
  const caches = Object.fromEntries([...names, DEMO_CACHE].map((name) => [name, options]));
  return { preset, rules: [demo], caches };
}

/** What the preset leaves to whoever has front doors at every site. */
const KEYCLOAK_RULES = [
  "{ match: actionTokens, mode: sync, singleUse: home }",
  "{ match: authenticationSessions, mode: sync, conflict: { merge: keycloak/auth-session-tabs } }",
  "{ match: loginFailures, mode: async, conflict: { merge: keycloak/login-failure } }",
];

/** Keycloak has them in its database instead, where user sessions are persistent. */
const SESSION_CACHES = ["sessions", "clientSessions", "offlineSessions", "offlineClientSessions"];
