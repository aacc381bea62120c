/**
 * The version of what is written to the logs; the second byte of every record, a msgpack fixint, so that any reader can tell.
 *
 * Changelog, newest first. Any change to {@link WIRE_SCHEMA} is a new version: raise the number, say here with the date what
 * changed and from which version on a peer reads it, keep the old decoder for as long as a log may hold such records, and
 * set the schema's new hash in the test that failed.
 *
 * - 1 (2026-11-21): the first.
 */
export const WIRE_VERSION = 1;

/**
 * The layout of every record: the order of the fields and how each is written. `bytes` is msgpack bin, `text` str, `count` a
 * whole number >= 0, `ms` a whole number, `dot` a uint64, `context` a flat array of index into `sites` and dot, `|nil` may be
 * nil. `at` is less the dot's ms, `expiresAt` less `at` (nil: never); a remove ends after `at`.
 */
export const WIRE_SCHEMA = {
  record: ["version:count", "kind:0=batch,1=termBegin", "..."],
  batch: ["header", "sites:text[]", "mutations"],
  header: [
    "origin:text",
    "cache:text",
    "epoch:count",
    "term:count",
    "incarnation:text",
    "counter:count",
    "policyHash:text",
    "mode:sync|async|invalidate",
    "offsets:[site:index,ms][]flat",
    "mediaType:text",
    "held:bool",
  ],
  mutation: [
    "key:bytes",
    "dot:dot",
    "context:context",
    "at:ms",
    "hash:bytes(16)",
    "expiresAt:ms|nil",
    "maxIdleMs:count",
    "value:bytes|nil",
  ],
  termBegin: ["origin:text", "epoch:count", "term:count", "incarnation:text"],
} as const;
