import {
  closeSync,
  fdatasync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { open, unlink } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { Generation } from "./generation.ts";
import { addRecord, frameAt, RecordWriter } from "./journal-record.ts";

/** A segment begins with this and the layout of its records. Changelog: 1 (2026-11-21) the first. */
const MAGIC = Buffer.from("ISTHMUSJ", "latin1");
const JOURNAL_FORMAT = 1;
const HEADER_BYTES = MAGIC.length + 4;

const SEGMENT_NAME = /^journal-([0-9a-f]{14})$/;

interface Segment {
  readonly path: string;
  readonly file: number;
  /** Sequence of its first record. */
  readonly first: number;
  size: number;
  isSynced: boolean;
}

/** A positioned write: returns how many bytes went. Blocks: a thread of the pool takes ten times as long. */
export type WriteAt = (file: number, from: Buffer, offset: number, n: number, at: number) => number;

const flushData = promisify(fdatasync);

/**
 * Generations as records in files, appended before they are written anywhere else. A record is there after the process was
 * killed as soon as `append` returns, and after a power cut once `sync` has resolved (I6). Records are numbered without a
 * gap over all files, and each carries a checksum; so what follows a record that did not reach the disk is never replayed.
 */
export class Journal {
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #write: WriteAt;
  readonly #writer = new RecordWriter();
  /** In the order of their records; the last one is written to if it `#isOpen`. */
  #segments: Segment[] = [];
  #isOpen = false;
  #isDirectorySynced = true;
  #syncs: Promise<void> = Promise.resolve();
  #seq: number;
  /** Records above `contained` that were found, as one. */
  readonly replayed = new Generation();
  /** Bytes behind the last whole record: what had not reached the disk at a power cut. */
  lostBytes = 0;

  /**
   * Reads what is in `directory` and not yet in the tables, which contain the records up to sequence `contained`.
   *
   * @throws IS2021 written in another format.
   */
  constructor(
    directory: string,
    contained: number,
    segmentBytes: number,
    write: WriteAt = writeSync,
  ) {
    this.#directory = directory;
    this.#segmentBytes = segmentBytes;
    this.#write = write;
    this.#seq = contained;
    const useless: number[] = [];
    const segments = segmentsIn(directory);
    for (const [i, first] of segments.entries()) {
      const next = segments[i + 1] ?? Infinity;
      if (next <= contained + 1 || !this.#replay(first, contained)) useless.push(first);
    }
    // The newest first, and for good before the first append: none may come back to follow a record of later.
    for (const first of useless.toReversed()) unlinkSync(this.#pathOf(first));
    if (useless.length > 0) syncDirectory(directory);
  }

  /** Sequence of the last record. */
  get seq(): number {
    return this.#seq;
  }

  /** Appends a record; it is there whole, or not at all if this throws. */
  append(generation: Generation): void {
    const record = this.#writer.encode(this.#seq + 1, generation);
    const last = this.#segments.at(-1);
    const fits = this.#isOpen && last && last.size + record.length <= this.#segmentBytes;
    const segment = fits ? last : this.#begin();
    this.#writeWhole(segment, record);
    this.#seq += 1;
  }

  /** Resolves when all records are on disk, their files' names included. */
  sync(): Promise<void> {
    const sync = this.#syncs.then(() => this.#syncNow());
    this.#syncs = sync.catch(() => {});
    return sync;
  }

  /** Whether there are files whose records are all up to `seq`. */
  hasBehind(seq: number): boolean {
    return (this.#segments[1]?.first ?? Infinity) <= seq + 1;
  }

  /** Removes the files whose records are all up to `seq`; the tables must contain these, on disk. */
  async dropBehind(seq: number): Promise<void> {
    while (this.hasBehind(seq)) {
      const [segment] = this.#segments;
      this.#segments = this.#segments.slice(1);
      if (segment) await this.#remove(segment);
    }
  }

  /** Lets go of the files; removes them first if the tables contain all, on disk. */
  async close(isContained: boolean): Promise<void> {
    const segments = this.#segments;
    this.#segments = [];
    await this.#syncs;
    for (const segment of segments) {
      if (isContained) await this.#remove(segment);
      else closeSync(segment.file);
    }
  }

  /** Replays a segment and keeps it; returns false if nothing of it is needed. @throws IS2021 */
  #replay(first: number, contained: number): boolean {
    const path = this.#pathOf(first);
    const bytes = readFileSync(path);
    const body = Math.min(HEADER_BYTES, bytes.length);
    let end = body;
    if (isBegun(bytes, path) && first <= this.#seq + 1) {
      for (let seq = first; ; seq++) {
        const record = frameAt(bytes, end);
        if (record?.seq !== seq) break;
        if (seq > contained) {
          addRecord(bytes, end, record.end, this.replayed);
          this.#seq = seq;
        }
        end = record.end;
      }
    }
    this.lostBytes += bytes.length - end;
    if (end === body || this.#seq === contained) return false;
    const file = openSync(path, "r+");
    this.#segments.push({ path, file, first, size: end, isSynced: false });
    ftruncateSync(file, end);
    return true;
  }

  #begin(): Segment {
    const first = this.#seq + 1;
    const path = this.#pathOf(first);
    const segment = { path, file: openSync(path, "wx"), first, size: 0, isSynced: false };
    this.#segments.push(segment);
    this.#isOpen = true;
    this.#isDirectorySynced = false;
    const header = Buffer.alloc(HEADER_BYTES);
    MAGIC.copy(header);
    header.writeUInt32BE(JOURNAL_FORMAT, MAGIC.length);
    this.#writeWhole(segment, header);
    return segment;
  }

  #writeWhole(segment: Segment, bytes: Buffer): void {
    segment.isSynced = false;
    try {
      for (let done = 0; done < bytes.length;) {
        done += this.#write(segment.file, bytes, done, bytes.length - done, segment.size + done);
      }
    } catch (error) {
      // A part of a record is none, but nothing may follow it either.
      ftruncateSync(segment.file, segment.size);
      throw error;
    }
    segment.size += bytes.length;
  }

  async #syncNow(): Promise<void> {
    const isDirectorySynced = this.#isDirectorySynced;
    for (const segment of this.#segments) {
      if (segment.isSynced) continue;
      // Before the flush: what is written while it runs may be left out by it.
      segment.isSynced = true;
      await flushData(segment.file);
    }
    if (isDirectorySynced) return;
    this.#isDirectorySynced = true;
    await using directory = await open(this.#directory);
    await directory.sync();
  }

  async #remove({ path, file }: Segment): Promise<void> {
    // A flush that runs may have this file in hand.
    await this.#syncs;
    closeSync(file);
    await unlink(path);
  }

  #pathOf(first: number): string {
    return join(this.#directory, `journal-${first.toString(16).padStart(14, "0")}`);
  }
}

/** First sequences of the segments in a directory, rising. */
function segmentsIn(directory: string): number[] {
  return readdirSync(directory)
    .flatMap((name) => SEGMENT_NAME.exec(name)?.[1] ?? [])
    .map((hex) => Number.parseInt(hex, 16))
    .sort((a, b) => a - b);
}

/** Whether a segment's header reached the disk. @throws IS2021 */
function isBegun(bytes: Buffer, path: string): boolean {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return false;
  const format = bytes.readUInt32BE(MAGIC.length);
  if (format <= JOURNAL_FORMAT) return true;
  throw new IsthmusError(
    ErrorCode.LedgerFormat,
    `the ledger's journal ${path} has format ${format}, this release reads up to ${JOURNAL_FORMAT}`,
    { hint: "Run the release that wrote it, or start from an empty directory." },
  );
}

function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
