import { describe, expect, it } from "vitest";
import { LetterRetry } from "../../../deploy/operator/letter-retry.ts";
import { DeadLetterRetry } from "../../../gateway/receive/dead-letter-retry.ts";
import type { Receiving } from "../../../gateway/receive/accept.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { type BatchHeader, encodeBatch } from "../../../topology/mutation/batch.ts";
import type { CacheHands } from "../../../topology/ports.ts";
import { makeDot } from "../../../topology/version/dot.ts";
import { arrival } from "../site-agent/applier-bench.ts";
import { ReceiverBench } from "../gateway/receiver-bench.ts";
import { OperatorBench } from "./operator-bench.ts";

const HEADER: BatchHeader = {
  origin: "nyc",
  cache: "sessions",
  epoch: 1,
  term: 1,
  incarnation: "i",
  counter: 1,
  policyHash: "p",
  mode: "async",
  offsets: new Map(),
  mediaType: "text/plain",
  held: false,
};

class Letters extends OperatorBench {
  /** What an apply writes is no local change. */
  override isCapturing = false;
  failure: Error | undefined;
  receiving: Receiving = {
    origin: "nyc",
    cache: "sessions",
    mode: "async",
    isTarget: true,
    policyHash: "p",
    originPolicyHash: "p",
    mediaType: "text/plain",
  };

  letter(payload: Uint8Array): number {
    const what = { origin: "nyc", cache: "sessions", seq: 7, key: "k", dot: makeDot(5, 0) };
    this.journal.addDeadLetter({ ...what, reason: "r", payload });
    return this.journal.allDeadLetters().at(-1)?.[0] ?? 0;
  }

  /** A letter of one put of key k at nyc, at ms 5. */
  put(value = "v"): number {
    const mutation = { ...arrival("nyc", 5, value), key: "k" };
    return this.letter(encodeBatch(HEADER, [mutation]));
  }

  retry(id: number, valueBytesMax = 1_000) {
    const hands = {
      apply: (key, arrivals) =>
        this.failure === undefined
          ? this.bench.applier.apply(key, arrivals)
          : Promise.reject(this.failure),
    } as CacheHands;
    const retry = new DeadLetterRetry({
      site: "lon",
      origin: "nyc",
      hands,
      receiving: () => this.receiving,
      offsetMs: () => 0,
    });
    const retryOf = (_cache: string, origin: string) => (origin === "nyc" ? retry : undefined);
    const letters = new LetterRetry({ ...this.parts, valueBytesMax, retryOf });
    return this.bench.machine.settle(letters.retry(id));
  }

  get left(): number {
    return this.journal.deadLetterRows.size.rows;
  }
}

const refusal = (code: string) => expect.objectContaining({ code });

describe("a dead letter", () => {
  it("is applied as what arrives is, and leaves the journal", async () => {
    const b = new Letters();
    const { outcomes } = await b.retry(b.put());
    expect(outcomes).toEqual([{ key: "k", outcome: "written" }]);
    expect([b.bench.cache.text("k"), b.left]).toEqual(["v", 0]);
    expect(b.bench.authors).toEqual(["nyc"]);
    // It is the same version: nothing of it is this site's own.
    expect(b.bench.published).toEqual([]);
  });

  it("of a version that was superseded meanwhile does nothing", async () => {
    const b = new Letters();
    const id = b.put();
    await b.bench.apply(arrival("nyc", 6, "newer"));
    expect((await b.retry(id)).outcomes).toEqual([{ key: "k", outcome: "covered" }]);
    expect([b.bench.cache.text("k"), b.left]).toEqual(["newer", 0]);
  });

  it("that fails again stays, and so does one that cannot be decoded yet", async () => {
    const b = new Letters();
    const id = b.put();
    b.failure = new IsthmusError(ErrorCode.HotRodServer, "refused once more");
    await expect(b.retry(id)).rejects.toThrow("refused once more");
    await expect(b.retry(b.letter(Buffer.from("garbage")))).rejects.toEqual(
      refusal(ErrorCode.WireMalformed),
    );
    await expect(b.retry(99)).rejects.toEqual(refusal(ErrorCode.JournalRowMissing));
    expect(b.left).toBe(2);
  });

  it("is not applied where a batch of today would not be: off, local, another policy (I9)", async () => {
    for (const receiving of [{ mode: "off" }, { mode: "never" }, { policyHash: "q" }] as const) {
      const b = new Letters();
      b.receiving = { ...b.receiving, ...receiving };
      await expect(b.retry(b.put())).rejects.toEqual(refusal(ErrorCode.OperationRefused));
      expect([b.bench.cache.text("k"), b.left]).toEqual([undefined, 1]);
    }
  });

  it("of a change that was too large is sent as the cache holds it now, once that is small enough", async () => {
    const b = new Letters();
    b.isCapturing = true;
    await b.bench.machine.settle(b.bench.dots.ready());
    const id = () => b.journal.allDeadLetters().at(-1)?.[0] ?? 0;
    b.bench.cache.put("k", "x".repeat(900), { maxIdleMs: 60_000 });
    b.journal.addUnsendable("sessions", "k", 900);
    await expect(b.retry(id(), 800)).rejects.toEqual(refusal(ErrorCode.OperationRefused));
    expect((await b.retry(id())).outcomes).toEqual([{ key: "k", outcome: "sent" }]);
    expect(b.bench.cache.entries.get("k")).toMatchObject({ maxIdleMs: 60_000 });
    expect(b.bench.published.at(-1)).toContain("xxx");
    b.journal.addUnsendable("sessions", "gone", 900);
    expect((await b.retry(id())).outcomes).toEqual([{ key: "gone", outcome: "gone" }]);
    expect(b.left).toBe(0);
  });

  it("as the receiver sets it aside holds its own mutation, and not its batch", async () => {
    const bench = new ReceiverBench();
    bench.onApply = (key) => {
      if (key === "bad") throw new IsthmusError(ErrorCode.HotRodProtocol, "cannot be applied");
    };
    const busy = setKeys(bench);
    await bench.machine.until(() => bench.letters.length > 0);
    const [letter] = bench.letters;
    expect(letter).toMatchObject({ key: "bad", dot: makeDot(1_000, 0), origin: "nyc" });
    const retry = new DeadLetterRetry({
      site: "lon",
      origin: "nyc",
      hands: { apply: async () => "written" } as unknown as CacheHands,
      receiving: () => bench.receiving,
      offsetMs: () => 0,
    });
    expect(await retry.retry(letter?.payload ?? Buffer.alloc(0))).toEqual([
      { key: "bad", outcome: "written" },
    ]);
    busy.stop();
  });
});

/** A batch with a key that fails, among keys that succeed all the time. */
function setKeys(bench: ReceiverBench): { stop: () => void } {
  bench.mirror.add(
    bench.batch([
      ["bad", 1_000],
      ["good", 1_001],
    ]),
  );
  let cancel = () => {};
  let at = 2_000;
  const more = (): void => {
    bench.mirror.add(bench.batch([["good", at++]]));
    cancel = bench.machine.clock.after(1_000, more);
  };
  more();
  return { stop: () => cancel() };
}
