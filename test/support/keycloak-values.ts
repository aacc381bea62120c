import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../deploy/lab/which.ts";
import { ProtobufSchema } from "../../topology/policy/protobuf/schema.ts";
import type { MergeInput } from "../../topology/version/show.ts";

/** What Keycloak 26.7.3 publishes of the messages that merges read. */
export const KEYCLOAK_SCHEMA_TEXT = readFileSync(
  join(projectRoot(), "test", "golden", "keycloak-schema.proto"),
  "utf8",
);
export const keycloakSchema = ProtobufSchema.parse(KEYCLOAK_SCHEMA_TEXT);

/** An encoder of its own, so that the one under test does not vouch for itself. */
export function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    if (rest < 0x80n) return Buffer.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 0x7fn) | 0x80);
  }
}

/** One field: a number as a varint, a text or bytes length-delimited. */
export function field(number: number, value: bigint | number | string | Uint8Array): Buffer {
  const tag = (wireType: number) => varint((BigInt(number) << 3n) | BigInt(wireType));
  if (typeof value === "number" || typeof value === "bigint") {
    return Buffer.concat([tag(0), varint(BigInt(value))]);
  }
  const bytes = Buffer.from(value);
  return Buffer.concat([tag(2), varint(BigInt(bytes.length)), bytes]);
}

const LOGIN_FAILURE = 65_598;
const AUTH_SESSION = 65_600;

/** A message of that type as the cache holds it. */
export function wrapped(typeId: number, ...fields: readonly Uint8Array[]): Buffer {
  return Buffer.concat([field(19, typeId), field(17, Buffer.concat(fields))]);
}

export interface Failures {
  readonly notBefore?: number;
  readonly failures?: number;
  readonly lockouts?: number;
  /** ms */
  readonly last?: number;
  readonly ip?: string;
  readonly secondary?: number;
  readonly unknown?: Uint8Array;
}

/** A LoginFailureEntity as Keycloak writes it: zeros too. */
export function loginFailures(of: Failures): Buffer {
  return wrapped(
    LOGIN_FAILURE,
    field(1, "realm"),
    field(2, "user"),
    field(3, of.notBefore ?? 0),
    field(4, of.failures ?? 0),
    field(5, of.lockouts ?? 0),
    field(6, of.last ?? 0),
    ...(of.ip === undefined ? [] : [field(7, of.ip)]),
    field(8, of.secondary ?? 0),
    of.unknown ?? Buffer.of(),
  );
}

/** A tab of an authentication session, as an entry of its map. */
export function tab(
  id: string,
  timestamp: number,
  note = "",
  unknown: Uint8Array = Buffer.of(),
): Buffer {
  const notes =
    note === "" ? Buffer.of() : field(12, Buffer.concat([field(1, "n"), field(2, note)]));
  const session = Buffer.concat([field(1, "client"), field(3, timestamp), notes, unknown]);
  return field(4, Buffer.concat([field(1, id), field(2, session)]));
}

/** A RootAuthenticationSessionEntity. */
export function authSession(timestamp: number, ...tabs: readonly Uint8Array[]): Buffer {
  const head = [field(1, "realm"), field(2, "root"), field(3, timestamp)];
  return wrapped(AUTH_SESSION, ...head, ...tabs);
}

/** One site's version of a key. */
export function put(
  site: string,
  at: number,
  value: Uint8Array,
  { expiresAt = 0, maxIdleMs = 0 } = {},
): MergeInput {
  const expiry = { expiresAt, maxIdleMs };
  return { value, site, dot: BigInt(at) << 16n, at, expiry };
}
