import {
  CACHE_OPERATION_TIMEOUT_MS,
  UNKNOWN_WRITE_MS,
  UNKNOWN_WRITES_MAX,
} from "../../topology/limits.ts";
import type { CacheState, Clock } from "../../topology/ports.ts";
import { covers } from "../../topology/version/context.ts";
import type { Context, Held, Key, ValueHash } from "../../topology/version/entry.ts";
import { sameExpiry } from "../tail/judge.ts";
import type { Wanted } from "./plan.ts";

/** One of {@link UnknownWrites}. */
export interface UnknownWrite {
  /** What the write was conditional on. */
  readonly expected: bigint | "missing";
  /** undefined: it was a remove. */
  readonly wanted: Wanted | undefined;
  /** The event of the `expected` token had come: whatever event brings another token is of a later write. */
  readonly isSeen: boolean;
  /** Monotonic ms. */
  readonly until: number;
  /** A remove that explained an absence: of what is found now it explains only an event that the server repeated. */
  readonly isTold?: boolean;
}

/**
 * Conditional writes of this process that got no answer, and removes that left a known version without a copy here: each may have been done, or be done yet. A state that one of them
 * explains is the version that was being applied, never a local change (I4).
 */
export class UnknownWrites {
  readonly #clock: Clock;
  readonly #writes = new Map<Key, readonly UnknownWrite[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(
    key: Key,
    expected: bigint | "missing",
    wanted: Wanted | undefined,
    isSeen: boolean = false,
  ): UnknownWrite {
    const until = this.#clock.monotonic() + UNKNOWN_WRITE_MS;
    const before = this.#writes.get(key) ?? [];
    this.#writes.delete(key);
    const write = { expected, wanted, isSeen, until };
    this.#writes.set(key, [...before.slice(-7), write]);
    if (this.#writes.size <= UNKNOWN_WRITES_MAX) return write;
    for (const [oldest] of this.#writes) {
      this.#writes.delete(oldest);
      break;
    }
    return write;
  }

  /** A write that was added before it was sent got no answer: it may be done yet, unless an event has shown that it is over. */
  unanswered(key: Key, write: UnknownWrite): void {
    const writes = this.#writes.get(key) ?? [];
    if (!writes.includes(write)) return;
    const until = this.#clock.monotonic() + UNKNOWN_WRITE_MS;
    this.#writes.set(
      key,
      writes.map((other) => (other === write ? { ...write, until } : other)),
    );
  }

  /** The server answered that it did not do this write: it explains nothing. */
  refused(key: Key, write: UnknownWrite): void {
    const open = (this.#writes.get(key) ?? []).filter((other) => other !== write);
    if (open.length > 0) this.#writes.set(key, open);
    else this.#writes.delete(key);
  }

  /**
   * An event told of a write that drew `token`. A remove that was conditional on a token before it was done earlier or never
   * will be: it explains no absence from now on, which is a client's (I1).
   */
  overtaken(key: Key, token: bigint): void {
    const all = this.#writes.get(key);
    if (all === undefined || token === 0n) return;
    const open = all.filter(
      ({ wanted, isSeen, expected }) => wanted !== undefined || !isSeen || expected === token,
    );
    if (open.length > 0) this.#writes.set(key, open);
    else this.#writes.delete(key);
  }

  /** Whether a remove of this process may be what an event of now tells of. */
  mayRemove(key: Key): boolean {
    const writes = this.#writes.get(key);
    if (writes === undefined) return false;
    const now = this.#clock.monotonic();
    return writes.some(
      ({ wanted, until, isTold }) => wanted === undefined && until > now && isTold !== true,
    );
  }

  /** Whether any of them may be done yet. */
  get mayBeOpen(): boolean {
    const now = this.#clock.monotonic();
    return [...this.#writes.values()].some((writes) =>
      writes.some(({ until, isTold }) => until > now && isTold !== true),
    );
  }

  /**
   * Which of these writes made what was found (undefined: the key is missing; `hash`: of what expired there, else ""), if
   * one did; `gone`: what the row says that a missing key held; `isRepeated`: by an event that the server may have sent before.
   * Those that it shows to be over are forgotten: one on a token that is gone can never be done; one on a missing key can be, whenever it is missing again, and
   * so can one on an entry without a token (0), whenever such an entry is there.
   */
  explain(
    key: Key,
    state: CacheState | undefined,
    hash: ValueHash,
    gone?: Held,
    isRepeated = false,
  ): UnknownWrite | undefined {
    const all = this.#writes.get(key);
    if (all === undefined) return undefined;
    const now = this.#clock.monotonic();
    const writes = all.filter((write) => write.until > now);
    const isMade = (write: UnknownWrite): boolean =>
      state === undefined ? wouldEnd(write, hash, gone?.token) : wouldMake(write, state, hash, now);
    const made =
      writes.find((write) => write.isTold !== true && isMade(write)) ??
      (isRepeated ? writes.find(isMade) : undefined);
    const mayComeBack = new Set<bigint | "missing" | undefined>(["missing", 0n, state?.token]);
    const open = writes.filter((write) => write !== made && mayComeBack.has(write.expected));
    if (made !== undefined && state === undefined && made.wanted === undefined)
      open.push({ ...made, isTold: true });
    if (open.length > 0) this.#writes.set(key, open);
    else this.#writes.delete(key);
    return made;
  }
}

/** Its remove, unless of a token before the last one that was here, or the end by itself of what it put. */
function wouldEnd(
  { wanted, expected }: UnknownWrite,
  expired: ValueHash,
  token: bigint | undefined,
): boolean {
  if (wanted !== undefined) {
    return expired === wanted.hash && (wanted.expiresAt > 0 || wanted.maxIdleMs > 0);
  }
  return expired === "" && (token === undefined || token === 0n || token === expected);
}

/** A lifespan travels as a relative time: it runs from when the write was done, which is up to now. */
function wouldMake(
  { wanted, until }: UnknownWrite,
  state: CacheState,
  hash: ValueHash,
  now: number,
): boolean {
  if (wanted?.hash !== hash) return false;
  const lateMsMax = now - (until - UNKNOWN_WRITE_MS) + CACHE_OPERATION_TIMEOUT_MS;
  const lateMs = Math.min(Math.max(0, state.expiresAt - wanted.expiresAt), lateMsMax);
  const expiresAt = wanted.expiresAt === 0 ? 0 : wanted.expiresAt + lateMs;
  return sameExpiry(state, { expiresAt, maxIdleMs: wanted.maxIdleMs });
}

/** Whether the version that a write brings was joined already: then it was done too late, and may have to be undone. */
export function wasJoined({ wanted }: UnknownWrite, context: Context): boolean {
  const of = wanted?.of;
  return of !== undefined && covers(context, of.author, of.dot);
}
