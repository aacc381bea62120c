// Goal: a target's mirror holds what the origin's log holds, whatever happens to the link, the servers and the streams.
// Method: two real nats-servers with a domain each and one leaf link through a proxy that can be cut.
import { setMaxListeners } from "node:events";
import { cpSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { judgeMirror, trimmedPast } from "../../gateway/link/mirror-watch.ts";
import { NatsSiteLog } from "../../gateway/link/site-log.ts";
import { breakOf } from "../../site-agent/tail/log-head.ts";
import { ErrorCode } from "../../topology/errors.ts";
import { MIRROR_READ_RECORDS_MAX } from "../../topology/limits.ts";
import { logSubject, termSubject } from "../../topology/names.ts";
import type { LogMirror, StoredMessage } from "../../topology/ports.ts";
import { LinkedSites, TEST_LIMITS, until } from "../support/linked-sites.ts";

const SESSIONS = logSubject("nyc", "sessions");
const never = new AbortController().signal;
setMaxListeners(0, never);
const bytes = (text: string): Uint8Array => Buffer.from(text);

let sites: LinkedSites;
beforeEach(async () => {
  sites = await LinkedSites.start();
});
afterEach(async () => {
  await sites[Symbol.asyncDispose]();
});

async function publish(first: number, count: number): Promise<void> {
  for (let i = first; i < first + count; i++)
    await sites.nyc.log.publish(SESSIONS, bytes(`m${i}`), `id${i}`, never);
}

/** Reads until the record with payload `last` came. */
async function readTo(
  mirror: LogMirror,
  afterSeq: number,
  last: string,
  subject = SESSIONS,
): Promise<StoredMessage[]> {
  const state = await until("the mirror exists", () => mirror.state());
  const records: StoredMessage[] = [];
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(60_000)]);
  for await (const chunk of mirror.read(subject, afterSeq, state.created, signal)) {
    records.push(...chunk);
    if (Buffer.from(records.at(-1)?.payload ?? []).toString() === last) stop.abort();
  }
  return records;
}

const texts = (records: readonly StoredMessage[]): string[] =>
  records.map(({ payload }) => Buffer.from(payload).toString());

const lastSeqAtLon = async (): Promise<number> => (await sites.mirrorAtLon.state())?.lastSeq ?? -1;

async function bothLogsAndMirrors(): Promise<void> {
  await Promise.all([sites.nyc.log.recreate(), sites.lon.log.recreate()]);
  const make = (mirror: LogMirror) =>
    until("the mirror can be made", async () => {
      await mirror.recreate(0);
      return true;
    });
  await Promise.all([make(sites.mirrorAtLon), make(sites.mirrorAtNyc)]);
}

describe("a mirror over a leaf link", () => {
  it("follows the origin in both directions, with the origin's sequences and times", async () => {
    await bothLogsAndMirrors();
    const before = Date.now();
    await publish(1, 3);
    const back = logSubject("lon", "sessions");
    await sites.lon.log.publish(back, bytes("from lon"), "x1", never);

    const atLon = await readTo(sites.mirrorAtLon, 0, "m3");
    expect(texts(atLon)).toEqual(["m1", "m2", "m3"]);
    expect(atLon.map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(atLon[0]?.subject).toBe(SESSIONS);
    expect(Math.abs((atLon[0]?.storedAtMs ?? 0) - before)).toBeLessThan(5_000);
    const atNyc = await readTo(sites.mirrorAtNyc, 0, "from lon", back);
    expect(texts(atNyc)).toEqual(["from lon"]);
  });

  it("is read in order after a position, one subject only", async () => {
    await bothLogsAndMirrors();
    await publish(1, 5);
    await sites.nyc.log.publish(termSubject("nyc"), bytes("term"), "t1", never);
    await publish(6, 5);
    const records = await readTo(sites.mirrorAtLon, 4, "m10");
    expect(texts(records)).toEqual(["m5", "m6", "m7", "m8", "m9", "m10"]);
    expect(records.map(({ seq }) => seq)).toEqual([5, 7, 8, 9, 10, 11]);
  });

  it("catches up within seconds after the link was cut for 10 s", async () => {
    await bothLogsAndMirrors();
    await publish(1, 10);
    await until("10 are mirrored", async () => (await lastSeqAtLon()) === 10);
    sites.leaf.cut();
    const cutAt = performance.now();
    await publish(11, 200);
    expect(await lastSeqAtLon()).toBe(10);
    await until("10 s are over", async () => performance.now() - cutAt > 10_000);
    sites.leaf.heal();
    const healedAt = performance.now();
    await until("all are mirrored", async () => (await lastSeqAtLon()) === 210);
    const caughtUpMs = performance.now() - healedAt;
    console.log(`caught up ${Math.round(caughtUpMs)} ms after a cut of 10 s`);
    expect(caughtUpMs).toBeLessThan(10_000);
    expect(texts(await readTo(sites.mirrorAtLon, 0, "m210"))).toEqual(
      Array.from({ length: 210 }, (_, i) => `m${i + 1}`),
    );
  });

  it("is read on without a hole or a double while its server restarts", async () => {
    await bothLogsAndMirrors();
    const reading = readTo(sites.mirrorAtLon, 0, "m300");
    await publish(1, 150);
    await sites.lon.server.kill();
    await publish(151, 100);
    await sites.lon.server.run();
    await publish(251, 50);
    expect(texts(await reading)).toEqual(Array.from({ length: 300 }, (_, i) => `m${i + 1}`));
  });

  it("is read on, in bounded chunks, when the server drops the reader's consumer", async () => {
    await bothLogsAndMirrors();
    const count = 3_000;
    const all = Array.from({ length: count }, (_, i) =>
      sites.nyc.log.publish(SESSIONS, bytes(`m${i + 1}`), `id${i + 1}`, never),
    );
    await Promise.all(all);
    await until("all are mirrored", async () => (await lastSeqAtLon()) === count);
    const manager = await sites.lon.link.manager();
    const { created } = (await sites.mirrorAtLon.state()) ?? { created: "" };
    const stop = new AbortController();
    const seqs: number[] = [];
    let dropped = 0;
    for await (const chunk of sites.mirrorAtLon.read(SESSIONS, 0, created, stop.signal)) {
      expect(chunk.length).toBeLessThanOrEqual(MIRROR_READ_RECORDS_MAX);
      seqs.push(...chunk.map(({ seq }) => seq));
      if (seqs.at(-1) === count) stop.abort();
      else if (seqs.length > 600 * (dropped + 1)) {
        for await (const { name } of manager.consumers.list("ISTHMUS_IN_NYC"))
          dropped += Number(await manager.consumers.delete("ISTHMUS_IN_NYC", name));
      }
    }
    expect(dropped).toBeGreaterThan(2);
    expect(seqs).toEqual(Array.from({ length: count }, (_, i) => i + 1));
  });

  it("is made as soon as an origin that was away at start is there", async () => {
    await sites.nyc.server.stop();
    const stop = new AbortController();
    const running = sites.mirrorAtLon.run(stop.signal);
    await sites.nyc.server.run();
    await until("nyc has its log", () => sites.nyc.log.recreate());
    await publish(1, 3);
    expect(texts(await readTo(sites.mirrorAtLon, 0, "m3"))).toEqual(["m1", "m2", "m3"]);
    stop.abort();
    await running;
  });

  it("gets its durable consumer back when that was deleted", async () => {
    await bothLogsAndMirrors();
    await publish(1, 5);
    await until("5 are mirrored", async () => (await lastSeqAtLon()) === 5);
    const manager = await sites.nyc.link.manager();
    await manager.consumers.delete("ISTHMUS_OUT_NYC", "ISTHMUS_TO_LON");
    const stop = new AbortController();
    const running = sites.mirrorAtLon.run(stop.signal);
    await publish(6, 5);
    await until("10 are mirrored", async () => (await lastSeqAtLon()) === 10, 60_000);
    expect(texts(await readTo(sites.mirrorAtLon, 0, "m10"))).toHaveLength(10);
    stop.abort();
    await running;
  });

  it("never mixes two logs: a log made anew is followed only after recreate", async () => {
    await bothLogsAndMirrors();
    const stop = new AbortController();
    const running = sites.mirrorAtLon.run(stop.signal);
    await publish(1, 5);
    await until("5 are mirrored", async () => (await lastSeqAtLon()) === 5);
    const old = await sites.nyc.log.state();
    const made = await sites.nyc.log.recreate();
    expect(made.created).not.toBe(old?.created);
    expect(made.lastSeq).toBe(0);
    await publish(101, 8);
    await until("the change was noticed", async () =>
      sites.lon.logger.lines.some(
        ({ fields }) => "code" in fields && fields.code === ErrorCode.MirrorReplaced,
      ),
    );
    const mirror = await sites.mirrorAtLon.state();
    expect(mirror?.originCreated).toBe(old?.created);
    expect(mirror?.lastSeq).toBe(5);
    stop.abort();
    await running;

    await sites.mirrorAtLon.recreate(0);
    expect(texts(await readTo(sites.mirrorAtLon, 0, "m108"))).toEqual(
      Array.from({ length: 8 }, (_, i) => `m${i + 101}`),
    );
    expect((await sites.mirrorAtLon.state())?.originCreated).toBe(made.created);
  });

  it("ends its readers with MirrorReplaced once it is made anew", async () => {
    await bothLogsAndMirrors();
    await publish(1, 3);
    const reading = readTo(sites.mirrorAtLon, 0, "never comes");
    const outcome = expect(reading).rejects.toMatchObject({ code: ErrorCode.MirrorReplaced });
    await until("3 are mirrored", async () => (await lastSeqAtLon()) === 3);
    await sites.mirrorAtLon.recreate(0);
    await outcome;
  });

  it("survives that its keeper and its reader make it at the same time", async () => {
    await sites.nyc.log.recreate();
    const stop = new AbortController();
    const running = sites.mirrorAtLon.run(stop.signal);
    await publish(1, 5);
    for (let i = 0; i < 5; i++) await sites.mirrorAtLon.recreate(0);
    await publish(6, 5);
    expect(texts(await readTo(sites.mirrorAtLon, 0, "m10"))).toHaveLength(10);
    stop.abort();
    await running;
  });

  it("made anew after a position holds only what comes after it", async () => {
    await bothLogsAndMirrors();
    await publish(1, 10);
    await sites.mirrorAtLon.recreate(7);
    const records = await readTo(sites.mirrorAtLon, 7, "m10");
    expect(texts(records)).toEqual(["m8", "m9", "m10"]);
    expect(records.map(({ seq }) => seq)).toEqual([8, 9, 10]);
    expect((await sites.mirrorAtLon.state())?.firstSeq).toBe(8);
  });

  it("shows that the log lost its end, and is level again after both were made anew", async () => {
    await bothLogsAndMirrors();
    await publish(1, 10);
    const store = join(sites.nyc.server.folder, "jetstream");
    const backup = `${store}.backup`;
    await sites.nyc.server.stop();
    cpSync(store, backup, { recursive: true });
    await sites.nyc.server.run();
    await until("nyc is back", async () => sites.nyc.link.connected);
    await publish(11, 10);
    await until("20 are mirrored", async () => (await lastSeqAtLon()) === 20);

    await sites.nyc.server.kill();
    rmSync(store, { recursive: true });
    renameSync(backup, store);
    await sites.nyc.server.run();
    const log = await until("nyc is back", () => sites.nyc.log.state());
    const mirror = await sites.mirrorAtLon.state();
    expect(log.lastSeq).toBe(10);
    const head = { incarnation: "i", created: log.created, lastSeq: mirror?.lastSeq ?? 0 };
    expect(breakOf(head, log)).toMatch(/truncated/);
    expect(judgeMirror(mirror, log)).toBe("ahead");

    const made = await sites.nyc.log.recreate();
    expect(judgeMirror(await sites.mirrorAtLon.state(), made)).toBe("recreated");
    await publish(31, 3);
    await until("the link is back", async () => {
      await sites.mirrorAtLon.recreate(0);
      return true;
    });
    expect(texts(await readTo(sites.mirrorAtLon, 0, "m33"))).toEqual(["m31", "m32", "m33"]);
  });

  it("skips what was trimmed before it came, which the two states tell beforehand", async () => {
    await bothLogsAndMirrors();
    await publish(1, 10);
    await until("10 are mirrored", async () => (await lastSeqAtLon()) === 10);
    sites.leaf.cut();
    const few = new NatsSiteLog(sites.nyc.link, { ...TEST_LIMITS, maxBytes: 2_000 });
    await few.applyLimits();
    await publish(11, 100);
    const log = await few.state();
    expect(log?.firstSeq).toBeGreaterThan(12);
    const mirrored = await lastSeqAtLon();
    expect(trimmedPast(log ?? { created: "", firstSeq: 0, lastSeq: 0 }, mirrored, 110)).toBe(true);
    sites.leaf.heal();
    await until("the rest is mirrored", async () => (await lastSeqAtLon()) === 110);
    // Nothing in the mirror's own state tells of it any more.
    expect((await sites.mirrorAtLon.state())?.firstSeq).toBe(1);
    const seqs = (await readTo(sites.mirrorAtLon, 0, "m110")).map(({ seq }) => seq);
    expect(seqs.slice(0, 11)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, log?.firstSeq]);
  });
});
