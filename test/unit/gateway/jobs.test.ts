import { describe, expect, it } from "vitest";
import { Jobs } from "../../../gateway/control/jobs.ts";
import { Turns } from "../../../gateway/resync/turns.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { JOBS_KEPT_MAX, JOBS_RUNNING_MAX } from "../../../topology/limits.ts";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a job of an operator", () => {
  it("says how far it is, then what it found", async () => {
    const jobs = new Jobs();
    let finish = (): void => undefined;
    const id = jobs.start(async (progress) => {
      progress["compared"] = 3;
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      return { found: 1 };
    });
    expect(jobs.view(id)).toEqual({
      id,
      state: "running",
      progress: { compared: 3 },
      result: null,
      error: null,
    });
    finish();
    await turn();
    expect(jobs.view(id)).toMatchObject({ state: "done", result: { found: 1 } });
  });

  it("that fails keeps its code and message", async () => {
    const jobs = new Jobs();
    const id = jobs.start(() =>
      Promise.reject(new IsthmusError(ErrorCode.PeerUnreachable, "away")),
    );
    await turn();
    expect(jobs.view(id)).toMatchObject({
      state: "failed",
      error: { code: ErrorCode.PeerUnreachable, message: "away" },
    });
  });

  it("is refused while too many run, ends with the process, and is forgotten some time after it ended (I12)", async () => {
    const jobs = new Jobs();
    const untilStopped = (_: unknown, signal: AbortSignal): Promise<object> =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      });
    const ids = Array.from({ length: JOBS_RUNNING_MAX }, () => jobs.start(untilStopped));
    const refused = { code: ErrorCode.PeerRefused };
    expect(() => jobs.start(untilStopped)).toThrow(expect.objectContaining(refused));
    jobs.stop();
    await turn();
    const states = ids.map((id) => jobs.view(id).state);
    expect(states).toEqual(ids.map(() => "failed"));
    for (let i = 0; i < JOBS_KEPT_MAX; i++) {
      jobs.start(async () => ({}));
      await turn();
    }
    expect(() => jobs.view(ids[0] ?? 0)).toThrow(expect.objectContaining(refused));
  });
});

describe("turns", () => {
  it("let so many work at once, the others in their order, also after one that failed", async () => {
    const turns = new Turns(2);
    const log: string[] = [];
    const ends: Array<() => void> = [];
    const work = (name: string) =>
      turns.run(async () => {
        log.push(name);
        await new Promise<void>((resolve) => ends.push(resolve));
        if (name === "a") throw new Error("failed");
      });
    const all = ["a", "b", "c", "d"].map((name) => work(name).catch(() => undefined));
    await turn();
    expect(log).toEqual(["a", "b"]);
    ends[0]?.();
    await turn();
    expect(log).toEqual(["a", "b", "c"]);
    for (const end of ends) end();
    await turn();
    for (const end of ends) end();
    await Promise.all(all);
    expect(log).toEqual(["a", "b", "c", "d"]);
  });
});
