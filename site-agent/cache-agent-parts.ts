import type { BatchHeader } from "../topology/mutation/batch.ts";
import type { CacheName, SiteName } from "../topology/names.ts";
import type { CachePolicy } from "../topology/policy/cache-policy.ts";
import type {
  CacheConnector,
  CacheState,
  Clock,
  Ledger,
  Logger,
  Random,
  SiteLog,
} from "../topology/ports.ts";
import type { Entry, Key, ValueHash, Versions } from "../topology/version/entry.ts";
import type { MergeRegistry, Shown } from "../topology/version/show.ts";
import type { DotReserve } from "./dot-reserve.ts";
import type { LogHead } from "./tail/log-head.ts";
import type { PublishedBatch } from "./tail/publisher.ts";

/** What a CacheAgent needs of its site. */
export interface CacheAgentParts {
  readonly site: SiteName;
  readonly cache: CacheName;
  readonly policy: CachePolicy;
  readonly merges: MergeRegistry;
  /** Without the keys that stay at their site. */
  readonly connector: CacheConnector;
  readonly isLocalKey: (key: Key) => boolean;
  readonly ledger: Ledger;
  readonly log: SiteLog;
  readonly head: LogHead;
  readonly dots: DotReserve;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly processId: string;
  readonly valueBytesMax: number;
  readonly maxClockSkewMs: number;
  /** The site's part of each batch's header. */
  readonly header: () => Pick<BatchHeader, "epoch" | "term" | "offsets">;
  /** Of the conflict policy: what the peers must have too. */
  readonly policyHash: string;
  /** The log acknowledged a batch. */
  readonly onPublished: (batch: PublishedBatch) => void;
  readonly onLogBroken: (error: Error) => Promise<void>;
  /** A key got concurrent versions: once per set of siblings at this site. */
  readonly onConflict: (key: Key, versions: Versions, shows: Shown) => void;
  /** The ledger was lost: what the cache held is no version that anybody knows of this key, and gives way to those. */
  readonly onGivenWay: (key: Key, entry: Entry, state: CacheState, hash: ValueHash) => void;
  /** A change that cannot be sent. */
  readonly onUnsendable: (key: Key, bytes: number) => void;
  /** Keys without a copy here wait to be fetched from the peers. */
  readonly onAbsentKeys: () => void;
  /** A key went idle here: a client of a peer may have used it. undefined: there are no peers. */
  readonly onIdleKey: ((key: Key) => void) | undefined;
}
