import type { Step } from "./plan.ts";
import type { Fault, Profile } from "./profile.ts";
import type { Outcome } from "./sim-world.ts";

/** The smallest part of a world that was found to fail still. */
export interface Shrunk {
  readonly profile: Profile;
  readonly plan: readonly Step[];
  readonly failure: Error;
  /** Runs just this part. */
  readonly command: string;
}

/** Worlds that one search runs at most. */
const RUNS_MAX = 150;

/**
 * Leaves out faults and steps of a failing world as long as what is left still breaks the same promise: halves first, then
 * ever smaller parts (Zeller's ddmin).
 */
export async function shrink(
  profile: Profile,
  plan: readonly Step[],
  run: (profile: Profile, plan: readonly Step[]) => Promise<Outcome>,
): Promise<Shrunk> {
  let left = RUNS_MAX;
  let best: { profile: Profile; plan: readonly Step[]; failure: Error } | undefined;
  const fails = async (p: Profile, steps: readonly Step[]): Promise<boolean> => {
    if (left <= 0) return false;
    left -= 1;
    const { failure } = await run(p, steps);
    if (failure === undefined || (best !== undefined && kindOf(failure) !== kindOf(best.failure)))
      return false;
    best = { profile: p, plan: steps, failure };
    return true;
  };
  if (!(await fails(profile, plan))) throw new Error(`seed ${profile.seed} does not fail`);
  const without = (some: readonly Fault[]): [Profile, readonly Step[]] => {
    const faults = new Set<Fault>(some);
    return [{ ...profile, faults }, plan.filter(({ act }) => act === "write" || faults.has(act))];
  };
  const faults = await smallest([...profile.faults], (some) => fails(...without(some)));
  const [calm, steps] = without(faults);
  await smallest(steps, (some) => fails(calm, some));
  if (best === undefined) throw new Error("nothing failed");
  const gone = [...profile.faults].filter((fault) => best?.profile.faults.has(fault) === false);
  return { ...best, command: commandOf(profile.seed, gone, best.plan) };
}

/** The promise that was broken, or how the message begins. */
const kindOf = ({ message }: Error): string =>
  /\(I\d+\)|no rest|siblings differ|a remove shows|\d+ shows$/
    .exec(message)?.[0]
    .replace(/\d+ shows/, "shows") ?? message.replaceAll(/\d+/g, "").slice(0, 20);

/** A part of `items` from which nothing can be left out so that the rest still fails. */
async function smallest<T>(
  items: readonly T[],
  fails: (some: readonly T[]) => Promise<boolean>,
): Promise<readonly T[]> {
  let kept = items;
  for (let size = Math.ceil(kept.length / 2); size >= 1;) {
    let isLess = false;
    for (let from = 0; from < kept.length;) {
      const rest = [...kept.slice(0, from), ...kept.slice(from + size)];
      if (await fails(rest)) {
        kept = rest;
        isLess = true;
      } else from += size;
    }
    if (size === 1 && !isLess) break;
    size = size === 1 ? 1 : Math.ceil(size / 2);
  }
  return kept;
}

function commandOf(seed: number, without: readonly Fault[], plan: readonly Step[]): string {
  const ranges: Array<[number, number]> = [];
  for (const { id } of plan) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === id - 1) last[1] = id;
    else ranges.push([id, id]);
  }
  const steps = ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
  const less = without.length === 0 ? "" : ` --without ${without.join(",")}`;
  return `npm run sim -- --seed ${seed}${less} --steps ${steps || "none"}`;
}
