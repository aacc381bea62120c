import { readFileSync } from "node:fs";
import { credsAuthenticator, nkeyAuthenticator } from "@nats-io/nats-core";
import type { Authenticator } from "@nats-io/nats-core";
import type { NodeConnectionOptions } from "nats";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { NATS_PING_MS, NATS_PINGS_UNANSWERED_MAX } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { Random } from "../../topology/ports.ts";
import { retryDelayMs } from "./retry.ts";

/** Where a site's NATS is and who we are there: `sites.SITE.nats` of the file, paths absolute. */
export interface NatsSettings {
  readonly site: SiteName;
  /** `nats://[user:password@]host:port` or `tls://...`; tried in any order. */
  readonly servers: readonly string[];
  /** The JetStream domain that the server must have. */
  readonly domain: string;
  readonly nkeySeedFile?: string;
  readonly credsFile?: string;
  readonly tls?: {
    readonly caFile?: string;
    readonly certFile?: string;
    readonly keyFile?: string;
  };
}

/**
 * The client's options: one connection that reconnects for ever and notices a dead one within seconds.
 *
 * @throws NatsAuthFailed when a key file cannot be read
 */
export function natsOptions(settings: NatsSettings, random: Random): NodeConnectionOptions {
  const urls = settings.servers.map(
    (server) => new URL(server.includes("://") ? server : `nats://${server}`),
  );
  const user = urls.find((url) => url.username !== "");
  const authenticator = authenticatorOf(settings);
  const tls = settings.tls ?? (urls.some((url) => url.protocol === "tls:") ? {} : undefined);
  let attempt = 0;
  return {
    servers: urls.map((url) => url.host),
    name: `isthmus ${settings.site}`,
    reconnect: true,
    maxReconnectAttempts: -1,
    // A rotated key or a server that is being reconfigured must not end a process that runs.
    ignoreAuthErrorAbort: true,
    reconnectDelayHandler: () => retryDelayMs((attempt++ % 5) + 1, random),
    pingInterval: NATS_PING_MS,
    maxPingOut: NATS_PINGS_UNANSWERED_MAX,
    timeout: 5_000,
    // The default makes two stack traces a request, which halves the throughput.
    noAsyncTraces: true,
    ...(user === undefined
      ? {}
      : { user: decodeURIComponent(user.username), pass: decodeURIComponent(user.password) }),
    ...(authenticator === undefined ? {} : { authenticator }),
    ...(tls === undefined ? {} : { tls }),
  };
}

function authenticatorOf(settings: NatsSettings): Authenticator | undefined {
  if (settings.credsFile !== undefined)
    return credsAuthenticator(readKey(settings, "credsFile", settings.credsFile));
  if (settings.nkeySeedFile === undefined) return undefined;
  const text = readKey(settings, "nkeySeedFile", settings.nkeySeedFile);
  return nkeyAuthenticator(Buffer.from(text.toString("utf8").trim()));
}

function readKey(settings: NatsSettings, key: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    const message = `sites.${settings.site}.nats.${key}: cannot read ${path}: ${why}`;
    throw new IsthmusError(ErrorCode.NatsAuthFailed, message, { cause });
  }
}
