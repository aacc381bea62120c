import { isDeepStrictEqual } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";

/** What a site tells the other without anybody waiting for it is there by then, ms. */
const SEEN_MS_MAX = 10_000;
/** Between two looks, ms. */
const LOOK_MS = 50;

/** Looks until there is an answer that is neither undefined nor false, and resolves with it. @throws Error after `withinMs`, with what the last look threw */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false>,
  withinMs = SEEN_MS_MAX,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    let cause: unknown;
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > deadline) {
      const why = cause instanceof Error ? `: ${cause.message}` : "";
      throw new Error(`${what}: not within ${withinMs / 1_000} s${why}`, { cause });
    }
    await sleep(LOOK_MS);
  }
}

/** @throws Error that says both, unless they are the same, member by member */
export function same<T>(what: string, found: T, expected: T): void {
  if (isDeepStrictEqual(found, expected)) return;
  throw new Error(`${what}: expected ${inJson(expected)}, found ${inJson(found)}`);
}

/** Looks until what is found is the same as what is expected. @throws Error after `withinMs`, with what was found last */
export function becomes<T>(
  what: string,
  look: () => Promise<T>,
  expected: T,
  withinMs = SEEN_MS_MAX,
): Promise<true> {
  return eventually(
    what,
    async () => {
      same(what, await look(), expected);
      return true as const;
    },
    withinMs,
  );
}

const inJson = (value: unknown): string => JSON.stringify(value) ?? String(value);
