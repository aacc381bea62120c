// Goal: a target of 100,000 keys that missed a percent of the changes and of the deletes is level soon, for about what differs,
// and a kill in the middle costs no second transfer. Method: two sites with real servers, lon's Isthmus in a process of its own;
// the link is cut, the other site's log is purged meanwhile, and the difference is repaired by itself.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { logStream } from "../../topology/names.ts";
import { linkTo, until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

const CACHE = "sessions";
const KEYS = 100_000;
const EACH = 1_000;
/** As a session of some attributes. */
const VALUE_BYTES = 1_000;
const LEVEL_MS_MAX = 20_000;

const sites = shared(async () => {
  const started = await ReplicatedSites.start({
    sites: [
      { name: "nyc", caches: { [CACHE]: {} } },
      { name: "lon", caches: { [CACHE]: {} } },
    ],
    policies: [`{ match: ${CACHE}, mode: async }`],
    javaHeapMib: 2_048,
  });
  started.site("nyc").start(started.configure());
  started.site("lon").spawn(started.file);
  await started.live([started.site("nyc")]);
  return started;
});

/** Spread over the order of the ledger, as real keys are. */
const key = (i: number): Buffer => Buffer.from(`${((i * 7_919) % KEYS) + KEYS}-session`);
const value = (text: string): Buffer => Buffer.from(text.padEnd(VALUE_BYTES, "."));
const nyc = () => sites().site("nyc").cache(CACHE);
const lon = () => sites().site("lon").cache(CACHE);

interface Line {
  readonly time: string;
  readonly msg: string;
  readonly received?: number;
  readonly sent?: number;
  /** Of keys and values in the entries that came and went, and of all questions and answers. */
  readonly bytes?: number;
  readonly wireBytes?: number;
}

/** What lon said of gaps, oldest first. */
function gapLines(): Line[] {
  const text = readFileSync(sites().site("lon").child.logFile, "utf8");
  const lines = text.split("\n").filter((line) => line.startsWith("{"));
  return lines
    .map((line) => JSON.parse(line) as Line)
    .filter(({ msg }) => msg.startsWith("gap toward"));
}

async function published(): Promise<void> {
  await until(
    "nyc has published",
    async () => {
      const { agent } = sites().site("nyc").handled(CACHE);
      return agent?.dirty === 0 && agent.outboxRows === 0;
    },
    120_000,
  );
}

/** lon misses EACH changes and EACH deletes from `first` on: nyc's log has none of them any more. */
async function missed(first: number, text: string): Promise<void> {
  sites().cut();
  const cache = await nyc();
  for (let i = 0; i < EACH; i++) {
    await cache.put(key(first + 2 * i), value(`${text} ${i}`));
    await cache.remove(key(first + 2 * i + 1));
  }
  await published();
  const link = await linkTo(sites().site("nyc").nats, "nyc");
  await (await link.manager()).streams.purge(logStream("nyc"));
  await link.close();
}

const closed = (before: number) => async (): Promise<Line | false> =>
  gapLines()
    .slice(before)
    .find(({ msg }) => msg.includes("closed")) ?? false;

/** Whether lon shows one of what it missed, by its place among them. */
async function has(first: number, i: number, text: string): Promise<boolean> {
  const found = await (await lon()).get(key(first + 2 * i));
  return found?.equals(value(`${text} ${i}`)) === true;
}

async function expectEqual(size: number): Promise<void> {
  const [a, b] = await Promise.all([(await nyc()).entries(), (await lon()).entries()]);
  expect([a.size, b.size]).toEqual([size, size]);
  for (const [name, { value: bytes }] of a)
    expect(b.get(name)?.value.equals(bytes), name).toBe(true);
}

describe("a target of 100,000 keys that missed a percent of the changes and of the deletes", () => {
  it("is level by itself within 20 s, and nothing is sent that does not differ (I2, I3, I7)", async () => {
    const cache = await nyc();
    for (let from = 0; from < KEYS; from += 1_000) {
      await cache.putAll(
        Array.from(
          { length: 1_000 },
          (_, i) => [key(from + i), value(`first ${from + i}`)] as const,
        ),
      );
    }
    await published();
    await until("lon has all", async () => (await lon()).get(key(KEYS - 1)), 300_000);
    await until(
      "all is confirmed",
      async () => {
        return sites().site("nyc").handled(CACHE).unconfirmed.get("lon")?.atRisk().mutations === 0;
      },
      300_000,
    );
    await missed(0, "changed");
    sites().heal();
    const done = await until("the gap is closed", closed(0), 120_000);
    const opened = gapLines()[0];
    const resyncMs = Date.parse(done.time) - Date.parse(opened?.time ?? "");
    expect(resyncMs).toBeLessThan(LEVEL_MS_MAX);
    expect((done.received ?? 0) + (done.sent ?? 0)).toBeLessThanOrEqual(2 * 2 * EACH);
    expect(done.wireBytes).toBeLessThanOrEqual(2 * (done.bytes ?? 0));
    process.stdout.write(
      `resync: ${resyncMs} ms, ${done.received} entries, ${done.wireBytes} bytes for ${done.bytes}\n`,
    );
    await expectEqual(KEYS - EACH);
  }, 900_000);

  it("goes on where it stood when it is killed half-way, and sends no more than the rest again (I6)", async () => {
    const first = 4 * EACH;
    await missed(first, "again");
    const before = gapLines().length;
    sites().heal();
    // Keys go in the order of the ledger: of what lies in its middle lon has one by then.
    const middle = Array.from({ length: EACH }, (_, i) => i).find((i) => {
      return String(key(first + 2 * i)) > `${KEYS + KEYS / 2}`;
    });
    await until("half of it came", () => has(first, middle ?? 0, "again"), 120_000);
    await sites().site("lon").kill();
    sites().site("lon").spawn(sites().file);
    const done = await until("the gap is closed", closed(before), 240_000);
    await expectEqual(KEYS - 2 * EACH);
    expect((done.received ?? 0) + (done.sent ?? 0)).toBeLessThanOrEqual(2 * 2 * EACH);
  }, 900_000);
});
