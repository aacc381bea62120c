import { IsthmusError } from "../../topology/errors.ts";
import {
  CLOCK_JUMP_MS,
  CLOCK_PING_INTERVAL_MS,
  CLOCK_PING_TIMEOUT_MS,
  CLOCK_SAMPLES_MAX,
} from "../../topology/limits.ts";
import { controlSubject } from "../../topology/names.ts";
import type { SiteName } from "../../topology/names.ts";
import type { Bus, Clock } from "../../topology/ports.ts";

/** How far a peer's clock is from ours. */
export interface ClockOffset {
  /** The peer's wall clock minus ours, ms. */
  readonly offsetMs: number;
  /** The true offset is within this of `offsetMs`: half the round trip. */
  readonly errorMs: number;
}

/** One ping's four times, as in NTP (RFC 5905 section 8), and the round trip on the monotonic clock. */
export interface ClockPing {
  readonly sentAt: number;
  readonly receivedThereAt: number;
  readonly answeredThereAt: number;
  readonly answeredAt: number;
  readonly tookMs: number;
}

/** What one ping says; undefined: a wall clock jumped meanwhile. */
export function offsetOf(ping: ClockPing): ClockOffset | undefined {
  const { sentAt, receivedThereAt, answeredThereAt, answeredAt, tookMs } = ping;
  const jumped = Math.abs(answeredAt - sentAt - tookMs) > CLOCK_JUMP_MS;
  const thereMs = answeredThereAt - receivedThereAt;
  // A wall clock that is read in whole ms may make the time there look 1 ms longer than the whole way.
  if (jumped || thereMs < 0 || thereMs > tookMs + 1) return undefined;
  const offsetMs = (receivedThereAt - sentAt + (answeredThereAt - answeredAt)) / 2;
  return { offsetMs, errorMs: Math.max(0, tookMs - thereMs) / 2 };
}

/** The sample with the shortest round trip: what delays a packet makes its offset worse, never better. */
export const bestOf = (samples: readonly ClockOffset[]): ClockOffset | undefined =>
  samples.reduce<ClockOffset | undefined>(
    (best, sample) => (best === undefined || sample.errorMs < best.errorMs ? sample : best),
    undefined,
  );

/** Estimates the offset to each peer's clock, and answers the peers' pings. */
export class ClockOffsets {
  readonly #site: SiteName;
  readonly #peers: readonly SiteName[];
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #samples = new Map<SiteName, ClockOffset[]>();

  constructor(site: SiteName, peers: readonly SiteName[], bus: Bus, clock: Clock) {
    this.#site = site;
    this.#peers = peers;
    this.#bus = bus;
    this.#clock = clock;
  }

  /** From the last `CLOCK_SAMPLES_MAX` pings; undefined: the peer never answered. It keeps the last estimate of one that is away. */
  offset(peer: SiteName): ClockOffset | undefined {
    return bestOf(this.#samples.get(peer) ?? []);
  }

  /** Pings and answers until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const end = this.#bus.serve(controlSubject(this.#site, "clock"), async () => {
      const receivedAt = this.#clock.now();
      return encodeTimes(receivedAt, this.#clock.now());
    });
    try {
      while (!signal.aborted) {
        await Promise.all(this.#peers.map((peer) => this.ping(peer)));
        await this.#clock.sleep(CLOCK_PING_INTERVAL_MS, signal);
      }
    } finally {
      end();
    }
  }

  /** One ping; a peer that does not answer is no sample. */
  async ping(peer: SiteName): Promise<void> {
    const sentAt = this.#clock.now();
    const sentMs = this.#clock.monotonic();
    let answer: Uint8Array;
    try {
      const subject = controlSubject(peer, "clock");
      answer = await this.#bus.request(subject, new Uint8Array(0), CLOCK_PING_TIMEOUT_MS);
    } catch (error) {
      // Whether the peer is there is the heartbeat's business.
      if (error instanceof IsthmusError) return;
      throw error;
    }
    const tookMs = this.#clock.monotonic() - sentMs;
    const answeredAt = this.#clock.now();
    if (answer.length !== 16) return;
    const times = decodeTimes(answer);
    const sample = offsetOf({ sentAt, answeredAt, tookMs, ...times });
    if (sample === undefined) {
      // A jump makes every earlier sample wrong, too.
      this.#samples.delete(peer);
      return;
    }
    const samples = [...(this.#samples.get(peer) ?? []), sample];
    this.#samples.set(peer, samples.slice(-CLOCK_SAMPLES_MAX));
  }
}

/** Two wall times, ms, as big-endian float64: 16 bytes. */
function encodeTimes(receivedAt: number, answeredAt: number): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeDoubleBE(receivedAt, 0);
  bytes.writeDoubleBE(answeredAt, 8);
  return bytes;
}

function decodeTimes(bytes: Uint8Array): { receivedThereAt: number; answeredThereAt: number } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return { receivedThereAt: buffer.readDoubleBE(0), answeredThereAt: buffer.readDoubleBE(8) };
}
