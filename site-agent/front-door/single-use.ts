import { ErrorCode } from "../../topology/errors.ts";
import {
  CLAIM_LOOK_MS,
  CLAIM_MS_MAX,
  CLAIM_UNUSED_MS_MAX,
  CLAIMS_MAX,
} from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { OnTimeout } from "../../topology/policy/mode.ts";
import type {
  CacheConnector,
  CacheLedger,
  Claim,
  ClaimAnswer,
  Clock,
  Logger,
} from "../../topology/ports.ts";
import type { Dot, Entry, Key, Sibling } from "../../topology/version/entry.ts";
import { KeyLocks } from "../key-locks.ts";
import type { KeyUse } from "./write-holds.ts";

/** What {@link SingleUse} needs of its cache. */
export interface SingleUseParts {
  readonly site: SiteName;
  readonly rows: Pick<CacheLedger, "get">;
  readonly connector: Pick<CacheConnector, "read">;
  /** The put that shows for a key; undefined: nothing does. */
  readonly shows: (entry: Entry) => Sibling | undefined;
  /** @throws when the home gives no answer in time, or cannot */
  readonly ask: (home: SiteName, claim: Claim, timeoutMs: number) => Promise<ClaimAnswer>;
  readonly release: (home: SiteName, claim: Claim) => void;
  readonly timeoutMs: number;
  readonly onTimeout: OnTimeout;
  readonly newId: () => string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What became of the uses of one cache's keys here, since the process started. */
export interface SingleUseStats {
  /** Of keys whose home is this site, or which nobody has. */
  atHome: number;
  /** Their home granted them. */
  granted: number;
  /** Told to writers as failed: used elsewhere, or nobody could tell. */
  refused: number;
  /** Done though their home could not be asked, because `onTimeout` says so: the key may have been used there too. */
  unasked: number;
}

/** A claim that this site, the home, granted. */
interface Granted {
  readonly claim: Claim;
  /** By the monotonic clock. */
  readonly until: number;
}

/**
 * Uses of a cache's keys, at most one each over all sites, as long as a key's home can be reached (`singleUse: home`). A use
 * is a remove whose answer tells who did it; the home of a key is the site that wrote what shows. There one use follows the
 * other: the next is let in when the last one is known not to have taken the key, or to have taken it. A site that is not
 * the home asks it first, and then removes the key at itself: the home lets nobody else in until that remove has arrived.
 */
export class SingleUse {
  readonly stats: SingleUseStats = { atHome: 0, granted: 0, refused: 0, unasked: 0 };
  readonly #parts: SingleUseParts;
  readonly #locks = new KeyLocks();
  readonly #granted = new Map<string, Granted>();
  /** Claims that wait, by id; false: the claimant does not any more. */
  readonly #asking = new Map<string, boolean>();
  /** What this site's last run granted is used or given up by then. */
  readonly #from: number;
  #isLooking = false;
  #isUnasked = false;

  constructor(parts: SingleUseParts) {
    this.#parts = parts;
    this.#from = parts.clock.monotonic() + parts.timeoutMs;
  }

  /** Keys that the home lets nobody use right now but one. */
  get granted(): number {
    return this.#granted.size;
  }

  /** A client of this site wants to use a key. */
  use(key: Key): KeyUse {
    const { clock, timeoutMs, release } = this.#parts;
    const deadline = clock.monotonic() + timeoutMs;
    let state: "waiting" | "forwarded" | "over" = "waiting";
    let claimed: { home: SiteName; claim: Claim } | undefined;
    let isHeld = false;
    const over = (isDone: boolean): void => {
      if (state === "over") return;
      state = "over";
      if (claimed !== undefined && !isDone) release(claimed.home, claimed.claim);
      if (isHeld) this.#locks.release(key);
    };
    const prepare = async (): Promise<string | undefined> => {
      isHeld = await this.#turn(key, deadline, () => state === "over");
      if (!isHeld) return "the key is being used, and that does not end";
      return this.#permitted(key, deadline, (home, claim) => {
        claimed = { home, claim };
      });
    };
    const ready = async (onReady: (refused: string | undefined) => void): Promise<void> => {
      const refused = await prepare();
      if (state === "over") {
        // The client went meanwhile.
        state = "waiting";
        over(false);
        return;
      }
      if (refused === undefined) state = "forwarded";
      else {
        this.stats.refused += 1;
        over(false);
      }
      onReady(refused);
    };
    return {
      ready: (onReady) => void ready(onReady),
      end: (isDone) => {
        if (state === "forwarded") over(isDone);
        else if (state === "waiting") state = "over";
      },
    };
  }

  /** Another site asks for the use of a key whose home this one is. @throws what the cache throws */
  async claimed(claim: Claim, timeoutMs: number): Promise<ClaimAnswer> {
    const { clock, connector, rows } = this.#parts;
    const { key, id } = claim;
    if (this.#granted.size + this.#asking.size >= CLAIMS_MAX) return "busy";
    this.#asking.set(id, true);
    let isKept = false;
    let isHeld = false;
    try {
      const deadline = clock.monotonic() + timeoutMs;
      isHeld = await this.#turn(key, deadline, () => this.#asking.get(id) === false);
      if (!isHeld) return "busy";
      const entry = rows.get(key);
      const state = this.#isHome(claim) ? await connector.read(key) : undefined;
      const token = entry?.held?.token ?? 0n;
      // What is not captured yet is not the version that was asked for.
      const isOther = state === undefined || (token !== 0n && state.token !== token);
      if (isOther || !this.#isHome(claim)) return "gone";
      if (this.#asking.get(id) === false) return "busy";
      isKept = true;
      this.#grant(claim);
      return "granted";
    } finally {
      this.#asking.delete(id);
      if (isHeld && !isKept) this.#locks.release(key);
    }
  }

  /** A claimant did not use the key, or does not wait for it any more. */
  released(id: string): void {
    if (this.#asking.has(id)) this.#asking.set(id, false);
    this.#end(id);
  }

  /** Undefined: the use may be forwarded; else why not. Never rejects. */
  async #permitted(
    key: Key,
    deadline: number,
    onClaimed: (home: SiteName, claim: Claim) => void,
  ): Promise<string | undefined> {
    const { clock, rows, site, shows, ask, newId, release } = this.#parts;
    for (;;) {
      const entry = rows.get(key);
      const shown = entry && shows(entry);
      if (shown === undefined || shown.author === site) {
        await clock.sleep(Math.max(0, this.#from - clock.monotonic()));
        this.stats.atHome += 1;
        return undefined;
      }
      const { author: home, dot } = shown;
      const claim = { key, dot, id: newId() };
      const left = deadline - clock.monotonic();
      let answer: ClaimAnswer;
      try {
        if (left <= 0) return `${home} has used the key, or somebody else; it is on its way here`;
        answer = await ask(home, claim, left);
      } catch (error) {
        release(home, claim);
        return this.#unasked(home, error);
      }
      if (answer === "granted") {
        this.#isUnasked = false;
        this.stats.granted += 1;
        onClaimed(home, claim);
        return undefined;
      }
      if (answer === "busy") return `another site is using the key of ${home}`;
      await this.#changed(key, dot, deadline);
    }
  }

  /** What the home has instead of that version is on its way here. */
  async #changed(key: Key, dot: Dot, deadline: number): Promise<void> {
    const { clock, rows, shows } = this.#parts;
    while (clock.monotonic() < deadline) {
      const entry = rows.get(key);
      if (entry === undefined || shows(entry)?.dot !== dot) return;
      await clock.sleep(CLAIM_LOOK_MS);
    }
  }

  #unasked(home: SiteName, error: unknown): string | undefined {
    const { onTimeout, logger } = this.#parts;
    if (onTimeout === "fail")
      return `${home}, where the key was written, cannot be asked whether it was used`;
    this.stats.unasked += 1;
    if (!this.#isUnasked)
      logger.error(
        { err: error, home, code: ErrorCode.HomeUnasked },
        "keys are used though their home cannot be asked: they may be used there too",
      );
    this.#isUnasked = true;
    return undefined;
  }

  #isHome({ key, dot }: Claim): boolean {
    const { rows, shows, site } = this.#parts;
    const entry = rows.get(key);
    if (entry === undefined || entry.presence !== "live") return false;
    const shown = shows(entry);
    return shown?.author === site && shown.dot === dot;
  }

  #grant(claim: Claim): void {
    const { clock, onTimeout, timeoutMs } = this.#parts;
    // Under fail the claimant's client is told of a success only if this site has applied the remove.
    const keptMs = onTimeout === "fail" ? timeoutMs + CLAIM_UNUSED_MS_MAX : CLAIM_MS_MAX;
    this.#granted.set(claim.id, { claim, until: clock.monotonic() + keptMs });
    this.#look();
  }

  /** While something is granted: ends what was used, or given up. */
  #look(): void {
    if (this.#isLooking || this.#granted.size === 0) return;
    this.#isLooking = true;
    const { clock, logger } = this.#parts;
    clock.after(CLAIM_LOOK_MS, () => {
      this.#isLooking = false;
      for (const [id, { claim, until }] of this.#granted) {
        const isLate = clock.monotonic() >= until;
        if (isLate)
          logger.warn(
            { code: ErrorCode.ClaimUnused },
            "a site was granted the use of a key and has not removed it: others may use it again",
          );
        if (isLate || !this.#isHome(claim)) this.#end(id);
      }
      this.#look();
    });
  }

  #end(id: string): void {
    const granted = this.#granted.get(id);
    if (granted === undefined) return;
    this.#granted.delete(id);
    this.#locks.release(granted.claim.key);
  }

  /** True: the key is held. False: it was not within the time, or nobody wants it any more. */
  async #turn(key: Key, deadline: number, isOver: () => boolean): Promise<boolean> {
    if (this.#locks.tryHold(key)) return true;
    const { clock } = this.#parts;
    let isLate = false;
    const inTurn = async (): Promise<boolean> => {
      await this.#locks.turn(key);
      cancel();
      if (!isLate && !isOver()) return true;
      this.#locks.release(key);
      return false;
    };
    let cancel = (): void => undefined;
    const late = new Promise<boolean>((resolve) => {
      cancel = clock.after(Math.max(0, deadline - clock.monotonic()), () => {
        isLate = true;
        resolve(false);
      });
    });
    return Promise.race([inTurn(), late]);
  }
}
