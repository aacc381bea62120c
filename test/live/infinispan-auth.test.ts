import { createSign, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { SaslMechanism } from "../../deploy/lab/infinispan-config.ts";
import { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import { JavaClient } from "../support/java-client.ts";
import type { JavaConnectOptions } from "../support/java-client.ts";
import { shared } from "../support/server-provider.ts";

const caches = { bin: { mediaType: "application/octet-stream" } };
const ISSUER = "http://127.0.0.1/trial";
const KEY = Buffer.from([0, 255]);

/** Puts and gets as the given user; the Java client logs in with the first connection of the cache. */
async function roundTrip(java: JavaClient, server: InfinispanServer, login: JavaConnectOptions) {
  const connection = await java.connect(server.address, login);
  const cache = connection.cache("bin", "application/octet-stream");
  await cache.put(KEY, KEY);
  const value = await cache.get(KEY);
  await connection.close();
  return value;
}

const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });

/** A token (JWS, RS256) for the user `isthmus`, valid for an hour. */
function token(issuer: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: "infinispan", username: "isthmus", exp: now + 3600, iat: now };
  const signed = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}`;
  const signature = createSign("RSA-SHA256").update(signed).sign(privateKey, "base64url");
  return `${signed}.${signature}`;
}

describe("an Infinispan server with passwords", () => {
  const java = shared(() => JavaClient.start());
  const passwords: SaslMechanism[] = [
    "PLAIN",
    "DIGEST-MD5",
    "SCRAM-SHA-256",
    "SCRAM-SHA-384",
    "SCRAM-SHA-512",
  ];
  const server = shared(() =>
    InfinispanServer.start({
      name: "secure",
      caches,
      auth: {
        mechanisms: passwords,
        users: { isthmus: "open sesame" },
      },
    }),
  );

  for (const mechanism of passwords) {
    it(`takes ${mechanism} with the right password and refuses a wrong one`, async () => {
      const login = { mechanism, username: "isthmus", password: "open sesame" };
      expect(await roundTrip(java(), server(), login)).toEqual(KEY);
      await expect(
        roundTrip(java(), server(), { ...login, password: "open barley" }),
      ).rejects.toThrow(/auth/i);
    });
  }

  it("refuses a client that does not log in", async () => {
    await expect(roundTrip(java(), server(), {})).rejects.toThrow(/auth/i);
  });
});

describe("an Infinispan server with TLS, certificates and tokens", () => {
  const java = shared(() => JavaClient.start());
  const server = shared(() =>
    InfinispanServer.start({
      name: "tls",
      caches,
      tls: true,
      auth: {
        mechanisms: ["EXTERNAL", "OAUTHBEARER"],
        token: {
          issuer: ISSUER,
          audience: "infinispan",
          publicKey: publicKey.export({ type: "spki", format: "pem" }) as string,
        },
      },
    }),
  );

  it("takes EXTERNAL from a client with a certificate that it knows", async () => {
    const { certificates } = server();
    const login = { mechanism: "EXTERNAL" as const, certificates, clientCertificate: true };
    expect(await roundTrip(java(), server(), login)).toEqual(KEY);
  });

  it("takes OAUTHBEARER with a signed token and refuses one of another issuer", async () => {
    const { certificates } = server();
    const known = { certificates, clientCertificate: true };
    const login = { ...known, mechanism: "OAUTHBEARER" as const, token: token(ISSUER) };
    expect(await roundTrip(java(), server(), login)).toEqual(KEY);
    await expect(
      roundTrip(java(), server(), { ...login, token: token("http://127.0.0.1/elsewhere") }),
    ).rejects.toThrow(/auth/i);
  });

  it("refuses a client without a certificate", async () => {
    const { certificates } = server();
    const login = { mechanism: "EXTERNAL" as const, certificates, maxRetries: 0 };
    await expect(roundTrip(java(), server(), login)).rejects.toThrow(
      /certificate|closed|Transport/i,
    );
  });
});
