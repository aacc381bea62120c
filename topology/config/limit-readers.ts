import { FILE_RANGES } from "../limits.ts";
import type { Limits } from "./config.ts";
import { defaulted, mapped, withDefault } from "./readers.ts";
import type { Field, Reader } from "./readers.ts";
import { duration, size, whole } from "./value-readers.ts";

type Range = (typeof FILE_RANGES)[keyof typeof FILE_RANGES];

const limit = (read: (range: Range) => Reader<number>, range: Range): Field<number> =>
  withDefault(read(range), range.byDefault);

const written = defaulted({
  logMaxAge: limit(duration, FILE_RANGES.logMaxAgeMs),
  logMaxBytes: limit(size, FILE_RANGES.logMaxBytes),
  takeOffline: defaulted({
    afterFailures: limit(whole, FILE_RANGES.afterFailures),
    afterSilence: limit(duration, FILE_RANGES.afterSilenceMs),
  }),
  tombstones: defaulted({ maxAge: limit(duration, FILE_RANGES.tombstonesMaxAgeMs) }),
  maxClockSkew: limit(duration, FILE_RANGES.maxClockSkewMs),
  maxValueBytes: limit(size, FILE_RANGES.maxValueBytes),
});

/** The file's `limits`. */
export const limits: Field<Limits> = {
  read: mapped(written.read, withUnits),
  byDefault: () => DEFAULT_LIMITS,
};

type Written = Exclude<ReturnType<typeof written.read>, symbol>;

function withUnits(read: Written): Limits {
  return {
    logMaxAgeMs: read.logMaxAge,
    logMaxBytes: read.logMaxBytes,
    takeOffline: {
      afterFailures: read.takeOffline.afterFailures,
      afterSilenceMs: read.takeOffline.afterSilence,
    },
    tombstones: { maxAgeMs: read.tombstones.maxAge },
    maxClockSkewMs: read.maxClockSkew,
    maxValueBytes: read.maxValueBytes,
  };
}

/** The limits of a file that has none. */
export const DEFAULT_LIMITS: Limits = {
  logMaxAgeMs: FILE_RANGES.logMaxAgeMs.byDefault,
  logMaxBytes: FILE_RANGES.logMaxBytes.byDefault,
  takeOffline: {
    afterFailures: FILE_RANGES.afterFailures.byDefault,
    afterSilenceMs: FILE_RANGES.afterSilenceMs.byDefault,
  },
  tombstones: { maxAgeMs: FILE_RANGES.tombstonesMaxAgeMs.byDefault },
  maxClockSkewMs: FILE_RANGES.maxClockSkewMs.byDefault,
  maxValueBytes: FILE_RANGES.maxValueBytes.byDefault,
};
