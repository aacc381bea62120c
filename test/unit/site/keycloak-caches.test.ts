import { createServer, type IncomingMessage, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { KeycloakCaches } from "../../../deploy/site/keycloak-caches.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { MemoryLogger, realClock, realRandom } from "../../support/real-time.ts";

// A double of Keycloak's token and admin endpoints; the real ones are asked in the live tests of the lab.
let server: Server;
let asked: string[] = [];
let status = 204;
let ending: AbortController;

beforeEach(async () => {
  [asked, status, ending] = [[], 204, new AbortController()];
  server = createServer((request, response) => {
    void (async () => {
      const body = await textOf(request);
      asked.push(`${request.method} ${request.url} ${request.headers.authorization ?? body}`);
      const isToken = request.url?.endsWith("/token") === true;
      response.writeHead(isToken ? 200 : status, { "content-type": "application/json" });
      response.end(isToken ? JSON.stringify({ access_token: "t0k3n" }) : undefined);
    })();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(async () => {
  ending.abort();
  server.closeAllConnections();
  server.close();
  await once(server, "close");
});

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text;
}

/** Watches a `work` whose gaps the test tells of. */
function watched(env: Record<string, string> = { S: "secret" }) {
  const work = { misses: 1, isWhole: false };
  const logger = new MemoryLogger();
  const { port } = server.address() as AddressInfo;
  const caches = new KeycloakCaches({
    admin: {
      adminUrl: `http://127.0.0.1:${port}/`,
      realm: "my realm",
      clientId: "isthmus",
      clientSecretEnv: "S",
    },
    env,
    misses: () => work.misses,
    isWhole: () => work.isWhole,
    clock: realClock,
    random: realRandom,
    logger,
  });
  const running = caches.run(ending.signal);
  return { work, caches, logger, running };
}

const CLEARED = ["clear-realm-cache", "clear-user-cache", "clear-keys-cache"].map(
  (what) => `POST /admin/realms/my%20realm/${what} Bearer t0k3n`,
);
const TOKEN =
  "POST /realms/my%20realm/protocol/openid-connect/token grant_type=client_credentials&client_id=isthmus&client_secret=secret";
const soon = { timeout: 5_000, interval: 20 };

describe("Keycloak's local caches", () => {
  it("are cleared once for each gap in work, the start among them, once it has closed", async () => {
    const { work, caches } = watched();
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(asked).toEqual([]);
    work.isWhole = true;
    await expect.poll(() => caches.status.cleared, soon).toBe(1);
    expect(asked).toEqual([TOKEN, ...CLEARED]);
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(asked).toHaveLength(4);
    // One that opened and closed between two looks is seen too.
    work.misses += 1;
    await expect.poll(() => caches.status.cleared, soon).toBe(2);
    expect(caches.status.problem).toBeNull();
  });

  it("that cannot be cleared are a problem, told of once and tried again until it works", async () => {
    status = 403;
    const { work, caches, logger } = watched();
    work.isWhole = true;
    await expect.poll(() => caches.status.problem, soon).toContain("answered 403");
    expect(caches.status.code).toBe(ErrorCode.KeycloakStale);
    await expect.poll(() => asked.length, soon).toBeGreaterThan(4);
    expect(logger.lines.filter(({ level }) => level === "error")).toHaveLength(1);
    status = 204;
    await expect.poll(() => caches.status, soon).toEqual({ cleared: 1, problem: null, code: null });
  });

  it("are a problem that names the variable when the client's secret is not set", async () => {
    const { work, caches } = watched({});
    work.isWhole = true;
    await expect.poll(() => caches.status.problem, soon).toContain("variable S is not set");
    expect(asked).toEqual([]);
  });
});
