import { createHash, createHmac, pbkdf2Sync, timingSafeEqual } from "node:crypto";
import { SCRAM_ITERATIONS_MAX } from "../../../topology/limits.ts";
import type { SaslMechanism } from "./mechanism.ts";
import { saslError } from "./sasl-error.ts";

/** The SCRAM mechanisms, by hash. */
export type ScramName = "SCRAM-SHA-256" | "SCRAM-SHA-384" | "SCRAM-SHA-512";

/** What one SCRAM exchange needs. */
export interface ScramInput {
  readonly name: ScramName;
  readonly username: string;
  readonly password: string;
  /** Printable ASCII without a comma. */
  readonly clientNonce: string;
}

/** "n,,": no channel binding, no other identity. */
const GS2_HEADER = "n,,";

/** SCRAM (RFC 5802, RFC 7677), without channel binding. The server's signature is verified. */
export function scram(input: ScramInput): SaslMechanism {
  const { name, clientNonce } = input;
  const hash = name.slice("SCRAM-".length).replace("SHA-", "sha");
  const username = input.username.replaceAll("=", "=3D").replaceAll(",", "=2C");
  const clientFirstBare = `n=${username},r=${clientNonce}`;
  let serverSignature: Buffer | undefined;
  let finished = false;

  /** From server-first to client-final: `r=,s=,i=` -> `c=,r=,p=`. */
  const prove = (serverFirst: string): Buffer => {
    const { nonce, salt, iterations } = readServerFirst(name, serverFirst, clientNonce);
    const length = createHash(hash).digest().length;
    // SASLprep of ASCII is the identity; NFKC is its part that matters beyond.
    const password = input.password.normalize("NFKC");
    const salted = pbkdf2Sync(password, salt, iterations, length, hash);
    const clientKey = hmac(hash, salted, "Client Key");
    const storedKey = createHash(hash).update(clientKey).digest();
    const withoutProof = `c=${Buffer.from(GS2_HEADER).toString("base64")},r=${nonce}`;
    const authMessage = `${clientFirstBare},${serverFirst},${withoutProof}`;
    const signature = hmac(hash, storedKey, authMessage);
    const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] ?? 0)));
    serverSignature = hmac(hash, hmac(hash, salted, "Server Key"), authMessage);
    return Buffer.from(`${withoutProof},p=${proof.toString("base64")}`, "utf8");
  };

  return {
    name,
    start: () => Buffer.from(GS2_HEADER + clientFirstBare, "utf8"),
    step(challenge) {
      const text = challenge.toString("utf8");
      const fields = readFields(text);
      const refused = fields.get("e");
      if (refused !== undefined) throw saslError(name, `the server refused: ${refused}`);
      if (finished) throw saslError(name, "the server went on after its last message");
      if (serverSignature === undefined) return prove(text);
      const verifier = Buffer.from(fields.get("v") ?? "", "base64");
      if (verifier.length !== serverSignature.length || !timingSafeEqual(verifier, serverSignature))
        throw saslError(name, "the server's signature is wrong: it does not know the password");
      finished = true;
      return undefined;
    },
  };
}

function readServerFirst(name: ScramName, text: string, clientNonce: string) {
  const fields = readFields(text);
  const nonce = fields.get("r") ?? "";
  const salt = Buffer.from(fields.get("s") ?? "", "base64");
  const iterations = Number(fields.get("i"));
  if (fields.has("m")) throw saslError(name, "the server demands an unknown extension");
  if (!nonce.startsWith(clientNonce) || nonce.length === clientNonce.length)
    throw saslError(name, "the server's nonce does not extend ours");
  if (salt.length === 0) throw saslError(name, "the server sent no salt");
  if (!Number.isSafeInteger(iterations) || iterations < 1 || iterations > SCRAM_ITERATIONS_MAX)
    throw saslError(name, `expected 1..${SCRAM_ITERATIONS_MAX} iterations, got ${fields.get("i")}`);
  return { nonce, salt, iterations };
}

function readFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const part of text.split(",")) {
    if (part[1] === "=") fields.set(part[0] ?? "", part.slice(2));
  }
  return fields;
}

function hmac(hash: string, key: Buffer, text: string): Buffer {
  return createHmac(hash, key).update(text, "utf8").digest();
}
