/**
 * Every error that Isthmus raises on purpose carries one of these codes.
 *
 * The doc comment of a code is its documentation: first the cause, then what to do. `deploy/docs/errors.md` is
 * generated from this file, and a test fails when the two differ.
 *
 * Ranges: IS1xxx the file, IS2xxx the site agent, IS3xxx the gateway, IS4xxx drills, IS5xxx the command line.
 */
export const ErrorCode = {
  /** The file is not valid YAML. Remedy: correct the place that the message names. */
  FileNotYaml: "IS1001",

  /** A cache that the file's rules handle does not exist in the local Infinispan. Remedy: create it (the message names it), or set its mode to off. */
  CacheMissing: "IS2001",
  /** No server of the site's cache could be reached. Remedy: check `sites.SITE.cache.servers` and that Infinispan runs; it is retried until it works. */
  CacheUnreachable: "IS2002",
  /** Infinispan refused the user name, the password or the mechanism. Remedy: check `cache.auth` and the environment variable that holds the password. */
  CacheAuthFailed: "IS2003",
  /** The cache stores Java objects, which cannot be copied byte for byte. Remedy: give it an encoding such as application/x-protostream. */
  CacheObjectStorage: "IS2004",
  /** A Hot Rod frame could not be decoded. Remedy: report it with the frame; the connection is closed. */
  HotRodProtocol: "IS2005",
  /** The server answered an operation with an error status. Remedy: see the message and the server's log. */
  HotRodServer: "IS2006",
  /** An operation got no answer in time; whether it was done is not known. Remedy: none needed, the key is read again. */
  HotRodTimeout: "IS2007",

  /** No NATS server of the site could be reached. Remedy: check `sites.SITE.nats.servers` and that nats-server runs; it is retried until it works. */
  NatsUnreachable: "IS3001",
  /** NATS refused the credentials. Remedy: check `nats.nkeySeedFile`, `nats.credsFile` or the user in the URL. */
  NatsAuthFailed: "IS3002",

  /** A verb or an option that does not exist. Remedy: see `isthmus --help`. */
  UsageUnknown: "IS5001",
} as const;

/** One of {@link ErrorCode}'s values, for example `IS2001`. */
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** The one error class: `code` for machines, `message` for people, `hint` for what to do, `cause` for what lies beneath. */
export class IsthmusError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "IsthmusError";
    this.code = code;
    this.hint = options.hint;
  }
}

/** Assertion that stays on in production: a failure is a bug of ours, never of the user's. */
export function assert(condition: unknown, why: string): asserts condition {
  if (!condition) throw new Error(`isthmus bug: ${why}`);
}
