import { describe, expect, it } from "vitest";
import type { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import { isOutcomeUnknown } from "../../site-agent/connector/failure.ts";
import { HotRodSite } from "../../site-agent/connector/site.ts";
import { isRestarted } from "../../site-agent/tail/absences.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { CacheConnector, CacheEvent, CacheListener } from "../../topology/ports.ts";
import { valueHash } from "../../topology/version/value-hash.ts";
import { JavaClient } from "../support/java-client.ts";
import type { JavaCache } from "../support/java-client.ts";
import { MemoryLogger, realClock, realRandom } from "../support/real-time.ts";
import { servers, shared } from "../support/server-provider.ts";

const PROTO = "application/x-protostream";
const OCTETS = "application/octet-stream";
const NEVER = { lifespanMs: 0, maxIdleMs: 0 };

/** Two nodes of one cluster; the tests that kill one come last. */
const cluster = shared(async () => {
  const caches = {
    sessions: {},
    plain: { statistics: false },
    octets: { mediaType: OCTETS },
    objects: { mediaType: "application/x-java-object" },
    brief: { lifespanMs: 60_000, expirationIntervalMs: 300 },
    many: { mediaType: OCTETS },
  };
  const first = await servers.infinispan({ name: "a", clusterName: "client", caches });
  const second = await servers.infinispan({ name: "b", joins: first, caches });
  return {
    first,
    second,
    async [Symbol.asyncDispose]() {
      await second[Symbol.asyncDispose]();
      await first[Symbol.asyncDispose]();
    },
  };
});
const java = shared(() => JavaClient.start());

const addressOf = (server: InfinispanServer) => ({ host: server.host, port: server.port });

function siteOf(...nodes: InfinispanServer[]): HotRodSite & AsyncDisposable {
  const site = new HotRodSite({
    servers: nodes.map(addressOf),
    clock: realClock,
    random: realRandom,
    logger: new MemoryLogger(),
  });
  return Object.assign(site, { [Symbol.asyncDispose]: () => site.close() });
}

async function errorOf(promise: Promise<unknown>): Promise<IsthmusError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(IsthmusError);
  return error as IsthmusError;
}

/** Polls until `condition` holds. */
async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 20_000) {
  const end = realClock.monotonic() + ms;
  while (!(await condition())) {
    if (realClock.monotonic() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await realClock.sleep(20);
  }
}

async function javaCache(name: string, mediaType: string): Promise<JavaCache> {
  return (await java().connect(cluster().first.address)).cache(name, mediaType);
}

async function scanAll(cache: CacheConnector, signal = new AbortController().signal) {
  const found = [];
  for await (const chunk of cache.scan(signal)) found.push(...chunk);
  return found;
}

describe("the operations, on a real cluster of two", () => {
  it("write, compare-and-set, read and remove by token, each with its outcome", async () => {
    await using site = siteOf(cluster().first, cluster().second);
    const cache = site.cache("sessions");
    const info = await cache.open();
    expect(info.mediaType).toBe(PROTO);
    const key = "\x00\xffkey";
    expect(await cache.read(key)).toBeUndefined();
    expect(await cache.remove(key, 1n)).toBe("lost");
    expect(await cache.write(key, 1n, Buffer.from("x"), NEVER)).toBe("lost");
    expect(await cache.write(key, "missing", Buffer.from("one"), NEVER)).toBe("done");
    expect(await cache.write(key, "missing", Buffer.from("two"), NEVER)).toBe("lost");
    const one = await cache.read(key);
    expect(one).toMatchObject({ value: Buffer.from("one"), expiresAt: 0, maxIdleMs: 0 });
    expect(one?.token).not.toBe(0n);
    const token = one?.token ?? 0n;
    expect(await cache.write(key, token + 1n, Buffer.from("two"), NEVER)).toBe("lost");
    expect(await cache.write(key, token, Buffer.from("two"), NEVER)).toBe("done");
    expect(await cache.write(key, token, Buffer.from("three"), NEVER)).toBe("lost");
    const two = await cache.read(key);
    expect(two?.value.toString()).toBe("two");
    expect(await cache.remove(key, token)).toBe("lost");
    expect(await cache.remove(key, two?.token ?? 0n)).toBe("done");
    expect(await cache.read(key)).toBeUndefined();
  });

  it("compare by bytes when they set: a re-put of identical bytes meanwhile is overwritten unseen, one of other bytes never", async () => {
    await using site = siteOf(cluster().first, cluster().second);
    await using rivals = siteOf(cluster().first, cluster().second);
    const [cache, rival] = [site.cache("octets"), rivals.cache("octets")];
    await Promise.all([cache.open(), rival.open()]);
    const events = new Map<string, string[]>();
    const listener = await cache.listen(({ key, hash = "" }) => {
      events.set(key, [...(events.get(key) ?? []), hash]);
    });
    let races = 0;
    /** A compare-and-set beside a client's put. Whether it was done behind that put, which it cannot have compared with. */
    const race = async (put: string): Promise<{ done: boolean; unseen: boolean }> => {
      const key = `raced-${races++}`;
      await cache.write(key, "missing", Buffer.from("held"), NEVER);
      const token = (await cache.read(key))?.token ?? 0n;
      const [outcome] = await Promise.all([
        cache.write(key, token, Buffer.from("applied"), NEVER),
        rival.write(key, 0n, Buffer.from(put), NEVER),
      ]);
      const done = outcome === "done";
      await until(() => events.get(key)?.length === (done ? 3 : 2), "every event of the key");
      return { done, unseen: done && events.get(key)?.[1] === valueHash(OCTETS, Buffer.from(put)) };
    };
    const many = (put: string) => Promise.all(Array.from({ length: 64 }, () => race(put)));
    let ofOtherBytes = 0;
    let lost = 0;
    await until(
      async () => {
        for (const { done, unseen } of await many("other")) {
          ofOtherBytes += unseen ? 1 : 0;
          lost += done ? 0 : 1;
        }
        return races >= 640 && lost > 100;
      },
      "enough races",
      60_000,
    );
    expect(ofOtherBytes).toBe(0);
    const isUnseen = async () => (await many("held")).some(({ unseen }) => unseen);
    await until(isUnseen, "a re-put that was overwritten unseen", 60_000);
    await listener.close();
  });

  it("never lets the cache's own default lifespan in, and tells expiry to the second", async () => {
    await using site = siteOf(cluster().first);
    const cache = site.cache("brief");
    await cache.open();
    await cache.write("immortal", "missing", Buffer.from("v"), NEVER);
    expect((await cache.read("immortal"))?.expiresAt).toBe(0);
    const before = Date.now();
    await cache.write("mortal", "missing", Buffer.from("v"), {
      lifespanMs: 90_500,
      maxIdleMs: 45_000,
    });
    const mortal = await cache.read("mortal");
    expect(mortal?.maxIdleMs).toBe(45_000);
    expect(mortal?.createdAt).toBeGreaterThanOrEqual(before - 50);
    expect(mortal?.expiresAt).toBe((mortal?.createdAt ?? 0) + 90_000);
    // Less than a ms is not "default" (60 s here) but over at once.
    await cache.write("gone", "missing", Buffer.from("v"), { lifespanMs: 0.2, maxIdleMs: 0 });
    await until(async () => (await cache.read("gone")) === undefined, "the expiry", 2_000);
    await cache.write("second", "missing", Buffer.from("v"), { lifespanMs: 900, maxIdleMs: 0 });
    const second = await cache.read("second");
    expect(second?.expiresAt).toBe((second?.createdAt ?? 0) + 1_000);
  });

  it.each([
    ["sessions", PROTO],
    ["octets", OCTETS],
  ])("bytes of %s are the same for the Java client, both ways", async (name, mediaType) => {
    await using site = siteOf(cluster().first, cluster().second);
    const cache = site.cache(name);
    expect((await cache.open()).mediaType).toBe(mediaType);
    const foreign = await javaCache(name, mediaType);
    await cache.write("empty", "missing", Buffer.alloc(0), NEVER);
    expect((await cache.read("empty"))?.value.length).toBe(0);
    // The Java client takes an empty value for a missing one.
    for (const length of [1, 300, 100_000]) {
      const value = realRandom.bytes(length);
      const ours = realRandom.bytes(20);
      await cache.write(ours.toString("latin1"), "missing", value, NEVER);
      expect((await foreign.get(ours))?.equals(value)).toBe(true);
      const theirs = realRandom.bytes(20);
      await foreign.put(theirs, value, { lifespanMs: 100_000 });
      const read = await cache.read(theirs.toString("latin1"));
      expect(read?.value.equals(value)).toBe(true);
      expect(read?.token).toBe((await foreign.getWithMetadata(theirs))?.version);
    }
  });

  it("names the caches without Infinispan's own", async () => {
    await using site = siteOf(cluster().first);
    const names = [...((await site.names()) ?? [])];
    expect(names.sort((a, b) => a.localeCompare(b))).toEqual([
      "brief",
      "many",
      "objects",
      "octets",
      "plain",
      "sessions",
    ]);
  });

  it("iterates 5,000 entries of both nodes with their expiry, and ends when told", async () => {
    await using site = siteOf(cluster().second, cluster().first);
    const cache = site.cache("many");
    await cache.open();
    const expiry = (i: number) => ({ lifespanMs: i % 2 === 0 ? 0 : 500_000, maxIdleMs: 0 });
    let next = 0;
    const writer = async (): Promise<void> => {
      for (let i = next++; i < 5_000; i = next++)
        await cache.write(`key-${i}`, "missing", Buffer.from(`value-${i}`), expiry(i));
    };
    await Promise.all(Array.from({ length: 64 }, writer));
    const found = await scanAll(cache);
    expect(new Set(found.map((entry) => entry.key)).size).toBe(5_000);
    expect(found.length).toBe(5_000);
    for (const { key, state } of found) {
      const i = Number(key.slice("key-".length));
      expect(state.value.toString()).toBe(`value-${i}`);
      expect(state.token).not.toBe(0n);
      expect(state.expiresAt).toBe(i % 2 === 0 ? 0 : state.createdAt + 500_000);
    }
    const sample = found[123];
    expect(await cache.read(sample?.key ?? "")).toEqual(sample?.state);
    const abort = new AbortController();
    let chunks = 0;
    for await (const chunk of cache.scan(abort.signal)) {
      expect(chunk.length).toBeGreaterThan(0);
      chunks++;
      abort.abort();
    }
    expect(chunks).toBe(1);
    expect(await scanAll(cache, abort.signal)).toEqual([]);
  });
});

describe("the listener", () => {
  it("tells put, replace, remove, putAll, clear and expiry with token and hash", async () => {
    await using site = siteOf(cluster().first, cluster().second);
    const cache = site.cache("brief");
    await cache.open();
    const foreign = await javaCache("brief", PROTO);
    await foreign.clear();
    const events: CacheEvent[] = [];
    const listener = await cache.listen((event) => events.push(event));
    const of = (key: string) => events.filter((event) => event.key === key);
    const key = Buffer.from("k");
    await foreign.put(key, Buffer.from("v1"));
    const version = (await foreign.getWithMetadata(key))?.version;
    await foreign.put(key, Buffer.from("v2"));
    await foreign.remove(key);
    await until(() => of("k").length === 3, "three events");
    expect(of("k")).toEqual([
      {
        key: "k",
        cause: "created",
        token: version,
        hash: valueHash(PROTO, Buffer.from("v1")),
        retried: false,
      },
      {
        key: "k",
        cause: "modified",
        token: expect.any(BigInt),
        hash: valueHash(PROTO, Buffer.from("v2")),
        retried: false,
      },
      { key: "k", cause: "removed", token: undefined, hash: undefined, retried: false },
    ]);
    await foreign.putAll([
      [Buffer.from("a"), Buffer.from("1")],
      [Buffer.from("b"), Buffer.from("2")],
    ]);
    await until(() => of("a").length + of("b").length === 2, "an event per entry");
    await foreign.clear();
    await until(() => of("a").length + of("b").length === 4, "a removed event per entry");
    expect(of("a").map((event) => event.cause)).toEqual(["created", "removed"]);
    await foreign.put(Buffer.from("e"), Buffer.from("v"), { lifespanMs: 200 });
    await until(() => of("e").length === 2, "the expiry event");
    expect(of("e")[1]).toMatchObject({
      cause: "expired",
      hash: valueHash(PROTO, Buffer.from("v")),
    });
    await listener.close();
    await foreign.put(key, Buffer.from("v3"));
    expect(of("k").length).toBe(3);
  });

  it("takes a burst of 2,000 writes from another client without losing one", async () => {
    await using site = siteOf(cluster().first);
    const cache = site.cache("octets");
    await cache.open();
    const seen = new Set<string>();
    const listener = await cache.listen((event) => seen.add(event.key));
    const foreign = await javaCache("octets", OCTETS);
    const keys = Array.from({ length: 2_000 }, (_, i) => Buffer.from(`burst-${i}`));
    await foreign.putAll(keys.map((key) => [key, key] as const));
    await until(() => keys.every((key) => seen.has(key.toString())), "all events");
    await listener.close();
  });
});

describe("what goes wrong is named", () => {
  it("a missing cache, with the servers that were asked", async () => {
    await using site = siteOf(cluster().first, cluster().second);
    const error = await errorOf(site.cache("nowhere").open());
    expect(error.code).toBe(ErrorCode.CacheMissing);
    expect(error.message).toContain('"nowhere"');
    expect(error.message).toContain(cluster().first.address);
    expect(error.message).toContain(cluster().second.address);
  });

  it("a cache of Java objects", async () => {
    await using site = siteOf(cluster().first);
    const error = await errorOf(site.cache("objects").open());
    expect(error.code).toBe(ErrorCode.CacheObjectStorage);
    expect(error.message).toContain('"objects"');
  });

  it("servers that cannot be reached, each with its reason", async () => {
    const site = new HotRodSite({
      servers: [
        { host: "127.0.0.1", port: 1 },
        { host: "127.0.0.1", port: 2 },
      ],
      clock: realClock,
      random: realRandom,
      logger: new MemoryLogger(),
    });
    const error = await errorOf(site.cache("sessions").open());
    expect(error.code).toBe(ErrorCode.CacheUnreachable);
    expect(error.message).toMatch(/127\.0\.0\.1:1: .*ECONNREFUSED.*127\.0\.0\.1:2: .*ECONNREFUSED/);
    await site.close();
  });
});

describe("runs of the servers", () => {
  it("are the same as long as a server runs, seen by another client too", async () => {
    for (const name of ["sessions", "plain"]) {
      await using one = siteOf(cluster().first, cluster().second);
      await using two = siteOf(cluster().first, cluster().second);
      const before = (await one.cache(name).open()).runs;
      // Long enough to meet every rounding of the whole seconds that the servers tell.
      const end = realClock.monotonic() + 1_500;
      while (realClock.monotonic() < end)
        expect(isRestarted(before, (await two.cache(name).open()).runs)).toBe(false);
      expect(before.size).toBe(name === "sessions" ? 2 : 1);
    }
  });
});

describe("when a server dies", () => {
  it("the listener on it says so, operations move to the other, and it is used when it is back", async () => {
    const { first, second } = cluster();
    await using site = siteOf(first, second);
    const cache = site.cache("sessions");
    const plain = site.cache("plain");
    const before = (await cache.open()).runs;
    const plainBefore = (await plain.open()).runs;
    for (let i = 0; i < 50; i++)
      await cache.write(`survivor-${i}`, "missing", Buffer.from("v"), NEVER);
    await using onlySecond = siteOf(second);
    await onlySecond.cache("sessions").open();
    const listener: CacheListener = await onlySecond.cache("sessions").listen(() => undefined);
    const killedAt = realClock.monotonic();
    await second.kill();
    const reason = await listener.lost;
    expect(realClock.monotonic() - killedAt).toBeLessThan(5_000);
    expect(reason).toContain(second.address);
    // While the cluster finds out, a write may end unknown; a read is simply sent again.
    await until(
      () =>
        cache.read("survivor-1").then(
          (state) => state !== undefined,
          (error: unknown) => {
            if (!isOutcomeUnknown(error)) throw error;
            return false;
          },
        ),
      "a read by the survivor",
      60_000,
    );
    for (let i = 0; i < 50; i++) expect(await cache.read(`survivor-${i}`)).toBeDefined();
    expect(isRestarted(before, (await cache.open()).runs)).toBe(false);
    await second.run();
    await until(
      async () => {
        const { runs } = await cache.open();
        return runs.size === 2;
      },
      "both servers in use",
      60_000,
    );
    const secondBefore = new Map([[second.address, before.get(second.address) ?? ""]]);
    expect(isRestarted(secondBefore, (await cache.open()).runs)).toBe(true);
    expect(isRestarted(plainBefore, (await plain.open()).runs)).toBe(true);
  });

  it("a server that only falls silent is noticed within 5 s", async () => {
    const { second } = cluster();
    await using site = siteOf(second);
    const cache = site.cache("octets");
    await cache.open();
    const listener = await cache.listen(() => undefined);
    const pid = second.process.pid as number;
    process.kill(pid, "SIGSTOP");
    try {
      const stoppedAt = realClock.monotonic();
      const writing = errorOf(cache.write("k", "missing", Buffer.from("v"), NEVER));
      expect(await listener.lost).toContain("silent");
      expect(realClock.monotonic() - stoppedAt).toBeLessThan(5_000);
      // It was sent, and is not sent again: whether it was done is for a read to find out.
      expect(isOutcomeUnknown(await writing)).toBe(true);
    } finally {
      process.kill(pid, "SIGCONT");
    }
    await until(
      () =>
        cache.read("k").then(
          (state) => state?.value.toString() === "v",
          () => false,
        ),
      "the server to answer again",
      30_000,
    );
  });
});
