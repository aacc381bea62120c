import { STORE_PASSWORD } from "./certificates.ts";
import type { Certificates } from "./certificates.ts";

/** One cache of a server; a distributed, statistics-keeping x-protostream cache unless it says otherwise. */
export interface CacheOptions {
  /** Storage type, for example `application/octet-stream`; `application/x-java-object` is object storage. */
  readonly mediaType?: string;
  readonly kind?: "distributed" | "replicated" | "local";
  readonly statistics?: boolean;
  /** Entries beyond this many are evicted. */
  readonly maxCount?: number;
  /** Defaults of the cache, in ms, and how often expired entries are reaped, in ms. */
  readonly lifespanMs?: number;
  readonly maxIdleMs?: number;
  readonly expirationIntervalMs?: number;
  /** True: entries are on disk too, and come back when the server starts again in its folder. */
  readonly persistent?: boolean;
  /** A site to which Infinispan itself copies each write before it answers; a write that gets no copy there fails. */
  readonly backupTo?: string;
}

/** Servers of several sites that back one another up, by Infinispan's own means: RELAY2 over TCP. */
export interface CrossSite {
  /** The server's own. */
  readonly site: string;
  /** Where it takes the other sites' connections: a port of 127.0.0.1. */
  readonly port: number;
  /** Where the server of each site, its own too, is reached by the others: a port of 127.0.0.1, perhaps a proxy's. */
  readonly reached: ReadonlyMap<string, number>;
}

/** SASL mechanisms that the server is set up for. */
export type SaslMechanism =
  | "PLAIN"
  | "DIGEST-MD5"
  | "SCRAM-SHA-256"
  | "SCRAM-SHA-384"
  | "SCRAM-SHA-512"
  | "EXTERNAL"
  | "OAUTHBEARER";

/** How a server asks who its clients are. */
export interface AuthOptions {
  readonly mechanisms: readonly SaslMechanism[];
  /** Passwords by user name; each user is an administrator, unless `roles` says otherwise. */
  readonly users?: Readonly<Record<string, string>>;
  /** Turns authorization on: permissions by role (the caches take all of them), and each user's role. */
  readonly roles?: {
    readonly permissions: Readonly<Record<string, readonly string[]>>;
    readonly of: Readonly<Record<string, string>>;
  };
  /** For OAUTHBEARER, which wants TLS: signed tokens that name the user in the claim `username` (RS256) with this issuer (a URL), audience and public key (PEM, SPKI). */
  readonly token?: {
    readonly issuer: string;
    readonly audience: string;
    readonly publicKey: string;
  };
}

/** All that {@link infinispanXml} says about a server. */
export interface InfinispanConfig {
  readonly clusterName: string;
  readonly nodeName: string;
  readonly port: number;
  readonly clusterPort: number;
  /** Cluster ports of all nodes, this one among them. */
  readonly members: readonly number[];
  readonly caches: Readonly<Record<string, CacheOptions>>;
  readonly auth?: AuthOptions | undefined;
  readonly certificates?: Certificates | undefined;
  readonly crossSite?: CrossSite | undefined;
  /** Each of the first entries of a cluster-wide topology is advertised to clients at this address instead of the node's own. */
  readonly advertise?: { readonly host: string; readonly port: number } | undefined;
}

const escape = (text: string | number) =>
  String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

/** Attributes in XML, without those that are undefined. */
function attributes(values: Record<string, string | number | boolean | undefined>): string {
  return Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}="${escape(String(value))}"`)
    .join("");
}

function cacheXml(name: string, cache: CacheOptions, auth: AuthOptions | undefined): string {
  const kind = `${cache.kind ?? "distributed"}-cache`;
  const mode = cache.kind === "local" ? undefined : "SYNC";
  const expiration = {
    lifespan: cache.lifespanMs,
    "max-idle": cache.maxIdleMs,
    interval: cache.expirationIntervalMs,
  };
  const memory =
    cache.maxCount === undefined
      ? ""
      : `<memory max-count="${cache.maxCount}" when-full="REMOVE"/>`;
  const store =
    cache.persistent === true ? `<persistence><file-store purge="false"/></persistence>` : "";
  const backups =
    cache.backupTo === undefined
      ? ""
      : `<backups><backup${attributes({ site: cache.backupTo, strategy: "SYNC", "failure-policy": "FAIL" })}/></backups>`;
  const roles = Object.keys(auth?.roles?.permissions ?? {}).join(" ");
  const security =
    roles === ""
      ? ""
      : `<security><authorization${attributes({ enabled: true, roles })}/></security>`;
  return `<${kind}${attributes({ name, mode, statistics: cache.statistics ?? true })}>
      <encoding media-type="${escape(cache.mediaType ?? "application/x-protostream")}"/>
      <expiration${attributes(expiration)}/>
      ${memory}${store}${security}${backups}
    </${kind}>`;
}

function realmXml(auth: AuthOptions | undefined, certificates: Certificates | undefined): string {
  const store = (path: string) => attributes({ path, password: STORE_PASSWORD });
  const identities =
    certificates === undefined
      ? ""
      : `<server-identities><ssl>
          <keystore${store(certificates.serverStore)}/>
          <truststore${store(certificates.trustStore)}/>
        </ssl></server-identities>`;
  const token =
    auth?.token === undefined
      ? ""
      : `<token-realm name="token" auth-server-url="${escape(auth.token.issuer)}" client-id="infinispan"><jwt${attributes(
          {
            issuer: auth.token.issuer,
            audience: auth.token.audience,
            "public-key": auth.token.publicKey.trim(),
            "client-ssl-context": "trust",
          },
        )}/></token-realm>`;
  const external = auth?.mechanisms.includes("EXTERNAL") ? "<truststore-realm/>" : "";
  const users =
    auth?.users === undefined
      ? ""
      : `<properties-realm groups-attribute="Roles">
          <user-properties path="users.properties" plain-text="true"/>
          <group-properties path="groups.properties"/>
        </properties-realm>`;
  // The token realm takes the trust store of a realm that is made before it.
  const trust =
    certificates === undefined || auth?.token === undefined
      ? ""
      : `<security-realm name="trust"><server-identities><ssl>
          <truststore${store(certificates.trustStore)}/>
        </ssl></server-identities></security-realm>`;
  return `${trust}<security-realm name="default">${identities}${token}${external}${users}</security-realm>`;
}

function endpointXml(config: InfinispanConfig): string {
  const { auth, certificates, advertise } = config;
  const secured = auth !== undefined || certificates !== undefined;
  const endpoint = attributes({
    "socket-binding": "default",
    "security-realm": secured ? "default" : undefined,
    "require-ssl-client-auth": auth?.mechanisms.includes("EXTERNAL") ? true : undefined,
  });
  const connector = attributes({
    "external-host": advertise?.host,
    "external-port": advertise?.port,
  });
  const sasl =
    auth === undefined
      ? ""
      : `<authentication><sasl mechanisms="${auth.mechanisms.join(" ")}" server-name="infinispan" qop="auth"/></authentication>`;
  return `<endpoints><endpoint${endpoint}>
      <hotrod-connector name="hotrod"${connector}>${sasl}</hotrod-connector>
      <rest-connector name="rest"/>
    </endpoint></endpoints>`;
}

/** A second stack between the sites, and one that joins it to the cluster's. */
function crossSiteXml({ site, port, reached }: CrossSite): string {
  const hosts = [...reached.values()].map((at) => `127.0.0.1[${at}]`).join(",");
  const transport = {
    bind_addr: "127.0.0.1",
    bind_port: port,
    port_range: 0,
    external_addr: "127.0.0.1",
    external_port: reached.get(site),
  };
  const sites = [...reached.keys()].map((name) => `<remote-site${attributes({ name })}/>`);
  // FD_SOCK2 listens on a port of its own, which no proxy passes on; FD_ALL3 notices a site that is gone, too.
  return `<stack name="between-sites" extends="tcp">
      <TCP${attributes(transport)}/>
      <TCPPING initial_hosts="${hosts}" port_range="0" stack.combine="REPLACE" stack.position="MPING"/>
      <FD_SOCK2 stack.combine="REMOVE"/>
    </stack>
    <stack name="sites" extends="loopback">
      <relay.RELAY2 xmlns="urn:org:jgroups"${attributes({ site })}/>
      <remote-sites default-stack="between-sites">${sites.join("")}</remote-sites>
    </stack>`;
}

/** The server's `infinispan.xml`: a TCP stack on loopback, its caches, one endpoint. */
export function infinispanXml(config: InfinispanConfig): string {
  const hosts = config.members.map((port) => `127.0.0.1[${port}]`).join(",");
  const caches = Object.entries(config.caches).map(([name, cache]) =>
    cacheXml(name, cache, config.auth),
  );
  const roles = Object.entries(config.auth?.roles?.permissions ?? {}).map(
    ([name, permissions]) => `<role${attributes({ name, permissions: permissions.join(" ") })}/>`,
  );
  // Roles are the groups of the realm, by name.
  const authorization =
    roles.length === 0
      ? ""
      : `<security><authorization><identity-role-mapper/>${roles.join("")}</authorization></security>`;
  return `<infinispan xmlns="urn:infinispan:config:16.0">
  <jgroups>
    <stack name="loopback" extends="tcp">
      <TCP bind_addr="127.0.0.1" bind_port="${config.clusterPort}" port_range="0"/>
      <TCPPING initial_hosts="${hosts}" port_range="0" stack.combine="REPLACE" stack.position="MPING"/>
    </stack>
    ${config.crossSite === undefined ? "" : crossSiteXml(config.crossSite)}
  </jgroups>
  <cache-container name="default" statistics="true">
    <transport cluster="${escape(config.clusterName)}" stack="${config.crossSite === undefined ? "loopback" : "sites"}" node-name="${escape(config.nodeName)}"/>
    ${authorization}
    ${caches.join("\n    ")}
  </cache-container>
  <server xmlns="urn:infinispan:server:16.0">
    <interfaces><interface name="public"><inet-address value="127.0.0.1"/></interface></interfaces>
    <socket-bindings default-interface="public" port-offset="0">
      <socket-binding name="default" port="${config.port}"/>
    </socket-bindings>
    <security><security-realms>${realmXml(config.auth, config.certificates)}</security-realms></security>
    ${endpointXml(config)}
  </server>
</infinispan>
`;
}
