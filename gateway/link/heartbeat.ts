import { Packr } from "msgpackr";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { BEAT_BYTES_MAX, BEAT_INTERVAL_MS } from "../../topology/limits.ts";
import { beatSubject } from "../../topology/names.ts";
import type { SiteName } from "../../topology/names.ts";
import type { Bus, Clock, LogState, Logger } from "../../topology/ports.ts";
import type { Aside } from "../receive/position-tracker.ts";

/**
 * The heartbeat's own version, apart from the batches'.
 *
 * Changelog: 1 (2026-08), the first.
 */
export const BEAT_VERSION = 1;

/** What every heartbeat says of its site's own log and of what it applied; the composition adds its own fields. */
export interface BeatContent {
  readonly epoch: number;
  readonly term: number;
  /** Of the site's own log; undefined while it has none. */
  readonly incarnation: string | undefined;
  readonly log: LogState | undefined;
  /** Cache to the sequence of its newest confirmed record, the outbox rows behind that, and the newest dot of them all. */
  readonly ends: Readonly<
    Record<string, { readonly logSeq: number; readonly outboxRows: number; readonly dot: bigint }>
  >;
  /** Origin to cache to the position applied here, and the newest dot such that it and all before it was applied. */
  readonly applied: Readonly<
    Record<
      SiteName,
      Readonly<
        Record<
          string,
          {
            readonly incarnation: string;
            readonly seq: number;
            readonly dot: bigint;
            /** Something of that origin may be missing here. */
            readonly gap?: boolean;
            readonly aside?: Aside;
          }
        >
      >
    >
  >;
  /** Cache to the hash of its conflict policy. */
  readonly policyHashes: Readonly<Record<string, string>>;
  /** Caches that are not as they should be here, and how. A site that says nothing of them has none, or is of an older release. */
  readonly troubles?: Readonly<Record<string, CacheTrouble>>;
  /** Site to cache to since when nothing of that site is taken, ms since the epoch: until it is re-seeded. */
  readonly refused?: Readonly<Record<SiteName, Readonly<Record<string, number>>>>;
  /** Cache to how this site was re-seeded last. */
  readonly reseeded?: Readonly<Record<string, Reseeded>>;
}

/** A site's content was replaced by another one's. */
export interface Reseeded {
  /** Its own changes up to here are void. */
  readonly upTo: bigint;
  /** Site to the refusal that this ends, by its time. */
  readonly answers: Readonly<Record<SiteName, number>>;
}

/** Paused by an operator; cannot be used; or local changes of it may have been missed. */
export type CacheTrouble = "paused" | "blocked" | "gap";

/** One heartbeat. */
export interface Beat<C> {
  readonly site: SiteName;
  /** When it was sent, ms since the epoch in the sender's clock. */
  readonly at: number;
  /** Rises by one a beat within a process, so that a receiver can count what was lost. */
  readonly count: number;
  readonly content: C;
}

/** The last heartbeat of a peer, and when it came. */
export interface HeardBeat<C> {
  readonly beat: Beat<C>;
  /** On this process's monotonic clock. */
  readonly heardAtMs: number;
}

/** What {@link Heartbeat} needs. */
export interface HeartbeatParts<C extends object> {
  readonly site: SiteName;
  readonly peers: readonly SiteName[];
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called for each beat; must be quick. */
  readonly content: () => C;
  /** Whether what a peer sent is such a content: a heartbeat that is not counts as none. */
  readonly isContent: (content: object) => content is C;
  /** Called for each beat of a peer, in order. */
  readonly onBeat?: (heard: HeardBeat<C>) => void;
}

/** Sends this site's heartbeat every `BEAT_INTERVAL_MS` and keeps the peers' last ones. */
export class Heartbeat<C extends object = BeatContent> {
  readonly #parts: HeartbeatParts<C>;
  readonly #heard = new Map<SiteName, HeardBeat<C>>();
  readonly #unreadable = new Set<SiteName>();
  #count = 0;

  constructor(parts: HeartbeatParts<C>) {
    this.#parts = parts;
  }

  /** A peer's last heartbeat; undefined: none came since this process started. */
  last(peer: SiteName): HeardBeat<C> | undefined {
    return this.#heard.get(peer);
  }

  /** How long a peer has been silent, ms; Infinity: it was never heard. */
  silenceMs(peer: SiteName): number {
    const heard = this.#heard.get(peer);
    if (heard === undefined) return Number.POSITIVE_INFINITY;
    return this.#parts.clock.monotonic() - heard.heardAtMs;
  }

  /** Sends and listens until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { bus, clock, peers } = this.#parts;
    const ends = peers.map((peer) =>
      bus.subscribe(beatSubject(peer), (payload) => this.#received(peer, payload)),
    );
    try {
      while (!signal.aborted) {
        this.send();
        await clock.sleep(BEAT_INTERVAL_MS, signal);
      }
    } finally {
      for (const end of ends) end();
    }
  }

  /** Sends one now, beside the regular ones: when something changed that peers wait for. */
  send(): void {
    const { site, bus, clock, content } = this.#parts;
    const beat = { site, at: clock.now(), count: ++this.#count, content: content() };
    bus.publish(beatSubject(site), encodeBeat(beat));
  }

  #received(peer: SiteName, payload: Uint8Array): void {
    const { clock, logger, onBeat, isContent } = this.#parts;
    let beat: Beat<C>;
    try {
      beat = decodeBeat(payload, peer, isContent);
    } catch (error) {
      if (!(error instanceof IsthmusError)) throw error;
      // Once a peer: four lines a second would bury the log. The peer counts as silent, which raises its own alarm.
      if (!this.#unreadable.has(peer)) logger.error({ peer, code: error.code }, error.message);
      this.#unreadable.add(peer);
      return;
    }
    this.#unreadable.delete(peer);
    const heard = { beat, heardAtMs: clock.monotonic() };
    this.#heard.set(peer, heard);
    onBeat?.(heard);
  }
}

const packr = new Packr({ useRecords: false });

/** A heartbeat as it travels: msgpack of `[BEAT_VERSION, site, at, count, content]`. */
export const encodeBeat = (beat: Beat<object>): Uint8Array =>
  packr.pack([BEAT_VERSION, beat.site, beat.at, beat.count, beat.content]);

/**
 * The inverse of {@link encodeBeat}.
 *
 * @throws PeerMessageInvalid when it is too large, no heartbeat, of another version, or says that it is another site's
 */
export function decodeBeat<C extends object>(
  payload: Uint8Array,
  from: SiteName,
  isContent: (content: object) => content is C,
): Beat<C> {
  const fault = (why: string, cause?: unknown): IsthmusError =>
    new IsthmusError(ErrorCode.PeerMessageInvalid, `heartbeat of ${from}: ${why}`, {
      hint: "run the same version of Isthmus at every site",
      cause,
    });
  if (payload.length > BEAT_BYTES_MAX)
    throw fault(`expected at most ${BEAT_BYTES_MAX} bytes, found ${payload.length}`);
  let found: unknown;
  try {
    found = packr.unpack(payload);
  } catch (cause) {
    throw fault("not msgpack", cause);
  }
  if (!Array.isArray(found)) throw fault("not a heartbeat");
  const [version, site, at, count, content] = found as readonly unknown[];
  if (version !== BEAT_VERSION)
    throw fault(`expected version ${BEAT_VERSION}, found ${String(version)}`);
  if (site !== from) throw fault(`it says that it comes from ${String(site)}`);
  if (typeof at !== "number" || typeof count !== "number") throw fault("not a heartbeat");
  if (typeof content !== "object" || content === null) throw fault("not a heartbeat");
  if (!isContent(content)) throw fault("it says something else than a heartbeat of this version");
  return { site: from, at, count, content };
}
