import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judgeAnswer } from "../../../gateway/link/acked-publisher.ts";
import { bestOf, offsetOf } from "../../../gateway/link/clock-offset.ts";
import {
  isStalled,
  judgeMirror,
  progressed,
  trimmedPast,
} from "../../../gateway/link/mirror-watch.ts";
import { judgeStatus, parseDelivery } from "../../../gateway/link/stream-feed.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { MIRROR_STALL_MS } from "../../../topology/limits.ts";

const judge = (answer: object | undefined) =>
  judgeAnswer(answer, "ISTHMUS_OUT_NYC", "nyc", "isthmus.log.nyc.sessions");

describe("an answer to a record", () => {
  it("counts when the own stream of the own domain stored it", () => {
    expect(judge({ stream: "ISTHMUS_OUT_NYC", domain: "nyc", seq: 7 })).toEqual({
      seq: 7,
      duplicate: false,
    });
    expect(
      judge({ stream: "ISTHMUS_OUT_NYC", domain: "nyc", seq: 7, duplicate: true }),
    ).toMatchObject({ duplicate: true });
  });

  it("never counts from another domain, another stream, or without a domain", () => {
    expect(judge({ stream: "ISTHMUS_OUT_NYC", domain: "lon", seq: 7 })).toBe(
      "stream ISTHMUS_OUT_NYC of domain lon",
    );
    expect(judge({ stream: "AUDIT", domain: "nyc", seq: 7 })).toBe("stream AUDIT of domain nyc");
    expect(judge({ stream: "ISTHMUS_OUT_NYC", seq: 7 })).toBeTypeOf("string");
    expect(judge({ stream: "AUDIT", error: { err_code: 10060 } })).toBeTypeOf("string");
    expect(judge({})).toBeTypeOf("string");
    expect(judge(undefined)).toBeTypeOf("string");
  });

  it("is an error that says whether the log is full", () => {
    const refused = (err_code: number) =>
      judge({ stream: "ISTHMUS_OUT_NYC", error: { err_code, description: "why" } });
    expect(refused(10077)).toMatchObject({ code: ErrorCode.LogFull, number: 10077 });
    expect(refused(10047)).toMatchObject({ code: ErrorCode.LogFull });
    expect(refused(10060)).toMatchObject({ code: ErrorCode.LogRefused });
    const noLeader = { code: 503, err_code: 10008, description: "temporarily unavailable" };
    expect(judge({ stream: "ISTHMUS_OUT_NYC", error: noLeader })).toMatchObject({
      code: ErrorCode.NatsUnreachable,
    });
  });
});

describe("a delivered record's reply subject", () => {
  it("is read in both of its forms", () => {
    const expected = { seq: 42, delivered: 3, storedAtMs: 1_700_000_000_123 };
    const nanos = "1700000000123456789";
    expect(parseDelivery(`$JS.ACK.S.C.1.42.3.${nanos}.0`)).toEqual(expected);
    expect(parseDelivery(`$JS.ACK.nyc.hash.S.C.1.42.3.${nanos}.0.x`)).toEqual(expected);
    expect(parseDelivery(`$JS.ACK.nyc.hash.S.C.1.42.3.${nanos}.0`)).toEqual(expected);
  });

  it("is refused when it is anything else", () => {
    for (const reply of ["", "_INBOX.a.b", "$JS.ACK.S.C.1.42.3", "$JS.ACK.S.C.1.x.3.0.0"])
      expect(parseDelivery(reply)).toBeUndefined();
  });

  it("tells a finished pull from a lost consumer", () => {
    expect(judgeStatus(100, "Idle Heartbeat")).toBe("alive");
    expect(judgeStatus(408, "Request Timeout")).toBe("over");
    expect(judgeStatus(409, "Message Size Exceeds MaxBytes")).toBe("over");
    expect(judgeStatus(409, "Consumer Deleted")).toBe("lost");
    expect(judgeStatus(503, "")).toBe("lost");
  });
});

const log = (created: string, firstSeq: number, lastSeq: number) => ({
  created,
  firstSeq,
  lastSeq,
});

describe("a mirror", () => {
  const mirror = (originCreated: string, lastSeq: number) => ({
    ...log("m", 1, lastSeq),
    originCreated,
  });

  it("is judged against what its origin announces", () => {
    expect(judgeMirror(undefined, log("a", 1, 5))).toBe("missing");
    expect(judgeMirror(mirror("a", 5), log("a", 1, 5))).toBe("ok");
    expect(judgeMirror(mirror("a", 2), log("a", 1, 5))).toBe("ok");
    expect(judgeMirror(mirror("a", 6), log("a", 1, 5))).toBe("ahead");
    expect(judgeMirror(mirror("a", 5), log("b", 1, 5))).toBe("recreated");
  });

  it("was trimmed past a position only when a record of that cache is gone", () => {
    expect(trimmedPast(log("a", 11, 20), 10, 20)).toBe(false);
    expect(trimmedPast(log("a", 12, 20), 10, 20)).toBe(true);
    // Nobody wrote to this cache since: what was trimmed was of others.
    expect(trimmedPast(log("a", 12, 20), 10, 10)).toBe(false);
    // The origin trimmed what the mirror, at 10, had not fetched yet.
    expect(trimmedPast(log("a", 15, 20), 10, 13)).toBe(true);
    // Everything is gone.
    expect(trimmedPast(log("a", 21, 20), 10, 20)).toBe(true);
    expect(trimmedPast(log("a", 0, 0), 0, 0)).toBe(false);
  });

  it("stalls only when it stands still with something left to fetch", () => {
    let progress = progressed(undefined, 5, 10, 1_000);
    expect(isStalled(progress, 1_000 + MIRROR_STALL_MS - 1)).toBe(false);
    expect(isStalled(progress, 1_000 + MIRROR_STALL_MS)).toBe(true);
    progress = progressed(progress, 5, 12, 3_000);
    expect(isStalled(progress, 1_000 + MIRROR_STALL_MS)).toBe(true);
    progress = progressed(progress, 6, 12, 4_000);
    expect(isStalled(progress, 4_000 + MIRROR_STALL_MS - 1)).toBe(false);
    progress = progressed(progress, 12, 12, 5_000);
    expect(isStalled(progress, 1e9)).toBe(false);
    // Level for an hour, then a new end: the wait starts now, not then.
    progress = progressed(progress, 12, 13, 3_600_000);
    expect(isStalled(progress, 3_600_000)).toBe(false);
    expect(isStalled(progress, 3_600_000 + MIRROR_STALL_MS)).toBe(true);
  });
});

describe("a clock ping", () => {
  it("finds the offset within half the round trip, whatever the two ways take", () => {
    const ms = fc.double({ min: 0, max: 500, noNaN: true });
    fc.assert(
      fc.property(
        fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        ms,
        ms,
        ms,
        (trueOffset, out, there, back) => {
          const sentAt = 1.7e12;
          const estimate = offsetOf({
            sentAt,
            receivedThereAt: sentAt + out + trueOffset,
            answeredThereAt: sentAt + out + there + trueOffset,
            answeredAt: sentAt + out + there + back,
            tookMs: out + there + back,
          });
          expect(estimate).toBeDefined();
          const error = Math.abs((estimate?.offsetMs ?? Number.NaN) - trueOffset);
          expect(error).toBeLessThanOrEqual((estimate?.errorMs ?? Number.NaN) + 0.01);
        },
      ),
    );
  });

  it("is no sample when the wall clock jumped meanwhile", () => {
    const ping = { sentAt: 1_000, receivedThereAt: 1_005, answeredThereAt: 1_005, tookMs: 10 };
    expect(offsetOf({ ...ping, answeredAt: 1_010 })).toEqual({ offsetMs: 0, errorMs: 5 });
    expect(offsetOf({ ...ping, answeredAt: 3_610 })).toBeUndefined();
    expect(offsetOf({ ...ping, answeredAt: 900 })).toBeUndefined();
  });

  it("with the shortest round trip is the one that counts", () => {
    const samples = [
      { offsetMs: 9, errorMs: 20 },
      { offsetMs: 1, errorMs: 2 },
      { offsetMs: 5, errorMs: 7 },
    ];
    expect(bestOf(samples)).toEqual({ offsetMs: 1, errorMs: 2 });
    expect(bestOf([])).toBeUndefined();
  });
});
