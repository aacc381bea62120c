import { becomes } from "../eventually.ts";
import type { Row } from "../row.ts";

/** A writer of nyc may have waited in vain while lon's Keycloak had not made its caches yet: writers wait again within this, ms. */
const HELD_MS_MAX = 30_000;

/** How the lab stands when both Keycloaks are up. */
export const startRows: readonly Row[] = [
  {
    name: "each cache that Keycloak made is replicated from both sites, and those for logins have their writers wait",
    scenarios: [1],
    async run(lab) {
      // By design nobody waits for these two.
      const live = ["loginFailures", "work"];
      const expected = [...lab.caches.filter((cache) => !live.includes(cache)).sort(), ...live];
      for (const site of lab.names)
        await becomes(
          `the caches of ${site}`,
          async () => {
            const states = await lab.states(site);
            return expected.map((cache) => `${cache} ${states.get(cache)}`);
          },
          expected.map((cache) => `${cache} ${live.includes(cache) ? "live" : "held"}`),
          HELD_MS_MAX,
        );
    },
  },
];
