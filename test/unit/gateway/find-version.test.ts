import { describe, expect, it } from "vitest";
import { findVersion } from "../../../gateway/control/find-version.ts";
import { TRACE_RECORDS_MAX } from "../../../topology/limits.ts";
import { type BatchHeader, encodeBatch } from "../../../topology/mutation/batch.ts";
import { logSubject } from "../../../topology/names.ts";
import type { StoredMessage } from "../../../topology/ports.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import { arrival } from "../site-agent/applier-bench.ts";

/** A log of nyc in memory: a batch of two keys a second, every third one of another cache. */
class Records {
  readonly all: StoredMessage[] = [];
  reads = 0;
  firstSeq = 1;

  /** `skewMs`: the server's clock ahead of the process's. */
  constructor(count: number, skewMs = 0) {
    for (let seq = 1; seq <= count; seq++) {
      const cache = seq % 3 === 0 ? "other" : "sessions";
      const mutations = [`a${seq}`, "hot"].map((key, i) => ({
        ...arrival("nyc", seq * 1_000 + i, "v"),
        key,
      }));
      const header = { origin: "nyc", cache, epoch: 1, term: 1, incarnation: "i" };
      const more = { policyHash: "p", mode: "async", offsets: new Map(), mediaType: "m" };
      const whole = { ...header, ...more, counter: seq, held: false } as BatchHeader;
      const payload = encodeBatch(whole, mutations);
      const storedAtMs = seq * 1_000 + 20 + skewMs;
      this.all.push({ seq, subject: logSubject("nyc", cache), payload, storedAtMs });
    }
  }

  state() {
    const created = "c";
    return Promise.resolve({ created, firstSeq: this.firstSeq, lastSeq: this.all.length });
  }

  window(subject: string, afterSeq: number, upToSeq: number): Promise<StoredMessage[]> {
    const found = this.all
      .slice(Math.max(afterSeq, this.firstSeq - 1), upToSeq)
      .filter((record) => subject.endsWith(">") || record.subject === subject);
    this.reads += Math.max(1, found.length);
    return Promise.resolve(found);
  }
}

const find = (records: Records, key: string, dotMs: number, cache = "sessions") =>
  findVersion(records, { origin: "nyc", cache, key, dot: makeDot(dotMs, 0) });

describe("a version in a log", () => {
  it("is found near the time of its dot, by key and dot, with few reads", async () => {
    const records = new Records(5_000);
    const found = await find(records, "a4000", 4_000_000);
    expect(found).toMatchObject({ seq: 4_000, storedAtMs: 4_000_020, incarnation: "i" });
    expect(found?.mutation.key).toBe("a4000");
    expect(records.reads).toBeLessThan(60);
    expect(await find(records, "hot", 1_001)).toMatchObject({ seq: 1 });
    expect(await find(records, "hot", 5_000_001)).toMatchObject({ seq: 5_000 });
  });

  it("is not found under another key or cache, nor when it never came or was trimmed", async () => {
    const records = new Records(300);
    expect(await find(records, "b", 100_000)).toBeUndefined();
    expect(await find(records, "a100", 100_000, "other")).toBeUndefined();
    expect(await find(records, "a100", 100_500)).toBeUndefined();
    expect(await find(records, "a400", 400_000)).toBeUndefined();
    records.firstSeq = 200;
    expect(await find(records, "a100", 100_000)).toBeUndefined();
    expect(await find(new Records(0), "a", 1)).toBeUndefined();
    expect(
      await find({ state: async () => undefined } as unknown as Records, "a", 1),
    ).toBeUndefined();
  });

  it("is found although the clocks of the server and the process lie minutes apart", async () => {
    for (const skewMs of [-600_000, 600_000, 30_000]) {
      const found = await find(new Records(2_000, skewMs), "a1000", 1_000_000);
      expect(found?.seq).toBe(1_000);
    }
  });

  it("is given up after a bounded number of reads", async () => {
    const records = new Records(3 * TRACE_RECORDS_MAX);
    // Nothing of that cache comes later than its dot.
    const far = makeDot(2 ** 40, 0);
    const late = records.all.map((record) => ({ ...record, storedAtMs: 2 ** 40 }));
    records.all.splice(0, records.all.length, ...late);
    const wanted = { origin: "nyc", cache: "sessions", key: "a1", dot: far };
    expect(await findVersion(records, wanted)).toBeUndefined();
    expect(records.reads).toBeLessThan(2 * TRACE_RECORDS_MAX);
  });
});
