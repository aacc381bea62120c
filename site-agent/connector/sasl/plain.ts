import type { SaslMechanism } from "./mechanism.ts";

/** PLAIN (RFC 4616): user and password in the clear, so only for connections with TLS. */
export function plain(username: string, password: string): SaslMechanism {
  return {
    name: "PLAIN",
    start: () => Buffer.from(`\0${username}\0${password}`, "utf8"),
    step: () => undefined,
  };
}
