import { crc32 } from "node:zlib";
import { assert } from "../../topology/errors.ts";
import { type Generation, TABLES } from "./generation.ts";

// A record: length of the body (4 bytes), CRC-32 of the body (4), body: sequence (8), then each change: table (1), length of
// the row key (2), length of the row + 1, or 0 where the row goes (4), row key, row. Numbers are big-endian.
const FRAME_BYTES = 8;
const SEQ_BYTES = 8;
const CHANGE_BYTES = 7;

/** A larger buffer is not kept for the next record. */
const SCRATCH_BYTES_KEPT = 1024 * 1024;

/** Encodes generations into a buffer that is used again. */
export class RecordWriter {
  #scratch = Buffer.allocUnsafe(64 * 1024);

  /** The record of `generation`; good until the next one is encoded. */
  encode(seq: number, generation: Generation): Buffer {
    // A generation counts more bytes for each row than the record needs beside the row.
    const bytesMax = FRAME_BYTES + SEQ_BYTES + generation.bytes;
    const out = this.#room(bytesMax);
    let at = out.writeBigUInt64BE(BigInt(seq), FRAME_BYTES);
    for (const [id, table] of TABLES.entries()) {
      for (const [key, row] of generation.changes(table)) {
        at = out.writeUInt8(id, at);
        at = out.writeUInt16BE(key.length, at);
        at = out.writeUInt32BE(row ? row.length + 1 : 0, at);
        at += out.write(key, at, "latin1");
        if (row) at += row.copy(out, at);
      }
    }
    assert(at <= bytesMax, "a record is longer than its generation counted");
    out.writeUInt32BE(at - FRAME_BYTES, 0);
    out.writeUInt32BE(crc32(out.subarray(FRAME_BYTES, at)), 4);
    return out.subarray(0, at);
  }

  #room(bytes: number): Buffer {
    if (bytes > SCRATCH_BYTES_KEPT) return Buffer.allocUnsafe(bytes);
    if (bytes > this.#scratch.length) this.#scratch = Buffer.allocUnsafe(bytes);
    return this.#scratch;
  }
}

/** The frame of a record that is whole: its sequence, and where its body ends. */
export interface Framed {
  readonly seq: number;
  readonly end: number;
}

/** The record at `at`; undefined if none is there whole: the end of the journal, or a write that was cut off. */
export function frameAt(bytes: Buffer, at: number): Framed | undefined {
  const body = at + FRAME_BYTES;
  if (body + SEQ_BYTES > bytes.length) return undefined;
  const end = body + bytes.readUInt32BE(at);
  if (end < body + SEQ_BYTES || end > bytes.length) return undefined;
  if (crc32(bytes.subarray(body, end)) !== bytes.readUInt32BE(at + 4)) return undefined;
  return { seq: Number(bytes.readBigUInt64BE(body)), end };
}

/** Puts the changes of the record at `at`, which {@link frameAt} found whole, over `generation`. */
export function addRecord(bytes: Buffer, at: number, end: number, generation: Generation): void {
  let from = at + FRAME_BYTES + SEQ_BYTES;
  while (from < end) {
    const table = TABLES[bytes.readUInt8(from)];
    const key = from + CHANGE_BYTES;
    const row = key + bytes.readUInt16BE(from + 1);
    const rowBytes = bytes.readUInt32BE(from + 3) - 1;
    from = row + Math.max(rowBytes, 0);
    assert(table !== undefined && from <= end, "a whole record of the journal cannot be read");
    // A copy: a row must not keep its whole segment in memory.
    const copy = rowBytes < 0 ? undefined : Buffer.from(bytes.subarray(row, from));
    generation.set(table, bytes.toString("latin1", key, row), copy);
  }
}
