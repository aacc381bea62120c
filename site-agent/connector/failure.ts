import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { ErrorResponse } from "../../topology/hotrod/messages.ts";
import { Status } from "../../topology/hotrod/opcodes.ts";

/** What lies beneath a HotRodServer, CacheMissing or CacheAuthFailed error that a server's answer caused. */
interface ServerSaid {
  /** One of Hot Rod's error statuses, 0x81 to 0x88. */
  readonly status: number;
  readonly text: string;
}

/** The server wants a login, or the user lacks a permission: Infinispan's messages for it. */
const NOT_ALLOWED = /ISPN000287|ISPN006017|SecurityException|Unauthorized/;

/** The error for a server's error answer to `op` on `cache` ("" for none). */
export function serverFailure(
  address: string,
  op: string,
  cache: string,
  answer: Pick<ErrorResponse, "header" | "message">,
): IsthmusError {
  const cause: ServerSaid = { status: answer.header.status, text: answer.message };
  const where = cache === "" ? `at ${address}` : `on cache "${cache}" at ${address}`;
  if (answer.message.includes("CacheNotFoundException"))
    return new IsthmusError(
      ErrorCode.CacheMissing,
      `cache "${cache}" does not exist at ${address}`,
      { hint: "create the cache, or set its mode to off", cause },
    );
  if (NOT_ALLOWED.test(answer.message))
    return new IsthmusError(
      ErrorCode.CacheAuthFailed,
      `${op} ${where} is not allowed: ${answer.message}`,
      { hint: "set cache.auth, and give that user the permissions the message names", cause },
    );
  return new IsthmusError(
    ErrorCode.HotRodServer,
    `${op} ${where} failed with status 0x${cause.status.toString(16)}: ${answer.message}`,
    { cause },
  );
}

/** The error for an operation that was sent and not answered. */
export function unanswered(address: string, op: string, why: string): IsthmusError {
  return new IsthmusError(
    ErrorCode.HotRodTimeout,
    `${op} at ${address} got no answer: ${why}; whether it was done is not known`,
  );
}

/** The Hot Rod status in an error that a server's answer caused, else undefined. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof IsthmusError)) return undefined;
  const cause = error.cause as Partial<ServerSaid> | undefined;
  return typeof cause?.status === "number" ? cause.status : undefined;
}

/** What Infinispan says of a cache that is still joining its cluster, or stopping. */
const NOT_READY = /Cache not ready|IllegalLifecycleStateException/;

/** ISPN000217, "Received exception from NODE": it tells of another node, while this one works. */
const OF_ANOTHER_NODE = /ISPN000217/;

/**
 * Whether a server answers so because it is starting, stopping or joining its cluster. InvalidMagicId is among them: a
 * starting server refuses a request before it has read all of it, and takes the rest for the next one.
 */
export function isNotReady(answer: Pick<ErrorResponse, "header" | "message">): boolean {
  const { status } = answer.header;
  if (status === Status.InvalidMagicOrId) return true;
  if (OF_ANOTHER_NODE.test(answer.message)) return false;
  return status === Status.IllegalLifecycle || NOT_READY.test(answer.message);
}

/** Whether the operation that failed so may have been done all the same: the key must be read again. */
export function isOutcomeUnknown(error: unknown): boolean {
  if (!(error instanceof IsthmusError)) return false;
  if (error.code === ErrorCode.HotRodTimeout) return true;
  const status = statusOf(error);
  return status !== undefined && status >= Status.ServerError;
}
