import { isScalar } from "yaml";
import { ErrorCode } from "../errors.ts";
import { SITE_NAME } from "../names.ts";
import type { SiteName } from "../names.ts";
import type { Address } from "./config.ts";
import { formatAddress } from "./config.ts";
import type { FileReading, Place } from "./file-reading.ts";
import { FAULT, mapped, matching, shown, text, wrongType } from "./readers.ts";
import type { Reader } from "./readers.ts";
import { didYouMean } from "./suggest.ts";

/** Bounds of a number, both included. */
interface Range {
  readonly min: number;
  readonly max: number;
}

/** What a duration is written in, in ms. */
export const DURATION_UNITS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 } as const;
const SIZE_UNITS = { TiB: 2 ** 40, GiB: 2 ** 30, MiB: 2 ** 20, KiB: 2 ** 10, B: 1 } as const;

/** A duration such as `250ms`, in ms. */
export const duration = (range: Range): Reader<number> =>
  quantity(
    DURATION_UNITS,
    range,
    "a duration such as 250ms, 10s, 5m, 24h or 7d",
    "ms",
    ErrorCode.FileNotADuration,
  );

/** A size such as `64KiB`, in bytes. */
export const size = (range: Range): Reader<number> =>
  quantity(SIZE_UNITS, range, "a size such as 64KiB or 8GiB", "B", ErrorCode.FileNotASize);

/** A whole number. */
export const whole =
  (range: Range): Reader<number> =>
  (place, file) => {
    const value = isScalar(place.node) ? place.node.value : undefined;
    if (typeof value !== "number" || !Number.isInteger(value))
      return wrongType(place, file, "a whole number");
    return within(value, range, String, place, file);
  };

/** A duration in ms as the file would write it: the largest unit that divides it. */
export const formatDuration = (ms: number): string => inUnits(DURATION_UNITS, ms);

/** A size in bytes as the file would write it: the largest unit that divides it. */
export const formatSize = (bytes: number): string => inUnits(SIZE_UNITS, bytes);

function quantity(
  units: Readonly<Record<string, number>>,
  range: Range,
  what: string,
  unitOfBare: string,
  code: ErrorCode,
): Reader<number> {
  return (place, file) => {
    const value = isScalar(place.node) ? place.node.value : undefined;
    const match = typeof value === "string" ? /^(\d+) ?([A-Za-z]+)$/.exec(value) : null;
    const unit = match?.[2];
    const factor = unit !== undefined && Object.hasOwn(units, unit) ? units[unit] : undefined;
    if (match === null || factor === undefined) {
      let hint = unit === undefined ? "" : didYouMean(unit, Object.keys(units));
      if (typeof value === "number") hint = ` (did you mean "${value}${unitOfBare}"?)`;
      file.error(place, code, `expected ${what}, got ${shown(place)}${hint}`);
      return FAULT;
    }
    const format = (n: number): string => inUnits(units, n);
    return within(Number(match[1]) * factor, range, format, place, file);
  };
}

function within(
  value: number,
  { min, max }: Range,
  format: (n: number) => string,
  place: Place,
  file: FileReading,
): number | typeof FAULT {
  if (value >= min && value <= max) return value;
  const expected = `expected ${format(min)} to ${format(max)}, got ${shown(place)}`;
  file.error(place, ErrorCode.FileOutOfRange, expected);
  return FAULT;
}

function inUnits(units: Readonly<Record<string, number>>, value: number): string {
  for (const [unit, factor] of Object.entries(units))
    if (value >= factor && value % factor === 0) return `${value / factor}${unit}`;
  return `0${Object.keys(units).at(-1) ?? ""}`;
}

/** A site's name where a site is made: the key under `sites`. */
export const newSiteName: Reader<SiteName> = (place, file) => {
  const name = isScalar(place.node) ? (place.node.source ?? String(place.node.value)) : "";
  if (SITE_NAME.test(name)) return name;
  const expected = "a site name of 1 to 16 characters of a-z, 0-9 and -";
  file.error(place, ErrorCode.FileBadName, `expected ${expected}, got ${JSON.stringify(name)}`);
  return FAULT;
};

/** The name of a site that the file has, as a value or as a key. */
export const knownSite: Reader<SiteName> = (place, file) => {
  const source = isScalar(place.node) ? (place.node.source ?? String(place.node.value)) : "";
  if (file.siteNames.includes(source)) return source;
  if (place.node === null || !isScalar(place.node)) return wrongType(place, file, "a site's name");
  const hint = didYouMean(source, file.siteNames) || `; sites: ${file.siteNames.join(", ")}`;
  file.error(place, ErrorCode.FileUnknownSite, `no site is named ${JSON.stringify(source)}${hint}`);
  return FAULT;
};

/** A name of letters, digits, `_` and `-`, 64 at most: it becomes part of NATS names. */
export const plainName: Reader<string> = matching(
  /^[A-Za-z0-9_-]{1,64}$/,
  "a name of 1 to 64 letters, digits, _ and -",
  ErrorCode.FileBadName,
);

/** Name of an environment variable. */
export const envName: Reader<string> = matching(
  /^[A-Za-z_][A-Za-z0-9_]*$/,
  "the name of an environment variable, such as NYC_CACHE_PASSWORD",
  ErrorCode.FileBadName,
);

/** A file or directory, resolved against the file's own directory. */
export const path: Reader<string> = mapped(text("a path"), (value, _place, file) =>
  file.resolvePath(value),
);

/** An http or https URL. */
export const httpUrl: Reader<string> = mapped(text("a URL"), (value, place, file) => {
  const protocol = URL.canParse(value) ? new URL(value).protocol : "";
  if (protocol === "http:" || protocol === "https:") return value;
  return badAddress(place, file, "a URL such as https://sso.nyc.example");
});

/** An address that is only announced: never compared with others. */
export const announcedAddress: Reader<Address> = mapped(text("host:port"), parseAddress);

/** An address that something listens on: no two listeners may share it. */
export const listenAddress: Reader<Address> = address(false);

/** An address of a server to connect to: no two sites may share it. */
export const serverAddress: Reader<Address> = address(true);

function address(shared: boolean): Reader<Address> {
  return mapped(announcedAddress, (value, place, file) => {
    file.addresses.push({ place, address: formatAddress(value).toLowerCase(), shared });
    return value;
  });
}

function parseAddress(value: string, place: Place, file: FileReading): Address | typeof FAULT {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):(\d+)$/.exec(value);
  const host = match?.[1] ?? match?.[2];
  if (match === null || host === undefined)
    return badAddress(place, file, "host:port or [ipv6]:port");
  const port = Number(match[3]);
  if (port >= 1 && port <= 65_535) return { host, port };
  return badAddress(place, file, "a port of 1 to 65535");
}

/** `nats://host:port` or `tls://host:port`, perhaps with a user; without a port it is 4222. */
export const natsUrl: Reader<string> = mapped(text("a URL"), (value, place, file) => {
  const found = natsAddress(value);
  if (found === undefined)
    return badAddress(
      place,
      file,
      "a URL such as nats://127.0.0.1:4222 or tls://nats.nyc.example:4222",
    );
  file.addresses.push({ place, address: formatAddress(found).toLowerCase(), shared: true });
  return value;
});

/** Host and port of a NATS URL; undefined if it is none. */
export function natsAddress(url: string): Address | undefined {
  if (!/^(nats|tls):\/\//.test(url) || !URL.canParse(url)) return undefined;
  const { hostname, port, pathname, search, hash } = new URL(url);
  if (hostname === "" || port === "0" || !/^\/?$/.test(pathname) || search + hash !== "")
    return undefined;
  return { host: hostname.replace(/^\[|\]$/g, ""), port: port === "" ? 4222 : Number(port) };
}

function badAddress(place: Place, file: FileReading, expected: string): typeof FAULT {
  file.error(place, ErrorCode.FileBadAddress, `expected ${expected}, got ${shown(place)}`);
  return FAULT;
}
