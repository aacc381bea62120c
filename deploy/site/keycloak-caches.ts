import { backOffMs } from "../../topology/back-off.ts";
import type { KeycloakAdmin } from "../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import {
  KEYCLOAK_LOOK_MS,
  KEYCLOAK_RETRY_MS_MAX,
  KEYCLOAK_TIMEOUT_MS,
} from "../../topology/limits.ts";
import type { Clock, Logger, Random } from "../../topology/ports.ts";

/** Keycloak's cache that carries the news of what its local caches must forget. */
export const WORK_CACHE = "work";

/** What a Keycloak keeps in memory of the database, by the endpoint that clears it. Source: RealmAdminResource. */
const CLEARED = ["clear-realm-cache", "clear-user-cache", "clear-keys-cache"] as const;

/** What {@link KeycloakCaches} needs of its site. */
export interface KeycloakCachesParts {
  readonly admin: KeycloakAdmin;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How often news may have been missed so far; it rises before `isWhole` is true again. */
  readonly misses: () => number;
  /** Nothing is missing any more. */
  readonly isWhole: () => boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** What became of a site's Keycloak caches since the process started. */
export interface KeycloakCachesStatus {
  /** How often they were cleared. */
  readonly cleared: number;
  /** Why they still have to be; null: they do not, or not yet. */
  readonly problem: string | null;
  /** Of the problem. */
  readonly code: string | null;
}

/**
 * After a gap in `work`, the news of what has changed in the database may have been missed, for good where it was older than
 * its lifespan: the site's Keycloak is told to forget what it keeps in memory. The start of a process is such a gap.
 */
export class KeycloakCaches {
  #cleared = 0;
  #failure: IsthmusError | undefined;
  readonly #parts: KeycloakCachesParts;

  constructor(parts: KeycloakCachesParts) {
    this.#parts = parts;
  }

  get status(): KeycloakCachesStatus {
    const { message = null, code = null } = this.#failure ?? {};
    return { cleared: this.#cleared, problem: message, code };
  }

  /** Runs until the signal aborts; tries for ever. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, logger, misses, isWhole, admin } = this.#parts;
    const waits = { firstMs: KEYCLOAK_LOOK_MS, mostMs: KEYCLOAK_RETRY_MS_MAX };
    let [done, failures] = [0, 0];
    while (!signal.aborted) {
      await clock.sleep(
        failures === 0 ? KEYCLOAK_LOOK_MS : backOffMs(failures, waits, random),
        signal,
      );
      const now = misses();
      if (signal.aborted || now === done || !isWhole()) continue;
      try {
        await this.#clear(signal);
        [done, failures, this.#failure] = [now, 0, undefined];
        this.#cleared += 1;
        logger.info(
          { url: admin.adminUrl },
          "Keycloak's local caches were cleared: news of changes may have been missed",
        );
      } catch (error) {
        if (signal.aborted) return;
        failures += 1;
        const isNew = this.#failure === undefined;
        this.#failure = failureOf(admin, error);
        const { code } = this.#failure;
        if (isNew)
          logger.error(
            { err: this.#failure, code },
            "Keycloak's local caches could not be cleared, tried again until it works",
          );
      }
    }
  }

  async #clear(signal: AbortSignal): Promise<void> {
    const { adminUrl, realm } = this.#parts.admin;
    const base = adminUrl.replace(/\/+$/, "");
    const authorization = `Bearer ${await this.#token(base, signal)}`;
    for (const what of CLEARED) {
      const url = `${base}/admin/realms/${encodeURIComponent(realm)}/${what}`;
      await asked(url, { method: "POST", headers: { authorization } }, signal);
    }
  }

  async #token(base: string, signal: AbortSignal): Promise<string> {
    const { admin, env } = this.#parts;
    const { realm, clientId, clientSecretEnv } = admin;
    const secret = env[clientSecretEnv];
    if (secret === undefined)
      throw new Error(`the environment variable ${clientSecretEnv} is not set`);
    const url = `${base}/realms/${encodeURIComponent(realm)}/protocol/openid-connect/token`;
    const body = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: clientId,
      client_secret: secret,
    });
    const answer = await asked(url, { method: "POST", body }, signal);
    const { access_token: token } = (await answer.json()) as { access_token?: unknown };
    if (typeof token !== "string") throw new Error(`${url} gave no access token`);
    return token;
  }
}

async function asked(url: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
  const timeout = AbortSignal.timeout(KEYCLOAK_TIMEOUT_MS);
  const response = await fetch(url, { ...init, signal: AbortSignal.any([signal, timeout]) });
  if (response.ok) return response;
  await response.body?.cancel();
  throw new Error(`${url} answered ${response.status}`);
}

function failureOf({ adminUrl }: KeycloakAdmin, error: unknown): IsthmusError {
  const why = error instanceof Error ? error.message : String(error);
  // Of a request that got nowhere only the cause says why.
  const cause =
    error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
  const message = `the caches of Keycloak at ${adminUrl} may be stale and cannot be cleared: ${why}${cause}`;
  return new IsthmusError(ErrorCode.KeycloakStale, message, { cause: error });
}
