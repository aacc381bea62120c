// Goal: a record counts as stored only when this site's own log stored it, once. Method: real nats-servers.
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NatsSiteLog } from "../../gateway/link/site-log.ts";
import { NatsServer } from "../../deploy/lab/nats-server.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { logSubject, termSubject } from "../../topology/names.ts";
import type { PublishAck } from "../../topology/ports.ts";
import { LinkedSites, TEST_LIMITS, linkTo, until } from "../support/linked-sites.ts";

const SESSIONS = logSubject("nyc", "sessions");
const NEVER = new AbortController().signal;
const bytes = (text: string): Uint8Array => Buffer.from(text);

let sites: LinkedSites;
beforeEach(async () => {
  sites = await LinkedSites.start();
});
afterEach(async () => {
  await sites[Symbol.asyncDispose]();
});

const publish = (text: string, msgId: string): Promise<PublishAck> =>
  sites.nyc.log.publish(SESSIONS, bytes(text), msgId, NEVER);

/** A stream at lon on nyc's subjects: what a faulty configuration could bring about. */
async function foreignStream(name: string): Promise<void> {
  const manager = await sites.lon.link.manager();
  await manager.streams.add({ name, subjects: ["isthmus.log.nyc.>"] });
}

describe("the own log", () => {
  it("is not there until it is made, and says so", async () => {
    expect(await sites.nyc.log.state()).toBeUndefined();
    expect(await sites.nyc.log.last(SESSIONS)).toBeUndefined();
    await expect(publish("a", "1")).rejects.toMatchObject({ code: ErrorCode.LogMissing });
    expect(await sites.nyc.log.recreate()).toMatchObject({ lastSeq: 0 });
    expect(await publish("a", "1")).toEqual({ seq: 1, duplicate: false });
  });

  it("stores a record once, however often it is sent under one id", async () => {
    await sites.nyc.log.recreate();
    expect(await publish("a", "1")).toEqual({ seq: 1, duplicate: false });
    expect(await publish("a", "1")).toEqual({ seq: 1, duplicate: true });
    expect(await publish("b", "2")).toEqual({ seq: 2, duplicate: false });
    expect(await sites.nyc.log.state()).toMatchObject({ firstSeq: 1, lastSeq: 2 });
  });

  it("gives the newest record of one subject", async () => {
    await sites.nyc.log.recreate();
    await publish("a", "1");
    await publish("b", "2");
    await sites.nyc.log.publish(logSubject("nyc", "users"), bytes("other"), "3", NEVER);
    const last = await sites.nyc.log.last(SESSIONS);
    expect(last).toMatchObject({ seq: 2, subject: SESSIONS });
    expect(Buffer.from(last?.payload ?? []).toString()).toBe("b");
    expect(await sites.nyc.log.last(logSubject("nyc", "nothing"))).toBeUndefined();
  });

  it("made anew has another time of creation and begins at 1", async () => {
    const old = await sites.nyc.log.recreate();
    await publish("a", "1");
    const made = await sites.nyc.log.recreate();
    expect(made.created).not.toBe(old.created);
    expect(await publish("b", "2")).toEqual({ seq: 1, duplicate: false });
  });

  it("keeps what it holds when its limits change", async () => {
    const made = await sites.nyc.log.recreate();
    await publish("a", "1");
    const smaller = { ...TEST_LIMITS, maxAgeMs: 60_000, maxBytes: 1024 * 1024 };
    await new NatsSiteLog(sites.nyc.link, smaller).applyLimits();
    expect(await sites.nyc.log.state()).toEqual({ ...made, firstSeq: 1, lastSeq: 1 });
    const manager = await sites.nyc.link.manager();
    const { config } = await manager.streams.info("ISTHMUS_OUT_NYC");
    expect(config).toMatchObject({ max_bytes: 1024 * 1024, max_age: 60_000 * 1e6 });
  });

  it("is stored by nobody else: the same stream in another domain never confirms", async () => {
    await foreignStream("ISTHMUS_OUT_NYC");
    await until("the interest crossed the link", async () => {
      const error: unknown = await publish("a", "1").catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(IsthmusError);
      const { code, message } = error as IsthmusError;
      return code === ErrorCode.LogTimeout && message.includes("domain lon");
    });
    await sites.nyc.log.recreate();
    // Now both hear it; whichever answers first, ours is the one that counts.
    for (let i = 1; i <= 20; i++) expect((await publish(`m${i}`, `id${i}`)).seq).toBe(i);
  });

  it("is not disturbed by a stream of another name that listens elsewhere", async () => {
    await sites.nyc.log.recreate();
    await foreignStream("AUDIT");
    for (let i = 1; i <= 20; i++) expect((await publish(`m${i}`, `id${i}`)).seq).toBe(i);
  });

  it("refuses a record above the server's max_payload", async () => {
    await sites.nyc.log.recreate();
    const large = new Uint8Array(1024 * 1024 + 1);
    const outcome = sites.nyc.log.publish(SESSIONS, large, "1", NEVER);
    await expect(outcome).rejects.toMatchObject({ code: ErrorCode.LogRefused });
    expect(await publish("a", "2")).toMatchObject({ seq: 1 });
  });

  it("fails at once while its server is away, and holds every record once after retries", async () => {
    await sites.nyc.log.recreate();
    const codes = new Set<string>();
    const sendAll = async (): Promise<void> => {
      for (let i = 1; i <= 400; i++) {
        await until(`record ${i} is stored`, async () => {
          try {
            return await publish(`m${i}`, `id${i}`);
          } catch (error) {
            if (error instanceof IsthmusError) codes.add(error.code);
            throw error;
          }
        });
      }
    };
    const sending = sendAll();
    await until("some are stored", async () => ((await sites.nyc.log.state())?.lastSeq ?? 0) > 20);
    await sites.nyc.server.kill();
    await until("the loss is noticed", async () => !sites.nyc.link.connected);
    const began = performance.now();
    await expect(publish("x", "x")).rejects.toMatchObject({ code: ErrorCode.NatsUnreachable });
    expect(performance.now() - began).toBeLessThan(100);
    await sites.nyc.server.run();
    await sending;
    expect(codes).toContain(ErrorCode.NatsUnreachable);
    expect(await sites.nyc.log.state()).toMatchObject({ firstSeq: 1, lastSeq: 400 });
    expect((await sites.nyc.log.last(SESSIONS))?.seq).toBe(400);
  });

  it("takes no record of a process whose term is over, and takes them again once it begins anew", async () => {
    await sites.nyc.log.recreate();
    const term = termSubject("nyc");
    await sites.nyc.log.beginTerm(term, bytes("1"), "t1", NEVER);
    expect(await publish("a", "1")).toMatchObject({ seq: 2 });
    const successor = new NatsSiteLog(sites.nyc.link, TEST_LIMITS);
    await successor.beginTerm(term, bytes("2"), "t2", NEVER);
    await expect(publish("b", "2")).rejects.toMatchObject({ code: ErrorCode.TermOver });
    expect(await successor.publish(SESSIONS, bytes("c"), "3", NEVER)).toMatchObject({ seq: 4 });
    await sites.nyc.log.beginTerm(term, bytes("3"), "t3", NEVER);
    expect(await publish("d", "4")).toMatchObject({ seq: 6 });
  });

  it("gives up with the signal's reason", async () => {
    await sites.nyc.log.recreate();
    const stop = new AbortController();
    sites.nyc.server.process.signal("SIGSTOP");
    const outcome = sites.nyc.log.publish(SESSIONS, bytes("a"), "1", stop.signal);
    stop.abort(new Error("enough"));
    await expect(outcome).rejects.toThrow("enough");
    sites.nyc.server.process.signal("SIGCONT");
  });
});

describe("a server with too little room", () => {
  it("makes no log, and says that it is full", async () => {
    await using server = await NatsServer.start({ domain: "nyc", jetstream: "max_file: 10MB" });
    const link = await linkTo(server, "nyc");
    const outcome = new NatsSiteLog(link, TEST_LIMITS).recreate();
    await expect(outcome).rejects.toMatchObject({ code: ErrorCode.LogFull });
    await link.close();
  });
});
