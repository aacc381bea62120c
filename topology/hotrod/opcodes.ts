/**
 * Every Hot Rod operation of protocols 2.0 to 4.1: its name here, the opcode of its request and that of its response.
 * Source: Infinispan's `HotRodOperation.java`.
 */
export const OPCODES = {
  put: [0x01, 0x02],
  get: [0x03, 0x04],
  putIfAbsent: [0x05, 0x06],
  replace: [0x07, 0x08],
  replaceIfUnmodified: [0x09, 0x0a],
  remove: [0x0b, 0x0c],
  removeIfUnmodified: [0x0d, 0x0e],
  containsKey: [0x0f, 0x10],
  getWithVersion: [0x11, 0x12],
  clear: [0x13, 0x14],
  stats: [0x15, 0x16],
  ping: [0x17, 0x18],
  bulkGet: [0x19, 0x1a],
  getWithMetadata: [0x1b, 0x1c],
  bulkGetKeys: [0x1d, 0x1e],
  query: [0x1f, 0x20],
  authMechList: [0x21, 0x22],
  auth: [0x23, 0x24],
  addClientListener: [0x25, 0x26],
  removeClientListener: [0x27, 0x28],
  size: [0x29, 0x2a],
  exec: [0x2b, 0x2c],
  putAll: [0x2d, 0x2e],
  getAll: [0x2f, 0x30],
  iterationStart: [0x31, 0x32],
  iterationNext: [0x33, 0x34],
  iterationEnd: [0x35, 0x36],
  getStream: [0x37, 0x38],
  putStream: [0x39, 0x3a],
  prepareTx: [0x3b, 0x3c],
  commitTx: [0x3d, 0x3e],
  rollbackTx: [0x3f, 0x40],
  addBloomNearCacheListener: [0x41, 0x42],
  updateBloomFilter: [0x43, 0x44],
  counterCreate: [0x4b, 0x4c],
  counterGetConfiguration: [0x4d, 0x4e],
  counterIsDefined: [0x4f, 0x51],
  counterAddAndGet: [0x52, 0x53],
  counterReset: [0x54, 0x55],
  counterGet: [0x56, 0x57],
  counterCas: [0x58, 0x59],
  counterAddListener: [0x5a, 0x5b],
  counterRemoveListener: [0x5c, 0x5d],
  counterRemove: [0x5e, 0x5f],
  counterGetNames: [0x64, 0x65],
  multimapGet: [0x67, 0x68],
  multimapGetWithMetadata: [0x69, 0x6a],
  multimapPut: [0x6b, 0x6c],
  multimapRemoveKey: [0x6d, 0x6e],
  multimapRemoveEntry: [0x6f, 0x70],
  multimapSize: [0x71, 0x72],
  multimapContainsEntry: [0x73, 0x74],
  multimapContainsKey: [0x75, 0x76],
  multimapContainsValue: [0x77, 0x78],
  forgetTx: [0x79, 0x7a],
  fetchTxRecovery: [0x7b, 0x7c],
  prepareTx2: [0x7d, 0x7e],
  counterGetAndSet: [0x7f, 0x80],
  endGetStream: [0xe5, 0xe4],
  nextGetStream: [0xe7, 0xe6],
  startGetStream: [0xe9, 0xe8],
  endPutStream: [0xeb, 0xea],
  nextPutStream: [0xed, 0xec],
  startPutStream: [0xef, 0xee],
} as const;

/** The name of an operation that a client can request. */
export type RequestOp = keyof typeof OPCODES;

/** What a server sends unasked, and its opcode. */
export const EVENT_OPCODES = {
  created: 0x60,
  modified: 0x61,
  removed: 0x62,
  expired: 0x63,
  counterEvent: 0x66,
} as const;

/** The name of an event. */
export type EventOp = keyof typeof EVENT_OPCODES;

/** The opcode of every error response, whatever was requested. */
export const ERROR_OPCODE = 0x50;

/** The first byte of every request. */
export const REQUEST_MAGIC = 0xa0;

/** The first byte of every response and event. */
export const RESPONSE_MAGIC = 0xa1;

/** Oldest and newest protocol versions that the codec speaks (major * 10 + minor). */
export const VERSION_MIN = 20;
export const VERSION_MAX = 41;

/** The status byte of a response. 0x81 and above are errors; of those a Java client retries only the last two. */
export const Status = {
  Ok: 0x00,
  NotExecuted: 0x01,
  KeyDoesNotExist: 0x02,
  OkWithPrevious: 0x03,
  NotExecutedWithPrevious: 0x04,
  InvalidIteration: 0x05,
  /** Ok, OkWithPrevious and NotExecutedWithPrevious of an object storage; sent to protocols 2.4 to 2.8 only. */
  OkObjectStorage: 0x06,
  OkWithPreviousObjectStorage: 0x07,
  NotExecutedWithPreviousObjectStorage: 0x08,
  InvalidMagicOrId: 0x81,
  UnknownOperation: 0x82,
  UnknownVersion: 0x83,
  ParseError: 0x84,
  ServerError: 0x85,
  CommandTimeout: 0x86,
  NodeSuspected: 0x87,
  IllegalLifecycle: 0x88,
} as const;

/** The bits of a request's flags. */
export const Flag = {
  ForceReturnValue: 0x01,
  DefaultLifespan: 0x02,
  DefaultMaxIdle: 0x04,
  SkipCacheLoad: 0x08,
  SkipIndexing: 0x10,
  SkipListenerNotification: 0x20,
} as const;

/** The bits of a listener's interests; 0 means all. */
export const Interest = { Created: 0x01, Modified: 0x02, Removed: 0x04, Expired: 0x08 } as const;

/** How much a client wants to know of the cluster. Basic never gets a topology. */
export const Intelligence = { Basic: 1, TopologyAware: 2, HashDistributionAware: 3 } as const;
