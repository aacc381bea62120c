import { jetstreamManager } from "@nats-io/jetstream";
import type { JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { connect } from "nats";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { JETSTREAM_REQUEST_TIMEOUT_MS } from "../../topology/limits.ts";
import type { Clock, Logger, Random } from "../../topology/ports.ts";
import { isAuthError, linkError } from "./nats-error.ts";
import { natsOptions } from "./nats-options.ts";
import type { NatsSettings } from "./nats-options.ts";
import { retryDelayMs } from "./retry.ts";

/** What the link needs from its surroundings. */
export interface LinkTools {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** The one connection of a site's process to the site's own NATS; everything else in this folder runs over it. */
export class NatsLink {
  readonly nc: NatsConnection;
  readonly settings: NatsSettings;
  readonly tools: LinkTools;
  readonly #watchers = new Set<(connected: boolean) => void>();
  #connected = true;

  constructor(nc: NatsConnection, settings: NatsSettings, tools: LinkTools) {
    this.nc = nc;
    this.settings = settings;
    this.tools = tools;
    void this.#watch();
  }

  /** Whether the site's own NATS can be talked to now. While it cannot, nothing is queued in the client. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Calls `fn` at each change of {@link connected}; the returned function ends it. */
  onChange(fn: (connected: boolean) => void): () => void {
    this.#watchers.add(fn);
    return () => this.#watchers.delete(fn);
  }

  /** @throws NatsUnreachable while the site's own NATS cannot be talked to */
  assertConnected(doing: string): void {
    if (this.#connected) return;
    const { site, servers } = this.settings;
    throw new IsthmusError(
      ErrorCode.NatsUnreachable,
      `could not ${doing}: not connected to the NATS of ${site} (${servers.map(withoutPassword).join(", ")})`,
    );
  }

  /** JetStream's API of a domain: this site's own, or another site's over the leaf link. */
  async manager(domain: string = this.settings.domain): Promise<JetStreamManager> {
    const timeout = JETSTREAM_REQUEST_TIMEOUT_MS;
    return jetstreamManager(this.nc, { domain, timeout, checkAPI: false });
  }

  /**
   * Calls that API, of this site's domain or of a peer's. `doing` completes "could not ...".
   *
   * @throws NatsUnreachable; PeerUnreachable when a peer's does not answer; what else the server answered, see linkError
   */
  async api<T>(
    doing: string,
    call: (manager: JetStreamManager) => Promise<T>,
    peerDomain?: string,
  ): Promise<T> {
    const away = peerDomain === undefined ? ErrorCode.NatsUnreachable : ErrorCode.PeerUnreachable;
    this.assertConnected(doing);
    try {
      return await call(await this.manager(peerDomain));
    } catch (error) {
      throw linkError(error, doing, away);
    }
  }

  /** Sends what waits, then disconnects for good. */
  async close(): Promise<void> {
    const connected = this.#connected;
    this.#set(false);
    if (connected) await this.nc.drain().catch(() => this.nc.close());
    else await this.nc.close();
  }

  async #watch(): Promise<void> {
    const { site, domain } = this.settings;
    const { logger } = this.tools;
    for await (const status of this.nc.status()) {
      if (status.type === "disconnect") {
        logger.warn({ site, server: status.server }, "NATS disconnected");
        this.#set(false);
      } else if (status.type === "reconnect") {
        const found = domainOf(this.nc);
        if (found === domain) {
          logger.info({ site, server: status.server }, "NATS connected again");
          this.#set(true);
        } else {
          logger.error(
            { code: ErrorCode.NatsWrongDomain, site, server: status.server, domain, found },
            "connected to a NATS server of another JetStream domain; trying the next",
          );
          await this.nc.reconnect();
        }
      }
    }
    this.#set(false);
  }

  #set(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    for (const fn of this.#watchers) fn(connected);
  }
}

/**
 * Connects to a site's own NATS and makes sure that JetStream of the right domain answers there.
 *
 * A server that cannot be reached is tried again until `waitMs` (Infinity: for ever) is over or the signal aborts; wrong
 * credentials and a wrong domain fail at once.
 *
 * @throws NatsUnreachable, NatsAuthFailed, NatsWrongDomain
 */
export async function connectNats(
  settings: NatsSettings,
  tools: LinkTools,
  waitMs: number,
  signal: AbortSignal,
): Promise<NatsLink> {
  const deadline = tools.clock.monotonic() + waitMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return await connectOnce(settings, tools);
    } catch (error) {
      const failure = connectError(error, settings);
      const delayMs = retryDelayMs(attempt, tools.random);
      const last = tools.clock.monotonic() + delayMs > deadline;
      if (failure.code !== ErrorCode.NatsUnreachable || last || signal.aborted) throw failure;
      const { code, message } = failure;
      tools.logger.warn({ code, site: settings.site, attempt }, message);
      await tools.clock.sleep(delayMs, signal);
      if (signal.aborted) throw failure;
    }
  }
}

async function connectOnce(settings: NatsSettings, tools: LinkTools): Promise<NatsLink> {
  const nc = await connect(natsOptions(settings, tools.random));
  try {
    const found = domainOf(nc);
    if (nc.info?.jetstream !== true || found !== settings.domain) {
      const has = nc.info?.jetstream === true ? `domain ${JSON.stringify(found ?? "")}` : "none";
      throw new IsthmusError(
        ErrorCode.NatsWrongDomain,
        `sites.${settings.site}.nats: expected JetStream with domain ${JSON.stringify(settings.domain)}` +
          ` at ${nc.getServer()}, found ${has}`,
        {
          hint: "set jetstream { domain } in the server's configuration, or nats.domain in the file",
        },
      );
    }
    const timeout = JETSTREAM_REQUEST_TIMEOUT_MS;
    const manager = await jetstreamManager(nc, {
      domain: settings.domain,
      timeout,
      checkAPI: false,
    });
    // JetStream takes requests a little after the port opens; until then this fails and is tried again.
    await manager.getAccountInfo();
    return new NatsLink(nc, settings, tools);
  } catch (error) {
    await nc.close();
    throw error;
  }
}

function connectError(error: unknown, settings: NatsSettings): IsthmusError {
  const where = `sites.${settings.site}.nats (${settings.servers.map(withoutPassword).join(", ")})`;
  if (!isAuthError(error)) return linkError(error, `reach ${where}`);
  return new IsthmusError(
    ErrorCode.NatsAuthFailed,
    `${where}: the server refused the credentials`,
    {
      hint: "check nats.nkeySeedFile, nats.credsFile or the user in the URL",
      cause: error,
    },
  );
}

/** The server's INFO names its domain; the client's type of it does not. */
const domainOf = (nc: NatsConnection): string | undefined =>
  (nc.info as { domain?: string } | undefined)?.domain;

const withoutPassword = (server: string): string => server.replace(/\/\/[^@/]*@/, "//");
