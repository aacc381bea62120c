import { join } from "node:path";
import { ErrorCode } from "../errors.ts";
import { SASL_MECHANISMS } from "./config.ts";
import type { CacheAuth, ClientTls, EmbeddedCache, InfinispanCache, Site } from "./config.ts";
import type { FileReading, Place } from "./file-reading.ts";
import {
  FAULT,
  checked,
  choice,
  list,
  mapped,
  mapping,
  optional,
  required,
  text,
  withDefault,
} from "./readers.ts";
import type { Reader } from "./readers.ts";
import {
  announcedAddress,
  envName,
  httpUrl,
  listenAddress,
  natsUrl,
  path,
  plainName,
  serverAddress,
} from "./value-readers.ts";

/** A site's body; its name is the key. */
export type SiteBody = Omit<Site, "name" | "data" | "nats"> & {
  readonly data: string | undefined;
  readonly nats: Omit<Site["nats"], "domain" | "storeDir"> & {
    readonly domain: string | undefined;
    readonly storeDir: string | undefined;
  };
};

const clientTlsFields = {
  caFile: optional(path),
  certFile: optional(path),
  keyFile: optional(path),
};

const BY_PASSWORD = ["username", "passwordEnv"] as const;

/** The keys that a login by each mechanism needs. */
const LOGIN_NEEDS: Record<CacheAuth["mechanism"], ReadonlyArray<"username" | "passwordEnv">> = {
  "SCRAM-SHA-512": BY_PASSWORD,
  "SCRAM-SHA-384": BY_PASSWORD,
  "SCRAM-SHA-256": BY_PASSWORD,
  "DIGEST-MD5": BY_PASSWORD,
  PLAIN: BY_PASSWORD,
  EXTERNAL: [],
  OAUTHBEARER: ["passwordEnv"],
};

const auth: Reader<CacheAuth> = checked(
  mapping({
    mechanism: withDefault(choice(SASL_MECHANISMS), "SCRAM-SHA-512"),
    username: optional(text()),
    passwordEnv: optional(envName),
    realm: withDefault(text(), "default"),
  }),
  (value, place, file) => {
    return LOGIN_NEEDS[value.mechanism]
      .map((key) => value[key] !== undefined || missing(place, file, key, value.mechanism))
      .every(Boolean);
  },
);

function missing(place: Place, file: FileReading, key: string, mechanism: string): false {
  const message = `missing key ${JSON.stringify(key)}: ${mechanism} needs it`;
  file.error(place, ErrorCode.FileMissingKey, message);
  return false;
}

const cacheFields = mapping({
  kind: withDefault(choice(["infinispan", "embedded"] as const), "infinispan"),
  servers: optional(list(serverAddress)),
  auth: optional(auth),
  tls: optional(checked(mapping({ ...clientTlsFields, serverName: optional(text()) }), certAndKey)),
  listen: optional(listenAddress),
});

const cache: Reader<InfinispanCache | EmbeddedCache> = mapped(cacheFields, (value, place, file) => {
  const { kind, servers, listen } = value;
  const foreign =
    kind === "embedded" ? (["servers", "auth", "tls"] as const) : (["listen"] as const);
  const present = foreign.filter((key) => value[key] !== undefined);
  for (const key of present)
    file.error(
      file.entries(place)?.get(key)?.key ?? place,
      ErrorCode.FileKeysClash,
      `a cache of kind ${kind} has no ${JSON.stringify(key)}`,
    );
  if (present.length > 0) return FAULT;
  if (kind === "embedded") return { kind, listen };
  if (servers !== undefined) return { kind, servers, auth: value.auth, tls: value.tls };
  file.error(place, ErrorCode.FileMissingKey, 'missing key "servers": a list of host:port');
  return FAULT;
});

const nats: Reader<SiteBody["nats"]> = checked(
  mapping({
    servers: required(list(natsUrl)),
    domain: optional(plainName),
    nkeySeedFile: optional(path),
    credsFile: optional(path),
    tls: optional(checked(mapping(clientTlsFields), certAndKey)),
    leaf: optional(
      mapping({ listen: required(listenAddress), advertise: optional(announcedAddress) }),
    ),
    storeDir: optional(path),
  }),
  (value, place, file) => {
    if (value.nkeySeedFile === undefined || value.credsFile === undefined) return true;
    const message = "nkeySeedFile and credsFile exclude each other; keep one";
    file.error(place, ErrorCode.FileKeysClash, message);
    return false;
  },
);

/** Reads one site. */
export const siteBody: Reader<SiteBody> = mapping({
  cache: required(cache),
  nats: required(nats),
  frontDoor: optional(
    mapping({
      listen: required(listenAddress),
      tls: optional(mapping({ certFile: required(path), keyFile: required(path) })),
    }),
  ),
  http: optional(mapping({ listen: required(listenAddress), tokenFile: optional(path) })),
  data: optional(path),
  keycloak: optional(
    mapping({
      adminUrl: required(httpUrl),
      realm: withDefault(text(), "master"),
      clientId: required(text()),
      clientSecretEnv: required(envName),
    }),
  ),
});

/** Gives a site its name, and the defaults that follow from it. */
export function namedSite(name: string, body: SiteBody, file: FileReading): Site {
  const data = body.data ?? file.resolvePath(`./data/${name}`);
  const { domain = name, storeDir = join(data, "jetstream") } = body.nats;
  return { ...body, name, data, nats: { ...body.nats, domain, storeDir } };
}

function certAndKey(tls: ClientTls, place: Place, file: FileReading): boolean {
  if ((tls.certFile === undefined) === (tls.keyFile === undefined)) return true;
  const message = "certFile and keyFile come together; one of them is missing";
  file.error(place, ErrorCode.FileKeysClash, message);
  return false;
}
