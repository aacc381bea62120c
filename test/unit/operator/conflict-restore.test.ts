import { describe, expect, it } from "vitest";
import {
  ConflictRestore,
  type RestoreQuestion,
} from "../../../deploy/operator/conflict-restore.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { dotMs } from "../../../topology/version/dot.ts";
import { arrival } from "../site-agent/applier-bench.ts";
import { OperatorBench } from "./operator-bench.ts";

const restore = (b: OperatorBench, question: Partial<RestoreQuestion>) =>
  b.bench.machine.settle(
    new ConflictRestore(b.parts).restore({
      id: 1,
      author: undefined,
      overChanged: false,
      ...question,
    }),
  );
const refusal = (code: string) => expect.objectContaining({ code });

describe("what lost a conflict", () => {
  it("comes back as a new write of this site, which supersedes what showed", async () => {
    const b = new OperatorBench();
    const id = await b.conflict("mine", "theirs");
    expect(b.bench.cache.text("k")).toBe("theirs");
    const done = await restore(b, { id });
    expect(done).toMatchObject({ outcome: "restored", version: { author: "lon", kind: "put" } });
    expect(done.before?.bytes).toBe(6);
    expect(b.bench.cache.text("k")).toBe("mine");
    expect(b.bench.authors).toEqual(["lon"]);
    expect(b.bench.row?.context.get("lon")).toBe(done.dot);
    expect(b.bench.published.at(-1)).toContain("mine");
    expect(b.journal.conflictRows.get(id)?.restored).toMatchObject({ author: "lon" });
  });

  it("comes back long after the winner was the only version left", async () => {
    const b = new OperatorBench();
    const id = await b.conflict("mine", "theirs");
    const seen = new Map([["lon", b.bench.row?.context.get("lon") ?? 0n]]);
    const at = dotMs(b.bench.row?.context.get("nyc") ?? 0n);
    await b.bench.apply(arrival("nyc", at + 1, "newer", { context: seen }));
    expect(b.bench.authors).toEqual(["nyc"]);
    // It was written since: not without a word.
    expect(await restore(b, { id })).toMatchObject({ outcome: "changed", before: { bytes: 5 } });
    expect(b.bench.cache.text("k")).toBe("newer");
    expect(await restore(b, { id, overChanged: true })).toMatchObject({ outcome: "restored" });
    expect(b.bench.cache.text("k")).toBe("mine");
  });

  it("comes back as a remove when a remove lost", async () => {
    const b = new OperatorBench();
    const id = await b.conflict(undefined, "theirs");
    expect(b.bench.cache.text("k")).toBe("theirs");
    expect(await restore(b, { id })).toMatchObject({
      outcome: "restored",
      version: { kind: "remove" },
    });
    expect(b.bench.cache.text("k")).toBeUndefined();
    expect(b.bench.row?.presence).toBe("tombstone");
    expect(await restore(b, { id })).toMatchObject({ outcome: "already" });
  });

  it("keeps the expiry that it had", async () => {
    const b = new OperatorBench();
    const { clock } = b.bench.machine;
    const id = await b.conflict("mine", "theirs");
    const row = b.journal.conflictRows.get(id);
    if (row === undefined) throw new Error("no row");
    const ends = (expiresAt: number) =>
      b.journal.conflictRows.set(id, {
        ...row,
        siblings: row.siblings.map((s) => ({ ...s, expiresAt, offsetMs: 5_000 })),
      });
    const end = clock.now() + 60_000;
    ends(end);
    await restore(b, { id });
    // Of the author's clock, which this site's is 5 s ahead of.
    expect(b.bench.cache.entries.get("k")).toMatchObject({ expiresAt: end + 5_000 });
    ends(clock.now() - 6_000);
    b.bench.cache.put("k", "other");
    await expect(restore(b, { id, overChanged: true })).rejects.toEqual(
      refusal(ErrorCode.OperationRefused),
    );
    expect(b.bench.cache.text("k")).toBe("other");
  });

  it("is written again when a client was faster, and says so when nobody captures it", async () => {
    const b = new OperatorBench();
    const id = await b.conflict("mine", "theirs");
    let races = 2;
    b.bench.cache.beforeWrite = () => {
      races -= 1;
      if (races >= 0) b.bench.cache.put("k", "theirs");
    };
    b.isCapturing = false;
    // Equal bytes: what the key holds is what the conflict left.
    expect(await restore(b, { id })).toMatchObject({ outcome: "written", dot: undefined });
    expect(b.bench.cache.text("k")).toBe("mine");
  });

  it("is not overwritten twice when a client wrote something else meanwhile", async () => {
    const b = new OperatorBench();
    const id = await b.conflict("mine", "theirs");
    b.bench.cache.beforeWrite = () => b.bench.cache.put("k", "a client's");
    expect(await restore(b, { id })).toMatchObject({ outcome: "changed" });
    expect(b.bench.cache.text("k")).toBe("a client's");
  });

  it("is refused without its bytes, without its row, and by another author than lost", async () => {
    const b = new OperatorBench();
    const id = await b.conflict("mine", "theirs");
    await expect(restore(b, { id: 99 })).rejects.toEqual(refusal(ErrorCode.JournalRowMissing));
    await expect(restore(b, { id, author: "nyc" })).rejects.toEqual(
      refusal(ErrorCode.UsageInvalid),
    );
    const row = b.journal.conflictRows.get(id);
    if (row === undefined) throw new Error("no row");
    const third = { ...row.siblings[0], author: "sgp", dot: 1n } as (typeof row.siblings)[number];
    b.journal.conflictRows.set(id, { ...row, siblings: [...row.siblings, third] });
    // Two lost: which one is for the operator to say.
    await expect(restore(b, { id })).rejects.toEqual(refusal(ErrorCode.UsageInvalid));
    await expect(restore(b, { id, author: "sgp" })).rejects.toEqual(
      refusal(ErrorCode.OperationRefused),
    );
    expect(b.bench.cache.text("k")).toBe("theirs");
  });
});
