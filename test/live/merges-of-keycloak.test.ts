// Goal: what Keycloak keeps of a browser's logins and of failed logins survives concurrent writes at two sites, merged alike at
// both, by the schema that is registered there; and a real Infinispan can read what a merge made. Method: two sites with a real
// Infinispan each, whose link is cut while values as Keycloak writes them are put at both.
import { describe, expect, it } from "vitest";
import { HotRodPool } from "../../site-agent/connector/pool.ts";
import { IMMORTAL } from "../../topology/hotrod/expiration.ts";
import { mediaTypeOf, PROTOSTREAM } from "../../topology/hotrod/media-type.ts";
import { protostreamKey } from "../../topology/key-text.ts";
import type { JavaExpiration } from "../support/java-client.ts";
import {
  authSession,
  field,
  KEYCLOAK_SCHEMA_TEXT,
  loginFailures,
  tab,
} from "../support/keycloak-values.ts";
import { until } from "../support/linked-sites.ts";
import { MemoryLogger, realClock, realRandom } from "../support/real-time.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

const SESSIONS = "authenticationSessions";
const FAILURES = "loginFailures";
const CACHES = [SESSIONS, FAILURES];
const SITES = ["nyc", "lon"];

const sites = shared(async () => {
  const caches = Object.fromEntries(CACHES.map((name) => [name, {}]));
  const started = await ReplicatedSites.start({
    preset: "keycloak",
    sites: SITES.map((name) => ({ name, caches })),
    policies: [
      `{ match: ${SESSIONS}, mode: async, conflict: { merge: keycloak/auth-session-tabs } }`,
      `{ match: ${FAILURES}, mode: async, conflict: { merge: keycloak/login-failure } }`,
      `{ match: "*", mode: off }`,
    ],
  });
  await started.run();
  return started;
});

/** A client of one site's Infinispan that says itself what its keys and values are. */
async function asking<T>(site: string, ask: (pool: HotRodPool) => Promise<T>): Promise<T> {
  const [node] = sites().site(site).nodes;
  if (node === undefined) throw new Error(`${site} has no Infinispan`);
  const { host, port } = node;
  const world = { clock: realClock, random: realRandom, logger: new MemoryLogger() };
  const pool = new HotRodPool({ servers: [{ host, port }], ...world });
  try {
    return await ask(pool);
  } finally {
    pool.close();
  }
}

/** As Keycloak does when it starts. */
async function publishSchema(site: string): Promise<void> {
  const scope = {
    cache: "___protobuf_metadata",
    keyMediaType: PROTOSTREAM,
    valueMediaType: PROTOSTREAM,
  };
  const key = Buffer.from(protostreamKey("KeycloakModelSchema.proto"), "latin1");
  const value = field(9, KEYCLOAK_SCHEMA_TEXT);
  await asking(site, (pool) => pool.request("put", scope, { key, value, expiration: IMMORTAL }));
}

/** The value as the server itself decodes it; it makes no JSON of a map of messages, such as tabs are. */
async function asJson(site: string, cache: string, key: Buffer): Promise<unknown> {
  const json = mediaTypeOf("application/json");
  const scope = { cache, keyMediaType: PROTOSTREAM, valueMediaType: json };
  const { value } = await asking(site, (pool) => pool.request("get", scope, { key }));
  return value === undefined ? undefined : JSON.parse(value.toString());
}

const keyOf = (text: string): Buffer => Buffer.from(protostreamKey(text), "latin1");

async function put(
  site: string,
  cache: string,
  key: string,
  value: Buffer,
  expiration: JavaExpiration = {},
): Promise<void> {
  await (await sites().site(site).cache(cache)).put(keyOf(key), value, expiration);
}

/** Puts at both sites while they cannot see each other. */
async function apart(writes: () => Promise<void>): Promise<void> {
  for (const cache of CACHES) await sites().level(cache);
  sites().cut();
  await writes();
  for (const cache of CACHES) {
    await until("what was written is captured and in the log", async () =>
      sites().all.every((site) => {
        const { agent } = site.handled(cache);
        return agent !== undefined && agent.dirty === 0 && agent.outboxRows === 0;
      }),
    );
  }
  sites().heal();
}

describe("Keycloak's values at two sites", () => {
  const now = Math.floor(Date.now() / 1000);

  it("wait for the schema that merges decode with, and are merged once it is published", async () => {
    await apart(async () => {
      await put("nyc", SESSIONS, "early", authSession(now, tab("a", now)));
      await put("lon", SESSIONS, "early", authSession(now, tab("b", now)));
    });
    await until("a merge failed at each site", async () =>
      sites().all.every(({ logger }) =>
        logger.lines.some(({ message }) => message.startsWith("no such schema is published")),
      ),
    );
    await until("the key is tried again at each site", async () =>
      sites().all.every((site) =>
        site.handled(SESSIONS).receivers.some(({ stats }) => stats.retries > 0),
      ),
    );
    for (const site of SITES) await publishSchema(site);
    const shown = await sites().level(SESSIONS, { timeoutMs: 60_000 });
    const value = shown.get(keyOf("early").toString("hex"))?.value ?? Buffer.of();
    expect(value.length).toBe(authSession(now, tab("a", now), tab("b", now)).length);
  });

  it("show the tabs of both", async () => {
    const strange = field(77, "of a later release");
    await apart(async () => {
      const ends = { lifespanMs: 1_800_000 };
      const nyc = authSession(now, tab("a", now - 9, "seen"), tab("b", now, "", strange));
      const lon = authSession(now + 5, tab("a", now - 9, "seen"), tab("c", now + 5), strange);
      await put("nyc", SESSIONS, "root", nyc, ends);
      await put("lon", SESSIONS, "root", lon, ends);
    });
    const shown = await sites().level(SESSIONS);
    const expected = authSession(
      now + 5,
      tab("a", now - 9, "seen"),
      tab("c", now + 5),
      strange,
      tab("b", now, "", strange),
    );
    expect(shown.get(keyOf("root").toString("hex"))?.value).toEqual(expected);
  });

  it("show the higher count of failed logins, as the server itself decodes it, with the latest time and its address", async () => {
    const ms = Date.now();
    const of = { failures: 5, notBefore: now + 60, lockouts: 1, last: ms, ip: "10.0.0.1" };
    const other = { failures: 3, secondary: 2, last: ms + 9, ip: "10.0.0.2" };
    await apart(async () => {
      await put("nyc", FAILURES, "user", loginFailures(of), { lifespanMs: 43_200_000 });
      await put("lon", FAILURES, "user", loginFailures(other), { lifespanMs: 43_200_000 });
    });
    const shown = await sites().level(FAILURES);
    const expected = loginFailures({ ...of, ...other, failures: 5 });
    expect(shown.get(keyOf("user").toString("hex"))?.value).toEqual(expected);
    for (const site of SITES) {
      expect(await asJson(site, FAILURES, keyOf("user"))).toMatchObject({
        numFailures: 5,
        numTemporaryLockouts: 1,
        numSecondaryAuthFailures: 2,
        lastIPFailure: "10.0.0.2",
      });
    }
  });

  it("stay what they are at each site where one of them is no value of Keycloak's", async () => {
    const ours = loginFailures({ failures: 1, last: Date.now() });
    await apart(async () => {
      await put("nyc", FAILURES, "strange", ours);
      await put("lon", FAILURES, "strange", Buffer.from("no value of Keycloak's"));
    });
    await until("the merge failed at each site", async () =>
      sites().all.every((site) =>
        site.handled(FAILURES).receivers.some(({ stats }) => stats.retries > 0),
      ),
    );
    const held = async (site: string) =>
      (await (await sites().site(site).cache(FAILURES)).getWithMetadata(keyOf("strange")))?.value;
    expect(await held("nyc")).toEqual(ours);
    expect((await held("lon"))?.toString()).toBe("no value of Keycloak's");
  });
});
