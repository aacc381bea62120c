import type { CacheName, SiteName } from "../names.ts";
import type { ConflictPolicy } from "../policy/conflict.ts";
import type { Mode, OnTimeout } from "../policy/mode.ts";

/** A TCP address as the file writes it, `host:port`; an IPv6 host is held without its brackets. */
export interface Address {
  readonly host: string;
  /** 1..65535. */
  readonly port: number;
}

/** Names of the presets that a file may ask for. */
export const PRESETS = ["none", "keycloak"] as const;

/** See {@link PRESETS}. */
export type Preset = (typeof PRESETS)[number];

/** SASL mechanisms that a file may ask for. */
export const SASL_MECHANISMS = [
  "SCRAM-SHA-512",
  "SCRAM-SHA-384",
  "SCRAM-SHA-256",
  "DIGEST-MD5",
  "PLAIN",
  "EXTERNAL",
  "OAUTHBEARER",
] as const;

/** How the connector logs in at Infinispan; the password stays in the environment. */
export interface CacheAuth {
  readonly mechanism: (typeof SASL_MECHANISMS)[number];
  /** undefined only where something else says who it is: the client certificate of EXTERNAL, the token of OAUTHBEARER. */
  readonly username: string | undefined;
  /** Name of the environment variable that holds the password, or OAUTHBEARER's token; undefined only under EXTERNAL. */
  readonly passwordEnv: string | undefined;
  readonly realm: string;
}

/** TLS of a client: what it trusts and, for mutual TLS, who it is. `certFile` and `keyFile` come together. */
export interface ClientTls {
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
}

/** TLS of a listener. */
export interface ServerTls {
  readonly certFile: string;
  readonly keyFile: string;
}

/** A site's external Infinispan. */
export interface InfinispanCache {
  readonly kind: "infinispan";
  /** At least one. */
  readonly servers: readonly Address[];
  readonly auth: CacheAuth | undefined;
  readonly tls: (ClientTls & { readonly serverName: string | undefined }) | undefined;
}

/** An in-memory Hot Rod server inside the site's process. */
export interface EmbeddedCache {
  readonly kind: "embedded";
  /** Where other Hot Rod clients reach it; undefined: only the site's own process does. */
  readonly listen: Address | undefined;
}

/** A site's NATS: how the site's process reaches it and, for `nats-config` and `lab`, how to run it. */
export interface SiteNats {
  /** URLs, `nats://host:port` or `tls://host:port`; at least one. */
  readonly servers: readonly string[];
  /** JetStream domain, different at every site. */
  readonly domain: string;
  readonly nkeySeedFile: string | undefined;
  readonly credsFile: string | undefined;
  readonly tls: ClientTls | undefined;
  /** Where this site's nats-server takes the leaf links of the sites below it in the file. */
  readonly leaf: { readonly listen: Address; readonly advertise: Address | undefined } | undefined;
  /** JetStream's directory. */
  readonly storeDir: string;
}

/** How to clear a Keycloak's local caches after a gap in `work`. */
export interface KeycloakAdmin {
  /** Base URL, for example `https://sso.nyc.example`. */
  readonly adminUrl: string;
  readonly realm: string;
  readonly clientId: string;
  /** Name of the environment variable that holds the client's secret. */
  readonly clientSecretEnv: string;
}

/** One site of the file. */
export interface Site {
  readonly name: SiteName;
  readonly cache: InfinispanCache | EmbeddedCache;
  readonly nats: SiteNats;
  readonly frontDoor: { readonly listen: Address; readonly tls: ServerTls | undefined } | undefined;
  /** Metrics, health, console; undefined: nothing listens. `tokenFile` guards whatever changes state. */
  readonly http: { readonly listen: Address; readonly tokenFile: string | undefined } | undefined;
  /** Directory of the ledger. */
  readonly data: string;
  readonly keycloak: KeycloakAdmin | undefined;
}

/** One rule of `policies`; what it leaves undefined takes its default in the cache's effective policy. */
export interface PolicyRule {
  /** Names, or patterns in which `*` stands for any characters; at least one. */
  readonly match: readonly string[];
  readonly mode: Mode;
  readonly timeoutMs: number | undefined;
  readonly onTimeout: OnTimeout | undefined;
  readonly conflict: ConflictPolicy | undefined;
  readonly to: readonly SiteName[] | undefined;
  /** The cache's local name at a site where it differs. */
  readonly rename: ReadonlyMap<SiteName, CacheName>;
  readonly singleUse: "home" | undefined;
  readonly evicts: boolean;
  /** What the text of keys begins with that stay at their site; undefined: what the preset says. */
  readonly localKeys: readonly string[] | undefined;
  /** Line in the file, from 1. */
  readonly line: number;
}

/** The file's `limits`, defaults filled in; ranges are `FILE_RANGES` in limits.ts. */
export interface Limits {
  readonly logMaxAgeMs: number;
  readonly logMaxBytes: number;
  readonly takeOffline: {
    /** Failures in a row until a target is taken offline; 0: never for failures. */
    readonly afterFailures: number;
    /** Silence of a target's heartbeats until it is taken offline. */
    readonly afterSilenceMs: number;
  };
  readonly tombstones: { readonly maxAgeMs: number };
  readonly maxClockSkewMs: number;
  readonly maxValueBytes: number;
}

/** A valid `isthmus.yaml`, defaults filled in. */
export interface Config {
  readonly name: string;
  readonly preset: Preset;
  /** In the file's order: a site dials the leaf of every site before it. */
  readonly sites: readonly Site[];
  /** In the file's order: the first match wins. */
  readonly policies: readonly PolicyRule[];
  readonly limits: Limits;
}

/** The site of that name, or undefined if the file has none. */
export function siteNamed(config: Config, name: SiteName): Site | undefined {
  return config.sites.find((site) => site.name === name);
}

/** The address as `host:port`, an IPv6 host in brackets. */
export function formatAddress({ host, port }: Address): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
