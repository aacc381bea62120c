// Goal: what a writer is told, and what each site holds, when the other site cannot be reached, by `onTimeout`, whatever the kind
// of write. Method: two sites with a real Infinispan each, a front door at nyc, Infinispan's own Java client; the link is cut
// for each kind of write and healed after it.
import { beforeAll, describe, expect, it } from "vitest";
import { freePorts } from "../../deploy/lab/free-ports.ts";
import { ErrorCode } from "../../topology/errors.ts";
import type { JavaCache } from "../support/java-client.ts";
import { until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

const TIMEOUT_MS = 400;
const caches = { failing: {}, degrading: {}, plain: {} };

let door = "";

const sites = shared(async () => {
  const [port = 0] = await freePorts(1);
  door = `127.0.0.1:${port}`;
  const started = await ReplicatedSites.start({
    sites: [
      { name: "nyc", caches, frontDoorPort: port },
      { name: "lon", caches },
    ],
    policies: [
      `{ match: failing, mode: sync, timeout: ${TIMEOUT_MS}ms, onTimeout: fail }`,
      `{ match: degrading, mode: sync, timeout: ${TIMEOUT_MS}ms, onTimeout: degrade }`,
      "{ match: plain, mode: async }",
    ],
  });
  await started.run();
  await until(
    "the front door is open",
    async () => started.site("nyc").site.frontDoor !== undefined,
  );
  return started;
});

const bytes = (text: string) => Buffer.from(text);

/** A kind of write, and what the keys `a` and `b`, which were "old", are after it at the site that did it. */
interface Kind {
  readonly name: string;
  readonly write: (cache: JavaCache) => Promise<unknown>;
  readonly a: string | undefined;
  readonly b: string | undefined;
}

const KINDS: readonly Kind[] = [
  { name: "put", write: (c) => c.put(bytes("a"), bytes("new")), a: "new", b: "old" },
  { name: "replace", write: (c) => c.replace(bytes("a"), bytes("new")), a: "new", b: "old" },
  {
    name: "replaceWithVersion",
    write: async (c) => {
      const found = await c.getWithMetadata(bytes("a"));
      return c.replaceWithVersion(bytes("a"), bytes("new"), found?.version ?? 0n);
    },
    a: "new",
    b: "old",
  },
  { name: "remove", write: (c) => c.remove(bytes("a")), a: undefined, b: "old" },
  {
    name: "putAll",
    write: (c) =>
      c.putAll([
        [bytes("a"), bytes("new")],
        [bytes("b"), bytes("new")],
      ]),
    a: "new",
    b: "new",
  },
  { name: "clear", write: (c) => c.clear(), a: undefined, b: undefined },
];

const shows = async (cache: JavaCache): Promise<Array<string | undefined>> => [
  (await cache.get(bytes("a")))?.toString(),
  (await cache.get(bytes("b")))?.toString(),
];

/** Does a write of the kind while the link is cut; the link is healed, and both sites level, when it resolves. */
async function apart(name: string, kind: Kind) {
  const { hold } = sites().site("nyc").handled(name);
  await until("writers wait", async () => hold?.degraded.size === 0);
  const here = await sites().site("nyc").cache(name);
  const there = await sites().site("lon").cache(name);
  await here.put(bytes("a"), bytes("old"));
  await here.put(bytes("b"), bytes("old"));
  await sites().level(name);
  const through = (await sites().java.connect(door, { maxRetries: 0 })).cache(name);
  sites().cut();
  try {
    const began = Date.now();
    const [told] = await Promise.allSettled([kind.write(through)]);
    const waitedMs = Date.now() - began;
    return { told, waitedMs, here: await shows(here), there: await shows(there) };
  } finally {
    sites().heal();
    await sites().level(name);
  }
}

describe("a write of any kind while the other site cannot be reached", () => {
  beforeAll(() => sites().level("failing"));

  it.each(KINDS.map((kind) => [kind.name, kind] as const))(
    "%s: under fail its writer is told that it failed, it stays at its own site, and the other one has the old state (P15, I10)",
    async (_name, kind) => {
      const { told, waitedMs, here, there } = await apart("failing", kind);
      expect(told.status === "rejected" && String(told.reason)).toMatch(
        /isthmus: lon did not confirm the write within 400 ms; it stays at nyc/,
      );
      expect([here, there]).toEqual([
        [kind.a, kind.b],
        ["old", "old"],
      ]);
      expect(waitedMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 10);
    },
    30_000,
  );

  it.each(KINDS.map((kind) => [kind.name, kind] as const))(
    "%s: under degrade its writer is told that it was done, it stays at its own site, and the other one has the old state (P16, I10)",
    async (_name, kind) => {
      const { told, waitedMs, here, there } = await apart("degrading", kind);
      expect(told.status).toBe("fulfilled");
      expect([here, there]).toEqual([
        [kind.a, kind.b],
        ["old", "old"],
      ]);
      expect(waitedMs).toBeGreaterThanOrEqual(TIMEOUT_MS - 10);
    },
    30_000,
  );

  it("is told of once, not once a write, with its code, the target and the budget, and counted each time (P17)", async () => {
    const { hold } = sites().site("nyc").handled("failing");
    const about = () =>
      sites()
        .site("nyc")
        .logger.lines.map(({ fields }) => fields as Record<string, unknown>)
        .filter(({ code, cache }) => code === ErrorCode.HoldTimeout && cache === "failing");
    const [toldBefore, failedBefore] = [about().length, hold?.stats.failed ?? 0];
    const cache = (await sites().java.connect(door, { maxRetries: 0 })).cache("failing");
    // One that is confirmed ends what was told of before.
    await cache.put(bytes("a"), bytes("confirmed"));
    sites().cut();
    for (let i = 0; i < 3; i++)
      await expect(cache.put(bytes("a"), bytes(`${i}`))).rejects.toThrow(/did not confirm/);
    sites().heal();
    await sites().level("failing");
    await cache.put(bytes("a"), bytes("again"));
    const told = about().slice(toldBefore);
    expect(told.map(({ targets, timeoutMs }) => [targets, timeoutMs])).toEqual([
      [["lon"], TIMEOUT_MS],
    ]);
    expect(hold?.stats.failed).toBe(failedBefore + 3);
  }, 30_000);

  it("is answered at once where nobody is to be waited for, and arrives later (P20, I1)", async () => {
    const cache = (await sites().java.connect(door)).cache("plain");
    sites().cut();
    const began = Date.now();
    await cache.put(bytes("a"), bytes("async"));
    expect(Date.now() - began).toBeLessThan(TIMEOUT_MS);
    sites().heal();
    await sites().level("plain");
    expect((await (await sites().site("lon").cache("plain")).get(bytes("a")))?.toString()).toBe(
      "async",
    );
  }, 30_000);
});
