import type { Key } from "../../topology/version/entry.ts";

const EMPTY = 0;

/**
 * A set of keys by a 52-bit hash, 8 bytes a slot: a scan of a million keys takes 16 MB. Two keys share a hash with
 * probability 1 in 9,000 for a million keys; a shared hash hides one absence until the next scan, it never makes one.
 */
export class KeySet {
  #slots = new Float64Array(1024);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(key: Key): void {
    if (this.#size * 2 > this.#slots.length) this.#grow();
    if (insert(this.#slots, hashOf(key))) this.#size += 1;
  }

  has(key: Key): boolean {
    const hash = hashOf(key);
    const mask = this.#slots.length - 1;
    for (let i = hash % this.#slots.length; ; i = (i + 1) & mask) {
      const slot = this.#slots[i];
      if (slot === hash) return true;
      if (slot === EMPTY) return false;
    }
  }

  #grow(): void {
    const slots = new Float64Array(this.#slots.length * 2);
    for (const hash of this.#slots) if (hash !== EMPTY) insert(slots, hash);
    this.#slots = slots;
  }
}

function insert(slots: Float64Array, hash: number): boolean {
  const mask = slots.length - 1;
  for (let i = hash % slots.length; ; i = (i + 1) & mask) {
    if (slots[i] === hash) return false;
    if (slots[i] === EMPTY) {
      slots[i] = hash;
      return true;
    }
  }
}

/** FNV-1a twice, with two seeds, joined to 52 bits; never 0. */
function hashOf(key: Key): number {
  let a = 0x811c9dc5;
  let b = 0x9747b28c;
  for (let i = 0; i < key.length; i++) {
    const char = key.charCodeAt(i);
    a = Math.imul(a ^ char, 0x01000193);
    b = Math.imul(b ^ char, 0x85ebca6b);
    b ^= b >>> 13;
  }
  const hash = (a & 0xfffff) * 0x100000000 + (b >>> 0);
  return hash === EMPTY ? 1 : hash;
}
