import { ACTS, type Act, type Profile } from "./profile.ts";
import { SimRandom } from "./sim-random.ts";

/**
 * One thing that happens to a world from outside: a client's operation, or a fault. It carries all that it draws, so leaving
 * out one step changes no other.
 */
export interface Step {
  /** Its place in the plan: the value that it writes says it. */
  readonly id: number;
  /** Virtual ms. */
  readonly at: number;
  readonly site: string;
  readonly act: "write" | Act;
  /** Numbers in [0, 1) that decide the rest. */
  readonly draws: readonly number[];
}

const DRAWS = 7;
const ACTS_MAX = 7;

/** Everything that is to happen in a world, in the order of time. */
export function drawPlan(profile: Profile): Step[] {
  const random = new SimRandom(profile.seed ^ 0x91a2);
  const { sites, faults, durationMs, paceMs, restMs } = profile;
  const steps: Array<Omit<Step, "id">> = [];
  const add = (act: Step["act"], site: string, when: number): void => {
    const at = when > durationMs / 2 ? when + restMs : when;
    steps.push({ at, site, act, draws: Array.from({ length: DRAWS }, () => random.next()) });
  };
  for (const site of sites) {
    for (let at = random.between(0, 2 * paceMs); at < durationMs;) {
      add("write", site, at);
      at += random.between(0, 2 * paceMs);
    }
  }
  const acts = ACTS.filter((act) => faults.has(act));
  const count = acts.length === 0 ? 0 : 1 + random.below(ACTS_MAX);
  for (let i = 0; i < count; i++) {
    add(random.pick(acts), random.pick(sites), random.between(0, durationMs));
  }
  steps.sort((a, b) => a.at - b.at);
  return steps.map((step, id) => ({ id, ...step }));
}
