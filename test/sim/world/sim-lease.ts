import { Lease } from "../../../gateway/link/lease.ts";
import type { LeaseStore, Logger } from "../../../topology/ports.ts";
import type { ActiveLease } from "../../../deploy/site/site.ts";
import { askNats, type SimLog } from "./sim-log.ts";
import type { SimProcess } from "./sim-process.ts";

/** Short enough for a world of seconds, longer than an operation on a cache. */
const TIMES = { ttlMs: 4_000, renewMs: 400 };

/** The lease's key in one site's NATS server. */
export class SimLeaseKey {
  readonly #log: SimLog;
  #held: { readonly value: Uint8Array; readonly revision: number } | undefined;

  /** `log`: in the same server. */
  constructor(log: SimLog) {
    this.#log = log;
  }

  /** The lease as one process reaches it. */
  connect(process: SimProcess): LeaseStore {
    return {
      read: () => askNats(this.#log, process, () => this.#held),
      write: (value, expectedRevision) =>
        askNats(this.#log, process, () => {
          if ((this.#held?.revision ?? 0) !== expectedRevision) return undefined;
          this.#held = { value: Buffer.from(value), revision: expectedRevision + 1 };
          return this.#held.revision;
        }),
    };
  }
}

/** Waits for the lease as a standby does, then renews it until the signal aborts; `onLost`: another process has it. */
export async function holdLease(
  key: SimLeaseKey,
  process: SimProcess,
  options: {
    readonly site: string;
    readonly holderId: string;
    readonly logger: Logger;
    readonly signal: AbortSignal;
    readonly onLost: (error: unknown) => void;
  },
): Promise<ActiveLease> {
  const { site, holderId, logger, signal, onLost } = options;
  const lease = await Lease.acquire(
    {
      site,
      store: key.connect(process),
      clock: process.clock,
      holder: { host: "sim", pid: 1, startedAt: process.clock.now(), holderId },
      standby: true,
      logger,
      times: TIMES,
    },
    signal,
  );
  lease.run(signal).catch(onLost);
  return lease;
}
