import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { SASL_STEPS_MAX } from "../../topology/limits.ts";
import type { Random } from "../../topology/ports.ts";
import type { HotRodConnection } from "./connection.ts";
import { saslMechanism } from "./sasl/mechanism.ts";
import type { SaslLogin } from "./sasl/mechanism.ts";

const NO_CACHE = { cache: "" };

/**
 * Logs in, if there is a login, and asks for one PING: when it resolves the connection is ready for operations.
 * @throws IsthmusError CacheAuthFailed, naming user and mechanism; what {@link HotRodConnection.request} throws
 */
export async function handshake(
  connection: HotRodConnection,
  login: SaslLogin | undefined,
  random: Random,
): Promise<void> {
  if (login !== undefined) await logIn(connection, login, random);
  await connection.request("ping", NO_CACHE, {});
}

async function logIn(
  connection: HotRodConnection,
  login: SaslLogin,
  random: Random,
): Promise<void> {
  const who = login.username === undefined ? "" : ` user "${login.username}"`;
  const refused = (why: string, cause?: unknown): IsthmusError =>
    new IsthmusError(
      ErrorCode.CacheAuthFailed,
      `cache server ${connection.address} refused${who} by ${login.mechanism}: ${why}`,
      { hint: "check cache.auth and the environment variable that holds the password", cause },
    );
  const sasl = saslMechanism(login, random);
  const { mechanisms } = await connection.request("authMechList", NO_CACHE, {});
  if (!mechanisms.includes(login.mechanism))
    throw refused(
      mechanisms.length === 0 ? "it takes no logins" : `it takes only ${mechanisms.join(", ")}`,
    );
  let response = sasl.start() ?? Buffer.alloc(0);
  for (let step = 0; step < SASL_STEPS_MAX; step++) {
    const answer = await connection
      .request("auth", NO_CACHE, { mechanism: login.mechanism, response })
      .catch((error: unknown) => {
        throw isRefusal(error) ? refused((error as IsthmusError).message, error) : error;
      });
    // "complete" only says that there is no challenge. The mechanism judges, an empty challenge too: where the server has
    // to prove itself it throws unless that was done. One more message after the end would begin a new exchange.
    const next = sasl.step(answer.challenge);
    if (next === undefined) return;
    if (answer.complete) throw refused("it ended the exchange before its time");
    response = next;
  }
  throw refused(`the exchange did not end within ${SASL_STEPS_MAX} messages`);
}

function isRefusal(error: unknown): boolean {
  return (
    error instanceof IsthmusError &&
    (error.code === ErrorCode.HotRodServer || error.code === ErrorCode.CacheAuthFailed)
  );
}
