import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isBeatContent } from "../../../gateway/link/beat-content.ts";
import { decodeBeat, encodeBeat, Heartbeat } from "../../../gateway/link/heartbeat.ts";
import type { BeatContent } from "../../../gateway/link/heartbeat.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { BEAT_BYTES_MAX } from "../../../topology/limits.ts";
import type { Bus, Clock } from "../../../topology/ports.ts";
import { MemoryLogger } from "../../support/real-time.ts";

const CONTENT: BeatContent = {
  epoch: 1,
  term: 4,
  incarnation: "abc",
  log: { created: "2026-08-01T00:00:00Z", firstSeq: 1, lastSeq: 99 },
  ends: { "sessions/__proto__": { logSeq: 99, outboxRows: 3, dot: 117_000_000_000_000_000n } },
  applied: {
    lon: { sessions: { incarnation: "xyz", seq: 2 ** 40, dot: 116_000_000_000_000_000n } },
  },
  policyHashes: { sessions: "00ff" },
};
const BEAT = { site: "nyc", at: 1_700_000_000_123, count: 7, content: CONTENT };
const invalid = expect.objectContaining({ code: ErrorCode.PeerMessageInvalid });

describe("a heartbeat on the wire", () => {
  it("comes back as it was sent", () => {
    expect(decodeBeat(encodeBeat(BEAT), "nyc", isBeatContent)).toEqual(BEAT);
  });

  it("carries what is wrong with caches, who is refused, and a re-seeding; an older release says none of it", () => {
    const more = {
      troubles: { sessions: "paused" as const, work: "of a later release" },
      refused: { lon: { sessions: 1_700_000_000_000 } },
      reseeded: {
        sessions: { upTo: 116_000_000_000_000_000n, answers: { nyc: 1_700_000_000_000 } },
      },
    };
    const beat = { ...BEAT, content: { ...CONTENT, ...more } };
    expect(decodeBeat(encodeBeat(beat), "nyc", isBeatContent)).toEqual(beat);
  });

  it("is refused from another site than its subject says", () => {
    expect(() => decodeBeat(encodeBeat(BEAT), "lon", isBeatContent)).toThrow(invalid);
  });

  it("is refused when it is too large, and before it is decoded", () => {
    expect(() => decodeBeat(new Uint8Array(BEAT_BYTES_MAX + 1), "nyc", isBeatContent)).toThrow(
      invalid,
    );
  });

  it("is refused when it does not say what this version reads of one, wherever that is", () => {
    const position = { incarnation: "i", seq: 1, dot: 1n };
    const end = { logSeq: 1, outboxRows: 0, dot: 1n };
    const wrong: object[] = [
      { term: undefined },
      { epoch: 1.5 },
      { incarnation: 7 },
      { log: { created: "c", firstSeq: 1 } },
      { ends: undefined },
      { ends: { c: undefined } },
      { ends: { c: { ...end, logSeq: -1 } } },
      { ends: { c: { ...end, dot: 1 } } },
      { applied: [] },
      { applied: { lon: null } },
      { applied: { lon: { c: { ...position, incarnation: null } } } },
      { applied: { lon: { c: { ...position, seq: Number.NaN } } } },
      { policyHashes: { c: 7 } },
      { troubles: { c: 7 } },
      { applied: { lon: { c: { ...position, gap: "yes" } } } },
      { refused: { lon: { c: "since yesterday" } } },
      { reseeded: { c: { upTo: 7, answers: {} } } },
      { reseeded: { c: { upTo: 7n, answers: { nyc: -1 } } } },
    ];
    for (const part of wrong) {
      const beat = { ...BEAT, content: { ...CONTENT, ...part } };
      expect(() => decodeBeat(encodeBeat(beat), "nyc", isBeatContent)).toThrow(invalid);
    }
    const more = { ...BEAT, content: { ...CONTENT, log: undefined, later: [1] } };
    expect(decodeBeat(encodeBeat(more), "nyc", isBeatContent).content).toMatchObject({
      later: [1],
    });
  });

  it("never does anything but decode or be refused, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          expect(decodeBeat(bytes, "nyc", isBeatContent).site).toBe("nyc");
        } catch (error) {
          expect(error).toMatchObject({ code: ErrorCode.PeerMessageInvalid });
        }
      }),
    );
  });
});

describe("heartbeats", () => {
  it("are kept per peer, with how long each has been silent; unreadable ones count as silence", async () => {
    let now = 1_000;
    const handlers = new Map<string, (payload: Uint8Array, subject: string) => void>();
    const sent: Uint8Array[] = [];
    const bus: Bus = {
      request: () => Promise.reject(new Error("heartbeats ask nothing")),
      serve: () => () => undefined,
      publish: (_subject, payload) => void sent.push(payload),
      subscribe: (subject, handler) => {
        handlers.set(subject, handler);
        return () => void handlers.delete(subject);
      },
    };
    const stop = new AbortController();
    const clock: Clock = {
      after: () => () => undefined,
      now: () => 0,
      monotonic: () => now,
      sleep: (_ms, signal) =>
        new Promise((resolve) => signal?.addEventListener("abort", () => resolve(undefined))),
    };
    const logger = new MemoryLogger();
    const beats = new Heartbeat<BeatContent>({
      site: "lon",
      peers: ["nyc"],
      bus,
      clock,
      logger,
      content: () => CONTENT,
      isContent: isBeatContent,
    });
    const running = beats.run(stop.signal);
    expect(decodeBeat(sent[0] ?? new Uint8Array(), "lon", isBeatContent)).toMatchObject({
      count: 1,
    });
    expect(beats.silenceMs("nyc")).toBe(Number.POSITIVE_INFINITY);

    handlers.get("isthmus.beat.nyc")?.(encodeBeat(BEAT), "isthmus.beat.nyc");
    now += 400;
    handlers.get("isthmus.beat.nyc")?.(Uint8Array.of(1, 2, 3), "isthmus.beat.nyc");
    handlers.get("isthmus.beat.nyc")?.(Uint8Array.of(1, 2, 3), "isthmus.beat.nyc");
    expect(beats.silenceMs("nyc")).toBe(400);
    expect(beats.last("nyc")?.beat).toEqual(BEAT);
    expect(logger.lines.filter(({ level }) => level === "error")).toHaveLength(1);
    stop.abort();
    await running;
    expect(handlers.size).toBe(0);
  });
});
