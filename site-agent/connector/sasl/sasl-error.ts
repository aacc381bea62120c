import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";

/** What a mechanism throws at a challenge it cannot accept. Never holds a password, a token or a proof. */
export function saslError(mechanism: string, why: string): IsthmusError {
  return new IsthmusError(ErrorCode.CacheAuthFailed, `cache login by ${mechanism}: ${why}`);
}
