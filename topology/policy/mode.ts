/** Every mode of a cache; what each means is in {@link Mode}. */
export const MODES = ["sync", "async", "invalidate", "off", "never"] as const;

/**
 * How a cache is replicated. `sync`: a held writer waits for every online sync target. `async`: the writer never waits.
 * `invalidate`: an arriving change removes the target's copy. `off`: not replicated, can be switched at run time.
 * `never`: a local cache, can never be switched.
 */
export type Mode = (typeof MODES)[number];

/** What happens to a held write whose budget ran out: see {@link OnTimeout}. */
export const ON_TIMEOUTS = ["degrade", "fail"] as const;

/** `degrade`: answer OK and alarm. `fail`: answer an error; the local value stays. */
export type OnTimeout = (typeof ON_TIMEOUTS)[number];
