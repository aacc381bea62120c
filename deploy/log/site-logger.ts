import { pino, type DestinationStream } from "pino";
import type { SiteName } from "../../topology/names.ts";
import type { Clock, Logger } from "../../topology/ports.ts";
import { errorFields } from "./error-fields.ts";
import { RepeatFilter } from "./repeat-filter.ts";

/** Levels that a log may be cut at, from the most to the least. */
export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

/** One of {@link LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A site's log, and how to end it. */
export interface SiteLogger {
  readonly logger: Logger;
  /** Writes what was held back. */
  readonly close: () => void;
}

/** JSON lines on stderr, one an event: level as a word, time as text in UTC, the site, `code` and `hint` of errors. */
export function siteLogger(
  site: SiteName,
  level: LogLevel,
  clock: Clock,
  destination: DestinationStream = pino.destination({ fd: 2, sync: true }),
): SiteLogger {
  const lines = pino(
    {
      level,
      base: { site },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        // Every line names the site already; a key must not stand twice in an object.
        log: (fields) => (fields["site"] === site ? { ...fields, site: undefined } : fields),
      },
      serializers: { err: errorFields },
    },
    destination,
  );
  const filter = new RepeatFilter(clock);
  return { logger: filter.logger(lines), close: () => filter.flush() };
}
