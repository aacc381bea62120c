import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { Wakeup } from "../../../topology/wakeup.ts";

/** Whether a promise has resolved once all that is due has run. */
async function hasResolved(promise: Promise<void>): Promise<boolean> {
  let resolved = false;
  void promise.then(() => (resolved = true));
  await new Promise((resolve) => setImmediate(resolve));
  return resolved;
}

describe("a loop that waits for work", () => {
  const never = new AbortController().signal;

  it("is woken by a call, and waits again after it", async () => {
    const wakeup = new Wakeup();
    const first = wakeup.wait(never);
    expect(await hasResolved(first)).toBe(false);
    wakeup.call();
    expect(await hasResolved(first)).toBe(true);
    expect(await hasResolved(wakeup.wait(never))).toBe(false);
  });

  it("finds the calls that came while it was at work, as one", async () => {
    const wakeup = new Wakeup();
    wakeup.call();
    wakeup.call();
    expect(await hasResolved(wakeup.wait(never))).toBe(true);
    expect(await hasResolved(wakeup.wait(never))).toBe(false);
  });

  it("ends its wait with the signal, before or while it waits, and leaves nothing on it", async () => {
    const ending = new AbortController();
    const wakeup = new Wakeup();
    const listeners = () => getEventListeners(ending.signal, "abort").length;
    const waiting = wakeup.wait(ending.signal);
    expect(listeners()).toBe(1);
    ending.abort();
    expect([await hasResolved(waiting), listeners()]).toEqual([true, 0]);
    expect([await hasResolved(wakeup.wait(ending.signal)), listeners()]).toEqual([true, 0]);
  });
});
