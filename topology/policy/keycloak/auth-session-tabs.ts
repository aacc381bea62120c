import { assert } from "../../errors.ts";
import type { MergeFunction, MergeInput } from "../../version/show.ts";
import type { SchemaField } from "../protobuf/schema.ts";
import { bytesOf, fieldsOf, integerOf, lastOf, type WireField } from "../protobuf/wire.ts";
import { rewrapped, unwrapped, type WrappedMessage } from "../protobuf/wrapped-message.ts";
import {
  byAge,
  compare,
  greatest,
  KEYCLOAK_SCHEMA,
  longest,
  requiredField,
  requiredMessage,
  type SchemaMerge,
} from "./schema-merge.ts";

/** Tabs that Keycloak keeps of one browser by default (`authSessionsLimit` of its authentication sessions provider). */
export const TABS_MAX = 300;

/** Field numbers of a map's entries. Source: protobuf.dev/programming-guides/encoding#maps. */
const MAP_KEY = 1;
const MAP_VALUE = 2;

/** One login that is under way in one tab of the browser. */
interface Tab {
  /** Its bytes as latin1. */
  readonly id: string;
  /** s since the epoch: when the tab was opened; Keycloak never moves it. */
  readonly timestamp: bigint;
  readonly from: MergeInput;
  readonly field: WireField;
}

interface Session extends MergeInput, WrappedMessage {
  readonly timestamp: bigint;
  readonly tabs: ReadonlyMap<string, Tab>;
}

/**
 * The logins of one browser that were under way at several sites: all their tabs, each as the version with the latest
 * timestamp has it. The rules one by one, and why: deploy/docs/policies.md.
 *
 * Source of what Keycloak does with the fields: RootAuthenticationSessionUpdater of Keycloak 26.7.3.
 */
export const authSessionTabs: SchemaMerge = {
  schemaFile: KEYCLOAK_SCHEMA,
  bind(schema): MergeFunction {
    const message = requiredMessage(schema, "keycloak.RootAuthenticationSessionEntity");
    const timestamp = requiredField(message, "timestamp");
    const tabs = requiredField(message, "authenticationSessions");
    const { message: tabMessage } = tabs;
    if (!tabs.isMap || tabMessage === undefined) {
      throw new Error(`the published schema has no map of messages in ${message.name}`);
    }
    const tabTimestamp = requiredField(tabMessage, "timestamp");
    const read = (input: MergeInput): Session => {
      const wrapped = unwrapped(input.value, message);
      const { fields } = wrapped;
      const entries = fields
        .filter(({ number }) => number === tabs.number)
        .map((field) => tabIn(field, input, tabTimestamp));
      return {
        ...input,
        ...wrapped,
        timestamp: integerOf(lastOf(fields, timestamp.number), timestamp.type),
        tabs: new Map(entries.map((tab) => [tab.id, tab])),
      };
    };
    return (values) => {
      const [first, ...others] = values.map(read);
      assert(first, "a merge of no values");
      const sessions = [first, ...others] as const;
      const base = greatest(sessions, (x, y) => compare(x.timestamp, y.timestamp) || byAge(x, y));
      const fields = withTabs(base, tabs.number, newestTabs(sessions));
      return {
        value: rewrapped(base, fields),
        expiry: longest(sessions.map(({ expiry }) => expiry)),
      };
    };
  },
};

function tabIn(field: WireField, from: MergeInput, timestamp: SchemaField): Tab {
  const entry = fieldsOf(bytesOf(field));
  const [key, value] = [lastOf(entry, MAP_KEY), lastOf(entry, MAP_VALUE)];
  const id = key === undefined ? "" : Buffer.from(bytesOf(key)).toString("latin1");
  const tab = value === undefined ? [] : fieldsOf(bytesOf(value));
  const opened = integerOf(lastOf(tab, timestamp.number), timestamp.type);
  return { id, timestamp: opened, from, field };
}

/** Each tab as its newest version has it; beyond what Keycloak keeps, the tabs opened last. */
function newestTabs(sessions: readonly Session[]): ReadonlyMap<string, Tab> {
  const newest = new Map<string, Tab>();
  for (const tab of sessions.flatMap(({ tabs }) => [...tabs.values()])) {
    const known = newest.get(tab.id);
    if (known === undefined || byNews(tab, known) > 0) newest.set(tab.id, tab);
  }
  const most = Math.max(TABS_MAX, ...sessions.map(({ tabs }) => tabs.size));
  if (newest.size <= most) return newest;
  const kept = [...newest.values()]
    .sort((x, y) => byNews(y, x) || compare(x.id, y.id))
    .slice(0, most);
  return new Map(kept.map((tab) => [tab.id, tab]));
}

function byNews(x: Tab, y: Tab): number {
  return compare(x.timestamp, y.timestamp) || byAge(x.from, y.from);
}

/** The fields of `base` with these tabs: its own in their places, the others behind them, by id. */
function withTabs(
  base: Session,
  number: number,
  tabs: ReadonlyMap<string, Tab>,
): readonly WireField[] {
  const own = new Map([...base.tabs.values()].map(({ field, id }) => [field, id]));
  const kept = base.fields.flatMap((field) => {
    if (field.number !== number) return [field];
    // Of several entries of one tab only the last counts, and is among its own.
    const id = own.get(field);
    const tab = id === undefined ? undefined : tabs.get(id);
    return tab === undefined ? [] : [tab.field];
  });
  const added = [...tabs.values()]
    .filter(({ id }) => !base.tabs.has(id))
    .sort((x, y) => compare(x.id, y.id));
  return [...kept, ...added.map(({ field }) => field)];
}
