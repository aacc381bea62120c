import type { JavaCache, JavaEntry } from "./java-client.ts";
import { realClock } from "./real-time.ts";

/** What a writer writes. */
export interface WriterOptions {
  /** Keys that this writer alone writes, and keys that all writers write. */
  readonly ownKeys: number;
  readonly sharedKeys: number;
  /** Share of writes that go to shared keys, and of those to any key that remove. */
  readonly shared: number;
  readonly removes: number;
  /** Between two writes. */
  readonly pauseMs: number;
}

/**
 * An application at one site: writes one after the other until told to stop, and remembers what it was answered. A value says
 * who wrote it and is written once.
 */
export class AcknowledgedWriter {
  /** By key, what the cache may hold if nobody else wrote the key: the last acknowledged value, and any whose write failed since. */
  readonly last = new Map<string, Array<string | undefined>>();
  readonly values = new Set<string>();
  readonly removed = new Set<string>();
  writes = 0;
  failures = 0;
  readonly #site: string;
  readonly #cache: JavaCache;
  readonly #options: WriterOptions;
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor(site: string, cache: JavaCache, options: WriterOptions) {
    this.#site = site;
    this.#cache = cache;
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { ownKeys, sharedKeys, shared, removes, pauseMs } = this.#options;
    while (!this.#stopped) {
      const isShared = Math.random() < shared;
      const n = Math.floor(Math.random() * (isShared ? sharedKeys : ownKeys));
      const name = isShared ? `shared-${n}` : `${this.#site}-${n}`;
      this.writes += 1;
      const isRemove = Math.random() < removes;
      const value = isRemove ? undefined : `${this.#site} ${this.writes} of ${name}`;
      try {
        await this.#write(name, value);
        this.last.set(name, [value]);
      } catch {
        // Whether it was done is not known.
        this.failures += 1;
        this.last.set(name, [...(this.last.get(name) ?? [undefined]), value]);
      }
      await realClock.sleep(pauseMs);
    }
  }

  async #write(name: string, value: string | undefined): Promise<void> {
    if (value === undefined) {
      this.removed.add(name);
      await this.#cache.remove(Buffer.from(name));
      return;
    }
    this.values.add(value);
    const lifespanMs = this.writes % 3 === 0 ? 3_600_000 : 0;
    await this.#cache.put(Buffer.from(name), Buffer.from(value), { lifespanMs });
  }
}

/** Keys that hold something else than what one of their writers was last answered, one line each. */
export function unacknowledged(
  shown: ReadonlyMap<string, JavaEntry>,
  writers: readonly AcknowledgedWriter[],
): string[] {
  const keys = new Set(writers.flatMap((writer) => [...writer.last.keys()]));
  const faults: string[] = [];
  for (const name of keys) {
    const found = shown.get(Buffer.from(name).toString("hex"))?.value.toString();
    const allowed = writers.flatMap((writer) => writer.last.get(name) ?? []);
    if (!allowed.includes(found))
      faults.push(`${name}: ${found}, answered: ${allowed.join(" | ")}`);
  }
  return faults;
}
