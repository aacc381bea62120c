import type { Expiry } from "../../version/entry.ts";
import type { MergeFunction, MergeInput } from "../../version/show.ts";
import type { ProtobufSchema, SchemaField, SchemaMessage } from "../protobuf/schema.ts";

/** A merge of values whose fields it finds by their names in the schema that the application publishes. */
export interface SchemaMerge {
  /** The schema's file, as it is registered at the cache servers. */
  readonly schemaFile: string;
  /** @throws Error when the schema does not have what the merge reads */
  bind(schema: ProtobufSchema): MergeFunction;
}

/** Keycloak's schema of what it caches: it registers the file when it starts. */
export const KEYCLOAK_SCHEMA = "KeycloakModelSchema.proto";

/** @throws Error when the schema has no such message */
export function requiredMessage(schema: ProtobufSchema, name: string): SchemaMessage {
  const message = schema.message(name);
  if (message === undefined) throw new Error(`the published schema has no message ${name}`);
  return message;
}

/** @throws Error when the message has no such field */
export function requiredField(message: SchemaMessage, name: string): SchemaField {
  const field = message.field(name);
  if (field === undefined) throw new Error(`the published schema has no ${message.name}.${name}`);
  return field;
}

/** Older first, as the policies by time have it; no two versions of one key are equal. */
export function byAge(x: MergeInput, y: MergeInput): number {
  return x.at - y.at || compare(x.dot, y.dot) || compare(x.site, y.site);
}

/** The first of the greatest, by `compareTwo`. */
export function greatest<T>(items: readonly [T, ...T[]], compareTwo: (x: T, y: T) => number): T {
  return items.reduce((best, item) => (compareTwo(item, best) > 0 ? item : best));
}

/** The longest of several lives: for ever if one of them is. */
export function longest(expiries: readonly Expiry[]): Expiry {
  const latest = (ends: readonly number[]): number => (ends.includes(0) ? 0 : Math.max(...ends));
  return {
    expiresAt: latest(expiries.map(({ expiresAt }) => expiresAt)),
    maxIdleMs: latest(expiries.map(({ maxIdleMs }) => maxIdleMs)),
  };
}

/** The order of two numbers or texts, as `sort` wants it. */
export function compare<T extends bigint | string>(x: T, y: T): number {
  return x < y ? -1 : x > y ? 1 : 0;
}
