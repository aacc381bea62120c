import type { SaslMechanism } from "./mechanism.ts";

/** OAUTHBEARER (RFC 7628): an access token. A failure comes as a JSON challenge, to be answered by one 0x01. */
export function oauthBearer(token: string): SaslMechanism {
  return {
    name: "OAUTHBEARER",
    start: () => Buffer.from(`n,,\x01auth=Bearer ${token}\x01\x01`, "utf8"),
    step: (challenge) => (challenge.length === 0 ? undefined : Buffer.from([1])),
  };
}
