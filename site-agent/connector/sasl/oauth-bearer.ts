import type { SaslMechanism } from "./mechanism.ts";

/**
 * What separates the fields. RFC 7628 says the byte 0x01; Infinispan's server (WildFly Elytron 2.7) wants the four characters
 * that the RFC's grammar spells it with, and refuses the byte.
 */
const SEPARATOR = "%x01";

/** OAUTHBEARER (RFC 7628, as Infinispan speaks it): an access token. A failure comes as a challenge, answered by one byte. */
export function oauthBearer(token: string): SaslMechanism {
  return {
    name: "OAUTHBEARER",
    start: () => Buffer.from(`n,,${SEPARATOR}auth=Bearer ${token}${SEPARATOR}${SEPARATOR}`, "utf8"),
    step: (challenge) => (challenge.length === 0 ? undefined : Buffer.from([1])),
  };
}
