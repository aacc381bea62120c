import { GIVEN_COPIES_MAX } from "../topology/limits.ts";
import type { Entry, Key } from "../topology/version/entry.ts";

/**
 * Keys to which an apply gave a copy where there was none, each with its row as it was before, until the copy's own event was
 * looked at. That a key is missing tells a compare-and-set nothing of what came and went meanwhile: a client may have removed
 * it once more, which only the order of the events shows. Bounded: of what is forgotten early such a remove is undone.
 */
export class GivenCopies {
  readonly #before = new Map<Key, Entry>();

  /** An apply wrote the key, whose row was `before`. */
  written(key: Key, before: Entry | undefined): void {
    this.#before.delete(key);
    if (before?.presence !== "absent") return;
    this.#before.set(key, before);
    if (this.#before.size <= GIVEN_COPIES_MAX) return;
    for (const [oldest] of this.#before) {
      this.#before.delete(oldest);
      break;
    }
  }

  /** Its row before it was given the copy that it holds now; undefined: it had one. */
  before(key: Key): Entry | undefined {
    return this.#before.get(key);
  }

  /** What the copy's event told of is in the ledger. */
  settled(key: Key): void {
    this.#before.delete(key);
  }
}
