// Goal: a site with many caches raises no warning of Node's: each would stand in the operator's log.
// Method: two sites with embedded caches, all in this process; writes while the link is cut, then the ledgers are lost.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

const CACHES = Array.from({ length: 24 }, (_, i) => `cache-${i}`);

const warnings: string[] = [];
const onWarning = (warning: Error): void => {
  warnings.push(warning.stack ?? String(warning));
};
beforeAll(() => {
  process.on("warning", onWarning);
});
afterAll(() => {
  process.off("warning", onWarning);
});

const sites = shared(() =>
  ReplicatedSites.start({
    sites: [{ name: "nyc" }, { name: "lon" }],
    policies: CACHES.map((name) => `{ match: ${name}, mode: async }`),
  }),
);

async function write(text: string): Promise<void> {
  for (const site of sites().all)
    for (const name of CACHES) {
      const cache = await site.cache(name);
      for (let i = 0; i < 5; i++)
        await cache.put(Buffer.from(`${site.name} ${i}`), Buffer.from(text));
    }
}

describe("two sites with many caches", () => {
  it("replicate all of them, over a cut link and a lost ledger, without a warning of a leak", async () => {
    await sites().run();
    sites().cut();
    await write("while the link was cut");
    sites().heal();
    for (const name of CACHES) expect((await sites().level(name)).size).toBe(10);
    await sites().stop();
    sites().newLedgers();
    await sites().run();
    await write("with a new ledger");
    for (const name of CACHES) expect((await sites().level(name)).size).toBe(10);
    expect(warnings).toEqual([]);
  });
});
