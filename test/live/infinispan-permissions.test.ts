// Goal: the permissions that the handbook asks for are enough for everything that Isthmus does, and each of them is needed.
// Method: users of a secured server that have them all, or all but one; every operation of the connector by each of them.
import { describe, expect, it } from "vitest";
import { HotRodSite } from "../../site-agent/connector/site.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { MemoryLogger, realClock, realRandom } from "../support/real-time.ts";
import { servers, shared } from "../support/server-provider.ts";

const PASSWORD = "open sesame";
const NEVER = { lifespanMs: 0, maxIdleMs: 0 };

/** What deploy/docs/running-a-site.md asks for. */
const PERMISSIONS = ["READ", "WRITE", "BULK_READ", "LISTEN", "MONITOR"];

/** A role and a user by each name: `isthmus` has all permissions, `-READ` all but READ. */
const ROLES = Object.fromEntries([
  ["isthmus", PERMISSIONS],
  ...PERMISSIONS.map((missing) => [`-${missing}`, PERMISSIONS.filter((p) => p !== missing)]),
]) as Record<string, string[]>;

const server = shared(() =>
  servers.infinispan({
    name: "permissions",
    caches: { sessions: {} },
    auth: {
      mechanisms: ["SCRAM-SHA-512"],
      users: Object.fromEntries(Object.keys(ROLES).map((user) => [user, PASSWORD])),
      roles: {
        permissions: ROLES,
        of: Object.fromEntries(Object.keys(ROLES).map((user) => [user, user])),
      },
    },
  }),
);

function siteOf(username: string): HotRodSite & AsyncDisposable {
  const { host, port } = server();
  const site = new HotRodSite({
    servers: [{ host, port }],
    auth: { mechanism: "SCRAM-SHA-512", username, password: PASSWORD, realm: "default" },
    tls: undefined,
    clock: realClock,
    random: realRandom,
    logger: new MemoryLogger(),
  });
  return Object.assign(site, { [Symbol.asyncDispose]: () => site.close() });
}

/** Every operation that the agent knows, by name: "done", or "refused" for a missing permission. */
async function everything(site: HotRodSite, key: string): Promise<Record<string, unknown>> {
  const cache = site.cache("sessions");
  const outcomes: Record<string, unknown> = {};
  const attempt = async <T>(name: string, operation: () => Promise<T>): Promise<T | undefined> => {
    try {
      const result = await operation();
      outcomes[name] = "done";
      return result;
    } catch (error) {
      if (!(error instanceof IsthmusError) || error.code !== ErrorCode.CacheAuthFailed) throw error;
      expect(error.message).toMatch(/is not allowed: .*ISPN000287/);
      outcomes[name] = "refused";
      return undefined;
    }
  };
  const info = await attempt("open", () => cache.open());
  if (info === undefined) return outcomes;
  outcomes["tells restarts"] = [...info.runs.values()].some((run) => run.startsWith("start"));
  await attempt("write", () => cache.write(key, "missing", Buffer.from("value"), NEVER));
  const state = await attempt("read", () => cache.read(key));
  if (state !== undefined) {
    const { token } = state;
    await attempt("replace", () => cache.write(key, token, Buffer.from("other"), NEVER));
    const now = await cache.read(key);
    await attempt("remove", () => cache.remove(key, now?.token ?? 0n));
  }
  await attempt("listen", async () => (await cache.listen(() => undefined)).close());
  await attempt("scan", async () => {
    for await (const chunk of cache.scan(new AbortController().signal))
      expect(chunk.length).toBeGreaterThan(0);
  });
  return outcomes;
}

const ALL = {
  open: "done",
  "tells restarts": true,
  write: "done",
  read: "done",
  replace: "done",
  remove: "done",
  listen: "done",
  scan: "done",
};

describe("a user of a secured Infinispan", () => {
  it("can do all that Isthmus does with READ, WRITE, BULK_READ, LISTEN and MONITOR", async () => {
    await using site = siteOf("isthmus");
    expect(await everything(site, "all")).toEqual(ALL);
    expect(await site.names()).toContain("sessions");
    expect(await site.protobufSchema("None.proto")).toBeUndefined();
  });

  it.each([
    ["READ", { open: "refused" }],
    ["WRITE", { ...ALL, write: "refused", replace: undefined, remove: undefined }],
    ["BULK_READ", { ...ALL, scan: "refused" }],
    ["LISTEN", { ...ALL, listen: "refused" }],
    ["MONITOR", { ...ALL, "tells restarts": false }],
  ])("lacks something without %s", async (missing, outcomes) => {
    await using site = siteOf(`-${missing}`);
    const found = await everything(site, missing);
    // No write, no entry: what would change one is not asked.
    expect({ replace: undefined, remove: undefined, ...found }).toEqual({
      replace: undefined,
      remove: undefined,
      ...outcomes,
    });
  });
});
