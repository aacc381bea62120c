import { Flag, Intelligence } from "../../topology/hotrod/opcodes.ts";

/**
 * Makes a request, in place, one of a client that wants no topology: the client stays with the addresses it was configured
 * with, and so with the front door. No byte moves.
 *
 * @param raw a whole request, protocol 2.0 or later
 * @param isHeard what it writes is to be replicated: listeners hear of it, even if it asks that none does
 */
export function askBasic(raw: Buffer, isHeard: boolean): void {
  const cache = afterVarint(raw, 1) + 2;
  const flags = afterVarint(raw, cache) + varint(raw, cache);
  if (isHeard) raw[flags] = (raw[flags] ?? 0) & ~Flag.SkipListenerNotification;
  raw[afterVarint(raw, flags)] = Intelligence.Basic;
}

function afterVarint(raw: Buffer, from: number): number {
  let at = from;
  while ((raw[at] ?? 0) >= 0x80) at += 1;
  return at + 1;
}

function varint(raw: Buffer, from: number): number {
  let value = 0;
  for (let at = from, shift = 0; ; at += 1, shift += 7) {
    const byte = raw[at] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return value;
  }
}
