import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { projectRoot } from "../../../../deploy/lab/which.ts";
import {
  authSessionTabs,
  TABS_MAX,
} from "../../../../topology/policy/keycloak/auth-session-tabs.ts";
import { ProtobufSchema } from "../../../../topology/policy/protobuf/schema.ts";
import { bytesOf, fieldsOf, integerOf, lastOf } from "../../../../topology/policy/protobuf/wire.ts";
import type { MergeInput } from "../../../../topology/version/show.ts";
import {
  authSession,
  field,
  KEYCLOAK_SCHEMA_TEXT,
  keycloakSchema,
  put,
  tab,
  wrapped,
} from "../../../support/keycloak-values.ts";

const merge = authSessionTabs.bind(keycloakSchema);

function read(value: Uint8Array) {
  const message = lastOf(fieldsOf(value), 17);
  const fields = fieldsOf(message === undefined ? Buffer.of() : bytesOf(message));
  const entries = fields
    .filter(({ number }) => number === 4)
    .map((entry) => fieldsOf(bytesOf(entry)));
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
  const tabs = entries.map((entry) => {
    const [key, session] = [lastOf(entry, 1), lastOf(entry, 2)];
    if (key === undefined || session === undefined) throw new Error("no entry of a map");
    const notes = lastOf(fieldsOf(bytesOf(session)), 12);
    const note = notes === undefined ? undefined : lastOf(fieldsOf(bytesOf(notes)), 2);
    return [text(bytesOf(key)), note === undefined ? "" : text(bytesOf(note))] as const;
  });
  return { timestamp: Number(integerOf(lastOf(fields, 3), "int32")), tabs: new Map(tabs) };
}

const shows = (...values: readonly MergeInput[]) => read(merge(values).value);

describe("keycloak/auth-session-tabs", () => {
  it("shows the tabs of all sites, and the latest time of the session", () => {
    const nyc = put("nyc", 1, authSession(100, tab("a", 90), tab("b", 100)));
    const lon = put("lon", 2, authSession(105, tab("a", 90), tab("c", 105)));
    const merged = shows(lon, nyc);
    expect([...merged.tabs.keys()].sort()).toEqual(["a", "b", "c"]);
    expect(merged.timestamp).toBe(105);
  });

  it("takes a tab from where it has the latest timestamp, else from the version written last", () => {
    const nyc = put("nyc", 9, authSession(1, tab("a", 50, "old"), tab("b", 7, "later")));
    const lon = put("lon", 2, authSession(1, tab("a", 51, "new"), tab("b", 7, "earlier")));
    expect(Object.fromEntries(shows(lon, nyc).tabs)).toEqual({ a: "new", b: "later" });
  });

  it("merges what Keycloak's own marshaller wrote into what it reads", () => {
    const golden = readFileSync(join(projectRoot(), "test/golden/keycloak-sessions.txt"), "utf8");
    const valueOf = (name: string): Buffer =>
      Buffer.from(new RegExp(`^${name} (.*)$`, "m").exec(golden)?.[1] ?? "", "hex");
    const [nyc, lon] = [put("nyc", 1, valueOf("nyc")), put("lon", 2, valueOf("lon"))];
    expect(Buffer.from(merge([lon, nyc]).value)).toEqual(valueOf("merged"));
    expect(merge([lon, { ...nyc, value: lon.value }]).value).toEqual(lon.value);
  });

  it("keeps what it does not know of a session and of a tab, byte for byte", () => {
    const strange = field(77, "of a later Keycloak");
    const base = [tab("a", 1, "", strange), strange];
    const nyc = put("nyc", 1, authSession(9, ...base));
    const added = tab("b", 2, "", strange);
    const { value } = merge([put("lon", 2, authSession(8, added)), nyc]);
    expect(Buffer.from(value)).toEqual(authSession(9, ...base, added));
  });

  it("keeps the newest tabs beyond the number that Keycloak keeps", () => {
    const tabs = (prefix: string, from: number, count: number) =>
      Array.from({ length: count }, (_, i) => tab(`${prefix}${i}`, from + i));
    const nyc = put("nyc", 1, authSession(1, ...tabs("old", 1_000, 200)));
    const lon = put("lon", 2, authSession(1, ...tabs("new", 5_000, 200)));
    const shown = shows(lon, nyc).tabs;
    expect(shown.size).toBe(TABS_MAX);
    expect([shown.has("old99"), shown.has("old100"), shown.has("new0")]).toEqual([
      false,
      true,
      true,
    ]);
  });

  it("never shows fewer tabs than one site has: an administrator may have raised the number", () => {
    const many = Array.from({ length: TABS_MAX + 5 }, (_, i) => tab(`t${i}`, i));
    const nyc = put("nyc", 1, authSession(1, ...many));
    const lon = put("lon", 2, authSession(1, tab("one", 9_999)));
    const { tabs } = shows(lon, nyc);
    expect([tabs.size, tabs.has("one"), tabs.has("t0")]).toEqual([TABS_MAX + 5, true, false]);
  });

  it("lives as long as the longest of the versions", () => {
    const expiryOf = (...ends: readonly number[]) =>
      merge(ends.map((expiresAt, i) => put(`s${i}`, i, authSession(i), { expiresAt }))).expiry;
    expect(expiryOf(5, 9).expiresAt).toBe(9);
    expect(expiryOf(5, 0).expiresAt).toBe(0);
  });

  it("goes by the names of the schema", () => {
    const text = KEYCLOAK_SCHEMA_TEXT.replace(
      "authenticationSessions = 4",
      "authenticationSessions = 24",
    );
    const other = authSessionTabs.bind(ProtobufSchema.parse(text));
    const of = (id: string) =>
      wrapped(65_600, field(24, Buffer.concat([field(1, id), field(2, field(3, 5))])));
    const merged = other([put("lon", 1, of("a")), put("nyc", 2, of("b"))]).value;
    const [a, b] = [of("a"), of("b")].map((value) => fieldsOf(value)[1]?.payload ?? Buffer.of());
    expect(Buffer.from(merged)).toEqual(wrapped(65_600, b as Uint8Array, a as Uint8Array));
  });

  it.each([
    ["of another type", wrapped(65_598, field(1, "realm"))],
    ["whose tab is cut off", wrapped(65_600, field(4, Buffer.from([0x0a, 9, 0x61])))],
    ["whose tab is a number", wrapped(65_600, field(4, 7))],
    ["of no message", Buffer.from("plain text")],
  ])("throws for a value %s, rather than losing it", (_what, value) => {
    expect(() => merge([put("lon", 1, authSession(1)), put("nyc", 2, value)])).toThrow();
  });

  it("throws for a schema without a map of tabs", () => {
    const text = KEYCLOAK_SCHEMA_TEXT.replace(/map<string, AuthenticationSessionEntity>/, "string");
    expect(() => authSessionTabs.bind(ProtobufSchema.parse(text))).toThrow("no map of messages");
  });
});

const anyTab = fc
  .record({
    id: fc.constantFrom("a", "b", "c", "ü"),
    timestamp: fc.integer({ min: 0, max: 3 }),
    note: fc.constantFrom("", "x", "y"),
    unknown: fc.uint8Array({ maxLength: 5 }).map((bytes) => field(200, bytes)),
  })
  .map(({ id, timestamp, note, unknown }) => ({ id, bytes: tab(id, timestamp, note, unknown) }));
const anySession = fc
  .record({
    timestamp: fc.integer({ min: 0, max: 3 }),
    tabs: fc.uniqueArray(anyTab, { maxLength: 4, selector: ({ id }) => id }),
    unknown: fc.uint8Array({ maxLength: 5 }).map((bytes) => field(33, bytes)),
  })
  .map(({ timestamp, tabs, unknown }) =>
    authSession(timestamp, ...tabs.map(({ bytes }) => bytes), unknown),
  );
const versions = fc
  .uniqueArray(
    fc.record({
      site: fc.constantFrom("fra", "lon", "nyc", "sfo"),
      at: fc.integer({ min: 0, max: 5 }),
      value: anySession,
      expiresAt: fc.integer({ min: 0, max: 3 }),
    }),
    { minLength: 1, maxLength: 4, selector: ({ site }) => site },
  )
  .map((all) => all.map(({ site, at, value, expiresAt }) => put(site, at, value, { expiresAt })));

describe("keycloak/auth-session-tabs, whatever the tabs", () => {
  it("makes the same bytes of the versions in any order", () => {
    fc.assert(
      fc.property(versions, fc.infiniteStream(fc.nat()), (values, draws) => {
        const keyed = values.map((value) => [draws.next().value as number, value] as const);
        const shuffled = keyed.sort(([x], [y]) => x - y).map(([, value]) => value);
        expect(merge(shuffled)).toEqual(merge(values));
      }),
    );
  });

  it("makes of equal values that value, byte for byte", () => {
    fc.assert(
      fc.property(anySession, (value) => {
        const twice = [put("lon", 1, value), put("nyc", 2, Buffer.from(value))];
        expect(Buffer.from(merge(twice).value)).toEqual(value);
      }),
    );
  });

  it("shows every tab that a site has, each as one of the sites has it", () => {
    fc.assert(
      fc.property(versions, (values) => {
        const entriesOf = (value: Uint8Array) => {
          const message = lastOf(fieldsOf(value), 17);
          return fieldsOf(message?.payload ?? Buffer.of())
            .filter(({ number }) => number === 4)
            .map(({ raw }) => Buffer.from(raw).toString("hex"));
        };
        const given = new Set(values.flatMap(({ value }) => entriesOf(value)));
        const merged = merge(values).value;
        for (const entry of entriesOf(merged)) expect(given).toContain(entry);
        const ids = new Set(values.flatMap(({ value }) => [...read(value).tabs.keys()]));
        expect(new Set(read(merged).tabs.keys())).toEqual(ids);
        expect(entriesOf(merged)).toHaveLength(ids.size);
      }),
    );
  });
});
