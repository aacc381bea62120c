import { createHash, timingSafeEqual } from "node:crypto";
import type { SaslMechanism } from "./mechanism.ts";
import { saslError } from "./sasl-error.ts";

/** What one DIGEST-MD5 exchange needs. */
export interface DigestInput {
  readonly username: string;
  readonly password: string;
  /** undefined: the first realm that the server names. */
  readonly realm: string | undefined;
  readonly serverName: string;
  readonly clientNonce: string;
  /** The service's SASL name; default "hotrod". */
  readonly service?: string;
}

const NAME = "DIGEST-MD5";

/** DIGEST-MD5 (RFC 2831), `qop=auth` only. The server's `rspauth` is verified. */
export function digestMd5(input: DigestInput): SaslMechanism {
  const digestUri = `${input.service ?? "hotrod"}/${input.serverName}`;
  let rspauth: string | undefined;
  let finished = false;

  const respond = (text: string): Buffer => {
    const challenge = readChallenge(text);
    const nonce = challenge.get("nonce")?.[0];
    if (nonce === undefined) throw saslError(NAME, "the server sent no nonce");
    const qops = (challenge.get("qop")?.[0] ?? "auth").split(",").map((qop) => qop.trim());
    if (!qops.includes("auth"))
      throw saslError(NAME, `expected the server to offer qop "auth", got "${qops.join(",")}"`);
    const realm = input.realm ?? challenge.get("realm")?.[0];
    const utf8 = challenge.get("charset")?.[0] === "utf-8";
    const a1 = sessionKey(input, realm, nonce, utf8 ? "utf8" : "latin1");
    const digest = (method: string): string =>
      md5Hex(
        `${a1}:${nonce}:00000001:${input.clientNonce}:auth:${md5Hex(`${method}:${digestUri}`)}`,
      );
    rspauth = digest("");
    const fields = [
      ...(utf8 ? ["charset=utf-8"] : []),
      `username="${quote(input.username)}"`,
      ...(realm === undefined ? [] : [`realm="${quote(realm)}"`]),
      `nonce="${quote(nonce)}"`,
      "nc=00000001",
      `cnonce="${quote(input.clientNonce)}"`,
      `digest-uri="${quote(digestUri)}"`,
      "maxbuf=65536",
      `response=${digest("AUTHENTICATE")}`,
      "qop=auth",
    ];
    return Buffer.from(fields.join(","), utf8 ? "utf8" : "latin1");
  };

  return {
    name: NAME,
    start: () => undefined,
    step(challenge) {
      if (finished) throw saslError(NAME, "the server went on after its last message");
      if (rspauth === undefined) return respond(challenge.toString("utf8"));
      const got = Buffer.from(readChallenge(challenge.toString("utf8")).get("rspauth")?.[0] ?? "");
      const expected = Buffer.from(rspauth);
      if (got.length !== expected.length || !timingSafeEqual(got, expected))
        throw saslError(NAME, "the server's rspauth is wrong: it does not know the password");
      finished = true;
      return undefined;
    },
  };
}

/** HEX(H(A1)) of RFC 2831 2.1.2.1. */
function sessionKey(
  input: DigestInput,
  realm: string | undefined,
  nonce: string,
  encoding: "utf8" | "latin1",
): string {
  const secret = createHash("md5")
    .update(Buffer.from(`${input.username}:${realm ?? ""}:${input.password}`, encoding))
    .digest();
  return createHash("md5").update(secret).update(`:${nonce}:${input.clientNonce}`).digest("hex");
}

/** `name=value` or `name="quoted"`, comma separated; a name may come more than once. */
function readChallenge(text: string): Map<string, string[]> {
  const fields = new Map<string, string[]>();
  for (const match of text.matchAll(/([A-Za-z0-9-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",\s]+))/g)) {
    const name = (match[1] ?? "").toLowerCase();
    const value = match[2]?.replaceAll(/\\(.)/g, "$1") ?? match[3] ?? "";
    fields.set(name, [...(fields.get(name) ?? []), value]);
  }
  return fields;
}

function quote(value: string): string {
  return value.replaceAll(/["\\]/g, String.raw`\$&`);
}

function md5Hex(text: string): string {
  return createHash("md5").update(text, "utf8").digest("hex");
}
