// Goal: what sites tell each other over core subjects, and the lease within one. Method: two real nats-servers, one leaf link.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NatsBus } from "../../gateway/link/bus.ts";
import { ClockOffsets } from "../../gateway/link/clock-offset.ts";
import { Heartbeat } from "../../gateway/link/heartbeat.ts";
import { openLeaseStore } from "../../gateway/link/lease-store.ts";
import { Lease } from "../../gateway/link/lease.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { Clock, LeaseStore } from "../../topology/ports.ts";
import { LinkedSites, linkTo, until } from "../support/linked-sites.ts";
import { MemoryLogger, realClock } from "../support/real-time.ts";

let sites: LinkedSites;
let atNyc: NatsBus;
let atLon: NatsBus;
let stop: AbortController;
beforeEach(async () => {
  sites = await LinkedSites.start();
  atNyc = new NatsBus(sites.nyc.link);
  atLon = new NatsBus(sites.lon.link);
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await sites[Symbol.asyncDispose]();
});

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
const ask = (subject: string): Promise<Uint8Array> =>
  atLon.request(subject, Buffer.from("question"), 1_000);

describe("the bus between sites", () => {
  it("carries requests, answers, and what a handler threw", async () => {
    const end = atNyc.serve("isthmus.ctl.nyc.test", async (payload) => {
      if (text(payload) === "question") return Buffer.from("answer");
      throw new IsthmusError(ErrorCode.LogFull, "no room\nat all");
    });
    const answer = await until("the interest crossed the link", () => ask("isthmus.ctl.nyc.test"));
    expect(text(answer)).toBe("answer");
    const refused = atLon.request("isthmus.ctl.nyc.test", Buffer.from("else"), 1_000);
    await expect(refused).rejects.toMatchObject({
      code: ErrorCode.PeerRefused,
      message: expect.stringContaining("IS3006: no room at all"),
    });
    end();
    await until("the interest is gone", async () => {
      const error: unknown = await ask("isthmus.ctl.nyc.test").catch((caught: unknown) => caught);
      return error instanceof IsthmusError && error.code === ErrorCode.PeerUnreachable;
    });
  });

  it("keeps nothing for a site that is away", async () => {
    const heard: string[] = [];
    atLon.subscribe("isthmus.applied.lon.nyc", (payload, subject) =>
      heard.push(`${subject} ${text(payload)}`),
    );
    const send = (word: string) => atNyc.publish("isthmus.applied.lon.nyc", Buffer.from(word));
    await until("messages arrive", async () => {
      send("before");
      return heard.length > 0;
    });
    expect(new Set(heard)).toEqual(new Set(["isthmus.applied.lon.nyc before"]));
    await sites.nyc.server.kill();
    await until("the loss is noticed", async () => !sites.nyc.link.connected);
    for (let i = 0; i < 100; i++) send("during");
    await expect(
      atNyc.request("isthmus.ctl.lon.test", Buffer.from(""), 1_000),
    ).rejects.toMatchObject({ code: ErrorCode.NatsUnreachable });
    await sites.nyc.server.run();
    await until("messages arrive again", async () => {
      if (sites.nyc.link.connected) send("after");
      return heard.some((line) => line.endsWith("after"));
    });
    expect(heard.filter((line) => line.endsWith("during"))).toEqual([]);
  });
});

describe("sites that hear each other", () => {
  const beatsOf = (site: string, peer: string, bus: NatsBus) =>
    new Heartbeat<{ hello: string }>({
      site,
      peers: [peer],
      bus,
      clock: realClock,
      logger: new MemoryLogger(),
      content: () => ({ hello: site }),
      isContent: (content): content is { hello: string } => "hello" in content,
    });

  it("know each other's last heartbeat, and how long a peer has been silent", async () => {
    const nyc = beatsOf("nyc", "lon", atNyc);
    const lon = beatsOf("lon", "nyc", atLon);
    const running = Promise.all([nyc.run(stop.signal), lon.run(stop.signal)]);
    await until("both hear", async () => nyc.last("lon") && lon.last("nyc"));
    expect(nyc.last("lon")?.beat).toMatchObject({ site: "lon", content: { hello: "lon" } });
    await until("a fresh one came", async () => lon.silenceMs("nyc") < 250);
    sites.leaf.cut();
    await until("nyc is silent", async () => lon.silenceMs("nyc") > 1_500);
    sites.leaf.heal();
    await until("nyc is heard again", async () => lon.silenceMs("nyc") < 500);
    stop.abort();
    await running;
  });

  it("know the offset of each other's clock", async () => {
    const ahead: Clock = { ...realClock, now: () => realClock.now() + 5_000 };
    const nyc = new ClockOffsets("nyc", ["lon"], atNyc, realClock);
    const lon = new ClockOffsets("lon", ["nyc"], atLon, ahead);
    const running = Promise.all([nyc.run(stop.signal), lon.run(stop.signal)]);
    const toLon = await until("nyc knows lon's", async () => nyc.offset("lon"));
    const toNyc = await until("lon knows nyc's", async () => lon.offset("nyc"));
    // Date.now() is in whole ms: 1 ms of doubt beside the round trip's.
    expect(Math.abs(toLon.offsetMs - 5_000)).toBeLessThanOrEqual(toLon.errorMs + 1);
    expect(Math.abs(toNyc.offsetMs + 5_000)).toBeLessThanOrEqual(toNyc.errorMs + 1);
    await until("the estimate is sharp", async () => (nyc.offset("lon")?.errorMs ?? 99) < 5);
    stop.abort();
    await running;
  });
});

describe("the lease in a site's own bucket", () => {
  const TIMES = { ttlMs: 2_000, renewMs: 300 };
  const acquire = (store: LeaseStore, id: string, standby: boolean): Promise<Lease> =>
    Lease.acquire(
      {
        site: "nyc",
        store,
        clock: realClock,
        logger: new MemoryLogger(),
        holder: { host: `host-${id}`, pid: 4711, startedAt: Date.now(), holderId: id },
        standby,
        times: TIMES,
      },
      stop.signal,
    );

  it("is held by one process; a second is refused with the first's name, a standby waits its deadline out", async () => {
    const firstStore = await openLeaseStore(sites.nyc.link, 1);
    const first = await acquire(firstStore, "one", false);
    const firstStop = new AbortController();
    const firstRuns = first.run(firstStop.signal);
    const secondLink = await linkTo(sites.nyc.server, "nyc");
    const secondStore = await openLeaseStore(secondLink, 1);
    await expect(acquire(secondStore, "two", false)).rejects.toMatchObject({
      code: ErrorCode.LeaseHeld,
      message: expect.stringContaining("host-one, pid 4711"),
    });
    const standby = acquire(secondStore, "three", true);
    // The first process loses its NATS without a word, as in a crash.
    await sites.nyc.link.nc.close();
    const second = await standby;
    expect(realClock.monotonic()).toBeGreaterThan(first.deadline());
    expect(second.term).toBeGreaterThan(first.term);
    firstStop.abort();
    await firstRuns;
    await secondLink.close();
  });

  it("is free at once after its holder stopped in good order", async () => {
    const store = await openLeaseStore(sites.nyc.link, 1);
    const first = await acquire(store, "one", false);
    const firstStop = new AbortController();
    firstStop.abort();
    await first.run(firstStop.signal);
    const began = performance.now();
    const second = await acquire(store, "two", false);
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(second.term).toBeGreaterThan(first.term);
  });

  it("is lost for good with its bucket: its holder does not wait for it to come back", async () => {
    const store = await openLeaseStore(sites.nyc.link, 1);
    const lease = await acquire(store, "one", false);
    const manager = await sites.nyc.link.manager();
    await manager.streams.delete("KV_isthmus_nyc");
    await expect(lease.renew()).rejects.toMatchObject({ code: ErrorCode.LogMissing });
  });

  it("is written by one of two that expect the same revision", async () => {
    const store = await openLeaseStore(sites.nyc.link, 1);
    expect(await store.read()).toBeUndefined();
    const writes = await Promise.all(["a", "b"].map((word) => store.write(Buffer.from(word), 0)));
    expect(writes.filter((revision) => revision === undefined)).toHaveLength(1);
    const found = await store.read();
    expect(found?.revision).toBe(writes.find((revision) => revision !== undefined));
  });
});
