import { Packr } from "msgpackr";
import { APPLIED_INTERVAL_MS } from "../../topology/limits.ts";
import { appliedSubject, type CacheName, type SiteName } from "../../topology/names.ts";
import type { Bus, Clock } from "../../topology/ports.ts";
import type { Applied, Aside } from "../receive/position-tracker.ts";

/** One cache's applied position in an origin's log, as it travels. */
export interface AppliedPosition extends Applied {
  readonly cache: CacheName;
  readonly incarnation: string;
  readonly aside: Aside;
}

const packr = new Packr({ useRecords: false });
const VERSION = 1;

/**
 * Tells an origin how far this site applied its log: at once when a writer waits, else every
 * {@link APPLIED_INTERVAL_MS} while something moved. Heartbeats carry the positions too, so a lost message delays, no more.
 */
export class AppliedAnnouncer {
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #subject: string;
  readonly #positions: () => readonly AppliedPosition[];
  #cancel: (() => void) | undefined;

  constructor(
    parts: { readonly bus: Bus; readonly clock: Clock },
    origin: SiteName,
    target: SiteName,
    positions: () => readonly AppliedPosition[],
  ) {
    this.#bus = parts.bus;
    this.#clock = parts.clock;
    this.#subject = appliedSubject(origin, target);
    this.#positions = positions;
  }

  /** A position moved. */
  moved(urgent: boolean): void {
    if (urgent) {
      this.#cancel?.();
      this.#send();
    } else if (this.#cancel === undefined) {
      this.#cancel = this.#clock.after(APPLIED_INTERVAL_MS, () => this.#send());
    }
  }

  #send(): void {
    this.#cancel = undefined;
    const rows = this.#positions().map((p) => [
      p.cache,
      p.incarnation,
      p.seq,
      p.ranges,
      p.aside.seqs,
      p.aside.counters,
    ]);
    this.#bus.publish(this.#subject, packr.pack([VERSION, rows]));
  }
}

/** Calls `onApplied` for each position that `target` announces in `origin`'s log; what cannot be read is dropped. */
export function listenApplied(
  bus: Bus,
  origin: SiteName,
  target: SiteName,
  onApplied: (position: AppliedPosition) => void,
): () => void {
  return bus.subscribe(appliedSubject(origin, target), (payload) => {
    for (const position of decodeApplied(payload)) onApplied(position);
  });
}

/** Never throws: the next announcement or heartbeat says the same again. */
export function decodeApplied(payload: Uint8Array): readonly AppliedPosition[] {
  let found: unknown;
  try {
    found = packr.unpack(payload);
  } catch {
    return [];
  }
  if (!Array.isArray(found) || found[0] !== VERSION || !Array.isArray(found[1])) return [];
  const positions: AppliedPosition[] = [];
  for (const row of found[1] as unknown[]) {
    if (!Array.isArray(row)) continue;
    const [cache, incarnation, seq, ranges, seqs, counters] = row as unknown[];
    if (typeof cache !== "string" || typeof incarnation !== "string") continue;
    if (!isSeq(seq) || !Array.isArray(ranges) || !ranges.every(isRange)) continue;
    if (!Array.isArray(seqs) || !seqs.every(isSeq)) continue;
    if (!Array.isArray(counters) || !counters.every(isRange)) continue;
    positions.push({ cache, incarnation, seq, ranges, aside: { seqs, counters } });
  }
  return positions;
}

const isSeq = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

const isRange = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every(isSeq);
