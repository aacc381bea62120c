import type { BeatContent } from "./heartbeat.ts";

/** Whether a peer's heartbeat says what this version reads of one; more fields are the affair of a later version. */
export function isBeatContent(content: object): content is BeatContent {
  const {
    epoch,
    term,
    incarnation,
    log,
    ends,
    applied,
    policyHashes,
    troubles,
    refused,
    reseeded,
  } = content as Partial<BeatContent>;
  return (
    isCount(epoch) &&
    isCount(term) &&
    isOptional(incarnation, isText) &&
    isOptional(log, isLog) &&
    isRecordOf(ends, isEnd) &&
    isRecordOf(applied, (caches) => isRecordOf(caches, isPosition)) &&
    isRecordOf(policyHashes, isText) &&
    isOptional(troubles, (caches) => isRecordOf(caches, isText)) &&
    isOptional(refused, (sites) => isRecordOf(sites, (caches) => isRecordOf(caches, isCount))) &&
    isOptional(reseeded, (caches) => isRecordOf(caches, isReseeded))
  );
}

type Test = (value: unknown) => boolean;

const isText: Test = (value) => typeof value === "string";
const isCount: Test = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const isDot: Test = (value) => typeof value === "bigint" && value >= 0n;
/** `undefined` travels, and a writer that has no such value sends nil. */
const isOptional = (value: unknown, test: Test): boolean =>
  value === undefined || value === null || test(value);

const isPlain = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

const isRecordOf = (value: unknown, test: Test): boolean =>
  isPlain(value) && Object.values(value).every(test);

const isLog: Test = (value) =>
  isPlain(value) &&
  isText(value["created"]) &&
  isCount(value["firstSeq"]) &&
  isCount(value["lastSeq"]);

const isEnd: Test = (value) =>
  isPlain(value) && isCount(value["logSeq"]) && isCount(value["outboxRows"]) && isDot(value["dot"]);

const isReseeded: Test = (value) =>
  isPlain(value) && isDot(value["upTo"]) && isRecordOf(value["answers"], isCount);

const isListOf = (value: unknown, test: Test): boolean => Array.isArray(value) && value.every(test);

const isRange: Test = (value) => isListOf(value, isCount) && (value as unknown[]).length === 2;

const isAside: Test = (value) =>
  isPlain(value) && isListOf(value["seqs"], isCount) && isListOf(value["counters"], isRange);

const isPosition: Test = (value) =>
  isPlain(value) &&
  isText(value["incarnation"]) &&
  isCount(value["seq"]) &&
  isDot(value["dot"]) &&
  isOptional(value["gap"], (gap) => typeof gap === "boolean") &&
  isOptional(value["aside"], isAside);
