import { JetStreamApiError } from "@nats-io/jetstream";
import {
  AuthorizationError,
  NoRespondersError,
  RequestError,
  TimeoutError,
} from "@nats-io/nats-core";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";

/** JetStream's own error numbers that this project tells apart (nats-server, `server/errors.json`). */
export const ApiErrorCode = {
  ConsumerNotFound: 10014,
  InsufficientResources: 10023,
  NoMessage: 10037,
  StorageExceeded: 10047,
  StreamNotFound: 10059,
  WrongLastSequence: 10071,
  MaximumMessages: 10076,
  StreamFull: 10077,
} as const;

const FULL: ReadonlySet<number> = new Set([
  ApiErrorCode.InsufficientResources,
  ApiErrorCode.StorageExceeded,
  ApiErrorCode.MaximumMessages,
  ApiErrorCode.StreamFull,
]);

/** Whether the server answered with this one of its error numbers. */
export const isApiError = (error: unknown, code: number): boolean =>
  error instanceof JetStreamApiError && error.code === code;

/** Whether nobody listens on the subject of a request. */
export const isNoResponders = (error: unknown): boolean =>
  error instanceof NoRespondersError ||
  (error instanceof RequestError && error.isNoResponders()) ||
  (error instanceof Error && error.cause !== undefined && isNoResponders(error.cause));

/** Whether the server refused who we say we are. */
export const isAuthError = (error: unknown): boolean =>
  error instanceof AuthorizationError ||
  (error instanceof Error && error.cause !== undefined && isAuthError(error.cause));

/**
 * What the NATS client threw, as an error of ours. `doing` completes "could not ...". A failure on the way is `away`:
 * NatsUnreachable for this site's own server, PeerUnreachable for another site's; an answer of the server is LogFull or
 * LogRefused.
 */
export function linkError(
  error: unknown,
  doing: string,
  away: ErrorCode = ErrorCode.NatsUnreachable,
): IsthmusError {
  if (error instanceof IsthmusError) return error;
  if (error instanceof JetStreamApiError) {
    const code = codeOf(error.code, error.status, away);
    return new IsthmusError(
      code,
      `could not ${doing}: JetStream error ${error.code}, ${error.message}`,
      {
        cause: error,
      },
    );
  }
  const reason = isNoResponders(error)
    ? "nobody answers there (JetStream off, no permission, or the link is down)"
    : error instanceof TimeoutError
      ? "no answer in time"
      : error instanceof Error
        ? error.message
        : String(error);
  return new IsthmusError(away, `could not ${doing}: ${reason}`, { cause: error });
}

/** The error for a refusal in a PubAck: JetStream's own number, its HTTP-like status, its text. */
export const refusal = (
  number: number,
  status: number,
  description: string,
  doing: string,
): IsthmusError =>
  new IsthmusError(
    codeOf(number, status, ErrorCode.NatsUnreachable),
    `could not ${doing}: JetStream error ${number}, ${description}`,
  );

function codeOf(number: number, status: number, away: ErrorCode): ErrorCode {
  if (FULL.has(number)) return ErrorCode.LogFull;
  if (number === ApiErrorCode.StreamNotFound) return ErrorCode.LogMissing;
  // 503 is a cluster without a leader, or a server that is not ready yet: it passes.
  return status === 503 ? away : ErrorCode.LogRefused;
}
