import { describe, expect, it } from "vitest";
import { entryState, wireExpiration } from "../../../site-agent/connector/entry-state.ts";
import { TimeUnit } from "../../../topology/hotrod/expiration.ts";

const metadata = {
  createdMs: 5_000,
  lifespanSeconds: 60,
  lastUsedMs: 7_000,
  maxIdleSeconds: 30,
  entryVersion: -7n,
};

describe("an entry's metadata", () => {
  it("becomes an absolute expiry and a max-idle in ms", () => {
    const state = entryState(metadata, Buffer.from("v"));
    expect(state).toEqual({
      value: Buffer.from("v"),
      token: -7n,
      createdAt: 5_000,
      lastUsedAt: 7_000,
      expiresAt: 65_000,
      maxIdleMs: 30_000,
    });
  });

  it("of 0 seconds is within a second, never for ever", () => {
    const state = entryState(
      { ...metadata, lifespanSeconds: 0, maxIdleSeconds: 0 },
      Buffer.alloc(0),
    );
    expect(state.expiresAt).toBe(6_000);
    expect(state.maxIdleMs).toBe(1_000);
  });

  it("without durations is for ever, and without a time", () => {
    const none = {
      createdMs: undefined,
      lifespanSeconds: undefined,
      lastUsedMs: undefined,
      maxIdleSeconds: undefined,
      entryVersion: 1n,
    };
    expect(entryState(none, Buffer.alloc(0))).toMatchObject({
      createdAt: 0,
      lastUsedAt: 0,
      expiresAt: 0,
      maxIdleMs: 0,
    });
  });

  it("is copied from the frame that it came in", () => {
    const frame = Buffer.from("value");
    const state = entryState(metadata, frame);
    frame.fill(0);
    expect(state.value.toString()).toBe("value");
  });
});

describe("an expiration on the wire", () => {
  const lifespan = (ms: number) => wireExpiration({ lifespanMs: ms, maxIdleMs: 0 }).lifespan;

  it("is infinite for 0, and never the cache's default", () => {
    expect(lifespan(0)).toEqual({ unit: TimeUnit.Infinite, amount: 0n });
    for (const ms of [0.1, 1, 1.5, -3, 1e12]) expect(lifespan(ms).unit).toBe(TimeUnit.Milliseconds);
  });

  it("is at least a ms for what is over already, and rounded up", () => {
    expect([0.1, 1, 1.5, -3].map((ms) => lifespan(ms).amount)).toEqual([1n, 1n, 2n, 1n]);
  });
});
