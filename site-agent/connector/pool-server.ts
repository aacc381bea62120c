import { backOffMs } from "../../topology/back-off.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { Clock, Random } from "../../topology/ports.ts";
import type { HotRodConnection } from "./connection.ts";
import { addressText } from "./socket.ts";
import type { ServerAddress } from "./socket.ts";

/** Bounds of the waits before a server is tried again, ms; the defaults are in topology/limits.ts. */
export interface RetryLimits {
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
  readonly notReadyMinMs: number;
  readonly notReadyMaxMs: number;
}

/** One server of a pool: its shared connections, how it fared, and when it may be tried again. */
export class PoolServer {
  readonly address: ServerAddress;
  /** Its shared connections; one that just broke is there for a moment still. */
  readonly open = new Set<HotRodConnection>();
  /** The attempt to add a connection that is under way. */
  connecting: Promise<void> | undefined;
  lastError: IsthmusError | undefined;
  readonly #limits: RetryLimits;
  readonly #clock: Clock;
  readonly #random: Random;
  #isDoubted = false;
  /** Attempts in a row that failed. */
  #failures = 0;
  /** Times in a row that it was found not ready. */
  #timesNotReady = 0;
  #notBefore = 0;

  constructor(address: ServerAddress, limits: RetryLimits, clock: Clock, random: Random) {
    this.address = address;
    this.#limits = limits;
    this.#clock = clock;
    this.#random = random;
  }

  /** Its shared connections that are open. */
  get connections(): HotRodConnection[] {
    return [...this.open].filter((connection) => connection.isOpen);
  }

  /** Whether it was lost, or could not be had, and has not come back yet. */
  get isDoubted(): boolean {
    return this.#isDoubted;
  }

  /** Whether it can be counted on: it has a connection, and is not one that just comes back. */
  get isWorking(): boolean {
    return !this.#isDoubted && this.connections.length > 0;
  }

  /** Whether it is left alone now. */
  get isPaused(): boolean {
    return this.#clock.monotonic() < this.#notBefore;
  }

  /** Why it has no connection. */
  get reason(): IsthmusError {
    return (
      this.lastError ??
      new IsthmusError(ErrorCode.CacheUnreachable, `${addressText(this.address)}: not tried yet`)
    );
  }

  /** A connection was made. */
  add(connection: HotRodConnection): void {
    this.#failures = 0;
    this.#isDoubted = false;
    this.open.add(connection);
  }

  /** A shared connection was closed. */
  lost(connection: HotRodConnection, reason: IsthmusError): void {
    this.open.delete(connection);
    this.lastError = reason;
    if (this.connections.length === 0) this.#isDoubted = true;
  }

  /** An attempt to connect failed: it is left alone for a moment. */
  failed(error: IsthmusError): void {
    const { retryMinMs, retryMaxMs } = this.#limits;
    this.lastError = error;
    this.#isDoubted = true;
    this.#pause(retryMinMs, this.#failures, retryMaxMs);
    this.#failures++;
  }

  /**
   * It said that it is not ready, or did not answer the probe: closes what it has and leaves it alone, for longer each time
   * until it has worked for a while; not so long when no other server works.
   */
  foundNotReady(othersWork: boolean): void {
    const { notReadyMinMs, notReadyMaxMs, retryMaxMs } = this.#limits;
    // What was asked at the same time says the same once more.
    if (this.isPaused && this.#timesNotReady > 0) return;
    if (this.#clock.monotonic() > this.#notBefore + notReadyMaxMs) this.#timesNotReady = 0;
    this.#pause(notReadyMinMs, this.#timesNotReady, othersWork ? notReadyMaxMs : retryMaxMs);
    this.#timesNotReady++;
    this.#isDoubted = true;
    for (const connection of this.open) connection.close("another connection was told: not ready");
  }

  /** Doubled each time, bounded, jittered; a longer pause that it is in already stays. */
  #pause(minMs: number, times: number, maxMs: number): void {
    const ms = backOffMs(times, { firstMs: minMs, mostMs: maxMs }, this.#random);
    const until = this.#clock.monotonic() + ms;
    this.#notBefore = Math.max(this.#notBefore, until);
  }
}
