import { createSign, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import type { SaslLogin } from "../../site-agent/connector/sasl/mechanism.ts";
import { HotRodSite } from "../../site-agent/connector/site.ts";
import type { TlsOptions } from "../../site-agent/connector/socket.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { MemoryLogger, realClock, realRandom } from "../support/real-time.ts";
import { servers, shared } from "../support/server-provider.ts";

const PASSWORD = "pä=s,s-wörd";
const caches = { sessions: {} };

/** Passwords over TLS that asks for no client certificate. */
const passwords = shared(() =>
  servers.infinispan({
    name: "passwords",
    caches,
    tls: true,
    auth: {
      mechanisms: ["SCRAM-SHA-512", "SCRAM-SHA-384", "SCRAM-SHA-256", "DIGEST-MD5", "PLAIN"],
      users: { isthmus: PASSWORD },
    },
  }),
);

const keys = generateKeyPairSync("rsa", { modulusLength: 2048 });
const TOKEN = { issuer: "https://login.example", audience: "infinispan" };

/** Client certificates and tokens. */
const certificates = shared(() =>
  servers.infinispan({ name: "certs", caches, tls: true, auth: { mechanisms: ["EXTERNAL"] } }),
);
const tokens = shared(() =>
  servers.infinispan({
    name: "tokens",
    caches,
    tls: true,
    auth: {
      mechanisms: ["OAUTHBEARER"],
      token: {
        ...TOKEN,
        publicKey: keys.publicKey.export({ type: "spki", format: "pem" }) as string,
      },
    },
  }),
);

function siteOf(
  server: InfinispanServer,
  auth: SaslLogin | undefined,
  tls: TlsOptions | undefined,
): HotRodSite & AsyncDisposable {
  const site = new HotRodSite({
    servers: [{ host: server.host, port: server.port }],
    auth,
    tls,
    clock: realClock,
    random: realRandom,
    logger: new MemoryLogger(),
  });
  return Object.assign(site, { [Symbol.asyncDispose]: () => site.close() });
}

const trust = (server: InfinispanServer): TlsOptions => ({
  ca: readFileSync(server.certificates?.caFile ?? "", "utf8"),
});

async function errorOf(promise: Promise<unknown>): Promise<IsthmusError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(IsthmusError);
  return error as IsthmusError;
}

/** Logs in, and proves it by a write, a read and a listener. */
async function use(site: HotRodSite): Promise<void> {
  const cache = site.cache("sessions");
  await cache.open();
  const key = realRandom.bytes(12).toString("latin1");
  expect(await cache.write(key, "missing", Buffer.from("v"), { lifespanMs: 0, maxIdleMs: 0 })).toBe(
    "done",
  );
  expect((await cache.read(key))?.value.toString()).toBe("v");
  await (await cache.listen(() => undefined)).close();
}

describe("login by password", () => {
  it.each(["SCRAM-SHA-512", "SCRAM-SHA-384", "SCRAM-SHA-256", "DIGEST-MD5", "PLAIN"] as const)(
    "%s lets the right password in, and names user and mechanism when it is wrong",
    async (mechanism) => {
      const login = { mechanism, username: "isthmus", realm: "default" };
      const tls = trust(passwords());
      await using site = siteOf(passwords(), { ...login, password: PASSWORD }, tls);
      await use(site);
      await using wrong = siteOf(passwords(), { ...login, password: "other-password" }, tls);
      const error = await errorOf(wrong.cache("sessions").open());
      expect(error.code).toBe(ErrorCode.CacheAuthFailed);
      expect(error.message).toContain('"isthmus"');
      expect(error.message).toContain(mechanism);
      expect(error.message).not.toContain("other-password");
    },
  );

  it("names the mechanisms that the server takes when it does not take ours", async () => {
    const login: SaslLogin = { mechanism: "OAUTHBEARER", password: "token" };
    await using site = siteOf(passwords(), login, trust(passwords()));
    const error = await errorOf(site.cache("sessions").open());
    expect(error.code).toBe(ErrorCode.CacheAuthFailed);
    expect(error.message).toContain("SCRAM-SHA-512");
  });

  it("no login at a server that wants one is a refused login", async () => {
    await using site = siteOf(passwords(), undefined, trust(passwords()));
    expect((await errorOf(site.cache("sessions").open())).code).toBe(ErrorCode.CacheAuthFailed);
  });
});

describe("TLS", () => {
  it("refuses a server whose certificate nobody trusted has signed", async () => {
    const foreign = { ca: readFileSync(certificates().certificates?.caFile ?? "", "utf8") };
    const login: SaslLogin = { mechanism: "PLAIN", username: "isthmus", password: PASSWORD };
    await using site = siteOf(passwords(), login, foreign);
    const error = await errorOf(site.cache("sessions").open());
    expect(error.code).toBe(ErrorCode.CacheUnreachable);
    expect(error.message).toMatch(/certificate/i);
  });

  it("refuses a server whose certificate has another name", async () => {
    const tls = { ...trust(passwords()), serverName: "cache.nyc.example" };
    await using site = siteOf(passwords(), undefined, tls);
    const error = await errorOf(site.cache("sessions").open());
    expect(error.code).toBe(ErrorCode.CacheUnreachable);
    expect(error.message).toContain("cache.nyc.example");
  });

  it("asks for the server by name, and takes a certificate with that name", async () => {
    const login: SaslLogin = {
      mechanism: "SCRAM-SHA-512",
      username: "isthmus",
      password: PASSWORD,
    };
    await using site = siteOf(passwords(), login, {
      ...trust(passwords()),
      serverName: "localhost",
    });
    await use(site);
  });
});

describe("login by certificate and by token", () => {
  it("EXTERNAL: the client certificate is the user", async () => {
    const files = certificates().certificates;
    const read = (file: string | undefined): string => readFileSync(file ?? "", "utf8");
    const tls = {
      ...trust(certificates()),
      cert: read(files?.clientCertFile),
      key: read(files?.clientKeyFile),
    };
    await using site = siteOf(certificates(), { mechanism: "EXTERNAL" }, tls);
    await use(site);
    await using without = siteOf(certificates(), { mechanism: "EXTERNAL" }, trust(certificates()));
    expect((await errorOf(without.cache("sessions").open())).code).toBe(ErrorCode.CacheUnreachable);
  });

  it("OAUTHBEARER: a signed token lets in, another one does not", async () => {
    const encode = (part: object): string =>
      Buffer.from(JSON.stringify(part)).toString("base64url");
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: TOKEN.issuer,
      aud: TOKEN.audience,
      sub: "isthmus",
      username: "isthmus",
      exp: now + 600,
    };
    const unsigned = `${encode({ alg: "RS256", typ: "JWT" })}.${encode(claims)}`;
    const signature = createSign("RSA-SHA256").update(unsigned).sign(keys.privateKey, "base64url");
    const login = (password: string): SaslLogin => ({ mechanism: "OAUTHBEARER", password });
    await using site = siteOf(tokens(), login(`${unsigned}.${signature}`), trust(tokens()));
    await use(site);
    const forged = `${unsigned}.${Buffer.alloc(256, 1).toString("base64url")}`;
    await using wrong = siteOf(tokens(), login(forged), trust(tokens()));
    const error = await errorOf(wrong.cache("sessions").open());
    expect(error.code).toBe(ErrorCode.CacheAuthFailed);
    expect(error.message).not.toContain(forged);
  });
});
