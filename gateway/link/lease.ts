import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { LEASE_RENEW_MS, LEASE_TTL_MS, LINK_RETRY_MIN_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { Clock, LeaseStore, Logger } from "../../topology/ports.ts";
import {
  decideAcquire,
  decideRenew,
  decodeLease,
  describeHolder,
  encodeLease,
} from "./lease-rule.ts";
import type { LeaseHolder, LeaseRecord, Predecessor, SeenLease } from "./lease-rule.ts";

/** Both in ms; the defaults are `LEASE_TTL_MS` and `LEASE_RENEW_MS`. */
export interface LeaseTimes {
  readonly ttlMs: number;
  readonly renewMs: number;
}

const DEFAULT_TIMES: LeaseTimes = { ttlMs: LEASE_TTL_MS, renewMs: LEASE_RENEW_MS };

/**
 * The lease that makes a process its site's only active one.
 *
 * Every cache write and every dot needs `deadline()` later than now plus its operation's timeout. The deadline only comes
 * from a write that succeeded, counted from before it began, on this process's monotonic clock; the successor waits it out.
 */
export class Lease {
  /** The acquiring write's revision: rises with each holder. */
  readonly term: number;
  readonly #site: SiteName;
  readonly #store: LeaseStore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #times: LeaseTimes;
  readonly #record: LeaseRecord;
  #revision: number;
  #deadlineMs: number;

  private constructor(
    acquiring: Acquiring,
    record: LeaseRecord,
    revision: number,
    deadlineMs: number,
  ) {
    this.term = revision;
    this.#site = acquiring.site;
    this.#store = acquiring.store;
    this.#clock = acquiring.clock;
    this.#logger = acquiring.logger;
    this.#times = acquiring.times ?? DEFAULT_TIMES;
    this.#record = { ...record, term: revision };
    this.#revision = revision;
    this.#deadlineMs = deadlineMs;
  }

  /**
   * Resolves once this process holds the lease; a lease left by a crash is waited out (of a predecessor, only what it had
   * begun), and with `standby` a living holder too. NATS being away is waited out. Rejects with the signal's reason when that aborts.
   *
   * @throws LeaseHeld when another process is alive and `standby` is false; names it
   */
  static async acquire(acquiring: Acquiring, signal: AbortSignal): Promise<Lease> {
    const { site, store, clock, holder, standby, logger, predecessor } = acquiring;
    const times = acquiring.times ?? DEFAULT_TIMES;
    const record: LeaseRecord = { ...holder, term: 0, ttlMs: times.ttlMs, released: false };
    let first: SeenLease | undefined;
    let seen: SeenLease | undefined;
    for (;;) {
      signal.throwIfAborted();
      try {
        seen = await look(store, clock, seen);
        first ??= seen;
        const step = decideAcquire(first, seen, clock.monotonic(), standby, predecessor);
        if (step.kind === "refuse") throw heldError(site, step.holder);
        if (step.kind === "wait") {
          const leftMs = step.untilMs - clock.monotonic();
          await clock.sleep(Math.max(1, Math.min(leftMs, times.renewMs / 2)), signal);
          continue;
        }
        const beganMs = clock.monotonic();
        const revision = await store.write(encodeLease(record), step.expectedRevision);
        if (revision !== undefined)
          return new Lease(acquiring, record, revision, beganMs + times.ttlMs);
      } catch (error) {
        if (!isAway(error)) throw error;
        logger.warn({ site, code: error.code }, error.message);
        await clock.sleep(times.renewMs / 2, signal);
      }
    }
  }

  /** Until when, on the monotonic clock, this process is the active one for sure. */
  deadline(): number {
    return this.#deadlineMs;
  }

  /**
   * Renews until the signal aborts, then releases the lease. While NATS is away the deadline passes, and comes back with the
   * first renewal if nobody else took the lease meanwhile: the term is still this process's own.
   *
   * @throws LeaseLost when another process holds it
   */
  async run(signal: AbortSignal): Promise<void> {
    let beganMs = this.#clock.monotonic();
    while (!signal.aborted) {
      const leftMs = beganMs + this.#times.renewMs - this.#clock.monotonic();
      await this.#clock.sleep(Math.max(leftMs, LINK_RETRY_MIN_MS), signal);
      beganMs = this.#clock.monotonic();
      if (!signal.aborted) await this.renew();
    }
    // Nothing of this process may act under the lease once it is given back.
    this.#deadlineMs = Number.NEGATIVE_INFINITY;
    try {
      await this.#store.write(encodeLease({ ...this.#record, released: true }), this.#revision);
    } catch (error) {
      // Then the successor waits the deadline out, as after a crash.
      if (!isAway(error)) throw error;
    }
  }

  /** One renewal; a failure on the way leaves the deadline as it is. @throws LeaseLost */
  async renew(): Promise<void> {
    const beganMs = this.#clock.monotonic();
    try {
      const revision = await this.#store.write(encodeLease(this.#record), this.#revision);
      if (revision === undefined) {
        await this.#judge();
        return;
      }
      this.#revision = revision;
      this.#deadlineMs = beganMs + this.#times.ttlMs;
    } catch (error) {
      if (!isAway(error)) throw error;
      const leftMs = Math.round(this.#deadlineMs - this.#clock.monotonic());
      this.#logger.warn({ site: this.#site, code: error.code, leftMs }, error.message);
    }
  }

  /** A renewal found another revision: an earlier one of ours whose answer was lost, or another holder. */
  async #judge(): Promise<void> {
    const stored = await this.#store.read();
    const found =
      stored === undefined
        ? undefined
        : { record: decodeLease(stored.value), revision: stored.revision };
    const verdict = decideRenew(this.#record.holderId, found);
    if (verdict.kind === "ours") {
      // The next renewal, from this revision, moves the deadline.
      this.#revision = verdict.revision;
      return;
    }
    this.#deadlineMs = Number.NEGATIVE_INFINITY;
    const by = found === undefined ? "it was deleted" : `held by ${describeHolder(found.record)}`;
    throw new IsthmusError(ErrorCode.LeaseLost, `${this.#site}: the lease is lost: ${by}`, {
      hint: "start this process with --standby to have it wait",
    });
  }
}

/** What {@link Lease.acquire} needs. */
export interface Acquiring {
  readonly site: SiteName;
  readonly store: LeaseStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly holder: LeaseHolder;
  readonly standby: boolean;
  /** undefined: none, or none is known. */
  readonly predecessor?: Predecessor | undefined;
  readonly times?: LeaseTimes;
}

async function look(
  store: LeaseStore,
  clock: Clock,
  before: SeenLease | undefined,
): Promise<SeenLease | undefined> {
  const stored = await store.read();
  if (stored === undefined) return undefined;
  if (stored.revision === before?.revision) return before;
  // After the read: the later time is the safe one to count a deadline from.
  const seenAtMs = clock.monotonic();
  return { record: decodeLease(stored.value), revision: stored.revision, seenAtMs };
}

/** Failures that pass, by themselves or once an operator made room; the deadline keeps everything safe meanwhile. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.NatsUnreachable,
  ErrorCode.LogTimeout,
  ErrorCode.LogFull,
]);

const isAway = (error: unknown): error is IsthmusError =>
  error instanceof IsthmusError && PASSING.has(error.code);

const heldError = (site: SiteName, holder: LeaseHolder): IsthmusError =>
  new IsthmusError(
    ErrorCode.LeaseHeld,
    `${site} is active already: its lease is held by ${describeHolder(holder)}`,
    { hint: "stop that process, or start this one with --standby" },
  );
