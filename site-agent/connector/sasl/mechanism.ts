import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import type { Random } from "../../../topology/ports.ts";
import { digestMd5 } from "./digest-md5.ts";
import { external } from "./external.ts";
import { oauthBearer } from "./oauth-bearer.ts";
import { plain } from "./plain.ts";
import { scram } from "./scram.ts";

/** One SASL exchange, sans-I/O: made anew for each connection. */
export interface SaslMechanism {
  readonly name: SaslName;
  /** The initial response; undefined when the server speaks first. */
  start(): Buffer | undefined;
  /**
   * The answer to a challenge; undefined: nothing more to say, the client is satisfied.
   * @throws IsthmusError CacheAuthFailed when the challenge is malformed or the server fails to prove itself
   */
  step(challenge: Buffer): Buffer | undefined;
}

/** The mechanisms that are offered, by their registered names, strongest first. */
export const SASL_NAMES = [
  "SCRAM-SHA-512",
  "SCRAM-SHA-384",
  "SCRAM-SHA-256",
  "DIGEST-MD5",
  "EXTERNAL",
  "OAUTHBEARER",
  "PLAIN",
] as const;

/** One of {@link SASL_NAMES}. */
export type SaslName = (typeof SASL_NAMES)[number];

/** Who logs in to the cache, and how. */
export interface SaslLogin {
  readonly mechanism: SaslName;
  /** Not needed by EXTERNAL and OAUTHBEARER. */
  readonly username?: string;
  /** The password, or OAUTHBEARER's token. */
  readonly password?: string;
  /** DIGEST-MD5: the realm to choose; default: the first one that the server names. */
  readonly realm?: string;
  /** DIGEST-MD5: the server's SASL name; default "infinispan", Infinispan's own default. */
  readonly serverName?: string;
}

/** Begins an exchange. @throws IsthmusError CacheAuthFailed when the login lacks what its mechanism needs */
export function saslMechanism(login: SaslLogin, random: Random): SaslMechanism {
  switch (login.mechanism) {
    case "PLAIN":
      return plain(need(login, "username"), need(login, "password"));
    case "EXTERNAL":
      return external();
    case "OAUTHBEARER":
      return oauthBearer(need(login, "password"));
    case "DIGEST-MD5":
      return digestMd5({
        username: need(login, "username"),
        password: need(login, "password"),
        realm: login.realm,
        serverName: login.serverName ?? "infinispan",
        clientNonce: random.bytes(24).toString("base64"),
      });
    case "SCRAM-SHA-256":
    case "SCRAM-SHA-384":
    case "SCRAM-SHA-512":
    default:
      return scram({
        name: login.mechanism,
        username: need(login, "username"),
        password: need(login, "password"),
        clientNonce: random.bytes(24).toString("base64"),
      });
  }
}

function need(login: SaslLogin, field: "username" | "password"): string {
  const value = login[field];
  if (value !== undefined && value !== "") return value;
  throw new IsthmusError(
    ErrorCode.CacheAuthFailed,
    `cache login by ${login.mechanism} needs a ${field}, and none was given`,
    { hint: "set cache.auth.username, and cache.auth.passwordEnv to a variable that is not empty" },
  );
}
