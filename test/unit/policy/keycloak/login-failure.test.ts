import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { projectRoot } from "../../../../deploy/lab/which.ts";
import { loginFailure } from "../../../../topology/policy/keycloak/login-failure.ts";
import { ProtobufSchema } from "../../../../topology/policy/protobuf/schema.ts";
import { bytesOf, fieldsOf, integerOf, lastOf } from "../../../../topology/policy/protobuf/wire.ts";
import type { MergeInput } from "../../../../topology/version/show.ts";
import {
  field,
  KEYCLOAK_SCHEMA_TEXT,
  keycloakSchema,
  loginFailures,
  put,
  wrapped,
  type Failures,
} from "../../../support/keycloak-values.ts";

const merge = loginFailure.bind(keycloakSchema);

/** What a value says, read by the published numbers. */
function read(value: Uint8Array) {
  const message = lastOf(fieldsOf(value), 17);
  const fields = fieldsOf(message === undefined ? Buffer.of() : bytesOf(message));
  const number = (n: number) => Number(integerOf(lastOf(fields, n), "int64"));
  const ip = lastOf(fields, 7);
  return {
    notBefore: number(3),
    failures: number(4),
    lockouts: number(5),
    last: number(6),
    ip: ip === undefined ? undefined : Buffer.from(bytesOf(ip)).toString(),
    secondary: number(8),
  };
}

const HOUR = 3_600_000;
const T = 1_795_251_888_000;
/** Keycloak lets a count expire when the realm's reset time is over since its last failure. */
const counted = (site: string, at: number, of: Failures) =>
  put(site, at, loginFailures({ last: at, ...of }), { expiresAt: (of.last ?? at) + 12 * HOUR });
const shows = (...values: readonly MergeInput[]) => read(merge(values).value);

describe("keycloak/login-failure", () => {
  it("takes each number from the site that has the highest, and adds nothing", () => {
    const nyc = counted("nyc", T, { failures: 5, lockouts: 2, notBefore: 100, ip: "10.0.0.1" });
    const lon = counted("lon", T + 9, {
      failures: 3,
      notBefore: 200,
      secondary: 4,
      ip: "10.0.0.2",
    });
    expect(shows(lon, nyc)).toEqual({
      failures: 5,
      lockouts: 2,
      notBefore: 200,
      secondary: 4,
      last: T + 9,
      ip: "10.0.0.2",
    });
  });

  it("takes the address from the site where the last failure was, whoever wrote last", () => {
    const nyc = counted("nyc", T + 50, { failures: 1, last: T, ip: "10.0.0.1" });
    const lon = counted("lon", T + 9, { failures: 1, last: T + 9, ip: "10.0.0.2" });
    expect(shows(lon, nyc).ip).toBe("10.0.0.2");
  });

  it("does not count what had expired at its own site before the last failure elsewhere", () => {
    const nyc = counted("nyc", T, { failures: 29, lockouts: 3, notBefore: 900, secondary: 2 });
    const within = counted("lon", T + 12 * HOUR - 1, { failures: 1 });
    const after = counted("lon", T + 12 * HOUR, { failures: 1 });
    expect(shows(nyc, within)).toMatchObject({ failures: 29, lockouts: 3 });
    expect(shows(nyc, after)).toMatchObject({
      failures: 1,
      lockouts: 0,
      notBefore: 0,
      secondary: 0,
    });
  });

  it("counts for ever what never expires: a lock until an administrator lifts it", () => {
    const nyc = put("nyc", T, loginFailures({ failures: 30, last: T }));
    const lon = put("lon", T + 99 * HOUR, loginFailures({ failures: 1, last: T + 99 * HOUR }));
    expect(shows(nyc, lon).failures).toBe(30);
  });

  it("forgets what a login cleared, and counts the failures after it", () => {
    const nyc = counted("nyc", T, { failures: 29, lockouts: 1, notBefore: 50 });
    const cleared = put("lon", T + 1, loginFailures({}));
    const later = counted("fra", T + 2, { failures: 2 });
    expect(merge([cleared, nyc]).value).toEqual(cleared.value);
    expect(shows(cleared, later, nyc)).toMatchObject({ failures: 2, lockouts: 0, notBefore: 0 });
    expect(shows(put("lon", T - 1, loginFailures({})), nyc).failures).toBe(29);
  });

  it("keeps failed one-time codes whatever a login cleared: a password alone does not clear them", () => {
    const nyc = counted("nyc", T, { failures: 29, secondary: 3 });
    const cleared = put("lon", T + 1, loginFailures({ secondary: 1 }));
    expect(shows(cleared, nyc)).toMatchObject({ failures: 0, secondary: 3 });
  });

  it("lives as long as the longest of what counts", () => {
    const [nyc, lon] = [counted("nyc", T, {}), counted("lon", T + 5, { failures: 1 })];
    expect(merge([lon, nyc]).expiry.expiresAt).toBe(T + 5 + 12 * HOUR);
    const cleared = put("nyc", T - 1, loginFailures({}));
    expect(merge([lon, cleared]).expiry.expiresAt).toBe(T + 5 + 12 * HOUR);
    const locked = put("nyc", T, loginFailures({ failures: 30, last: T }));
    expect(merge([lon, locked]).expiry.expiresAt).toBe(0);
  });

  it("reads what a real Keycloak wrote, and leaves it as it is where nothing is to be merged", () => {
    const trace = readFileSync(
      join(projectRoot(), "test/golden/hotrod-keycloak-trace.txt"),
      "utf8",
    );
    const raw = [...trace.matchAll(/9801be80048a01(?:66|6a|56)[0-9a-f]{172,212}/g)].map(([hex]) =>
      Buffer.from(hex, "hex"),
    );
    const values = raw.map((bytes) => bytes.subarray(0, 8 + (bytes[7] ?? 0)));
    const withFailures = (failures: number): Buffer => {
      const found = values.find((value) => read(value).failures === failures);
      if (found === undefined) throw new Error(`no count of ${failures} in the trace`);
      return found;
    };
    const [first, second, cleared] = [withFailures(1), withFailures(2), withFailures(0)];
    expect(read(first)).toMatchObject({ failures: 1, ip: "127.0.0.1", notBefore: 0 });
    expect(read(second)).toMatchObject({ failures: 2, ip: "127.0.0.1" });
    expect(merge([put("lon", 2, first), put("nyc", 1, second)]).value).toEqual(second);
    expect(merge([put("lon", 1, first), put("nyc", 2, cleared)]).value).toEqual(cleared);
  });

  it("goes by the names of the schema: a schema with other numbers, and without the youngest field", () => {
    const text = KEYCLOAK_SCHEMA_TEXT.replace("numFailures = 4", "numFailures = 14").replace(
      "int32 numSecondaryAuthFailures = 8;",
      "",
    );
    const other = loginFailure.bind(ProtobufSchema.parse(text));
    const of = (failures: number, last: number, more: number) =>
      wrapped(65_598, field(6, last), field(14, failures), field(8, more));
    const merged = other([put("lon", 1, of(7, 1, 9)), put("nyc", 2, of(3, 2, 1))]).value;
    expect(merged).toEqual(of(7, 2, 1));
  });

  it.each([
    ["of another type", wrapped(65_600, field(4, 1))],
    ["cut off", loginFailures({ failures: 3 }).subarray(0, -3)],
    ["of no message", Buffer.from("plain text")],
    ["whose number is a text", wrapped(65_598, field(4, "three"))],
    ["empty", Buffer.of()],
  ])("throws for a value %s, rather than losing it", (_what, value) => {
    expect(() =>
      merge([put("lon", 1, loginFailures({ failures: 1 })), put("nyc", 2, value)]),
    ).toThrow();
  });

  it("throws for a schema that lacks what it reads", () => {
    const lacking = (text: string) => () => loginFailure.bind(ProtobufSchema.parse(text));
    expect(lacking("message Other {}")).toThrow("keycloak.LoginFailureEntity");
    expect(lacking(KEYCLOAK_SCHEMA_TEXT.replace("lastFailure =", "past ="))).toThrow("lastFailure");
  });
});

const number = fc.integer({ min: 0, max: 40 });
const unknown = fc
  .array(fc.tuple(fc.integer({ min: 9, max: 900 }), fc.uint8Array({ maxLength: 9 })))
  .map((fields) => Buffer.concat(fields.map(([n, bytes]) => field(n, bytes))));
const failures = fc.record({
  notBefore: number,
  failures: number,
  lockouts: number,
  last: number,
  ip: fc.constantFrom("10.0.0.1", "10.0.0.2"),
  secondary: number,
  unknown,
});
/** At most one version of a site, as a key has them. */
const versions = fc
  .uniqueArray(
    fc.record({
      site: fc.constantFrom("fra", "lon", "nyc", "sfo"),
      at: fc.integer({ min: 0, max: 30 }),
      of: failures,
      expiresAt: fc.integer({ min: 0, max: 60 }),
    }),
    { minLength: 1, maxLength: 4, selector: ({ site }) => site },
  )
  .map((all) =>
    all.map(({ site, at, of, expiresAt }) => put(site, at, loginFailures(of), { expiresAt })),
  );

describe("keycloak/login-failure, whatever was counted", () => {
  it("makes the same bytes of the versions in any order", () => {
    fc.assert(
      fc.property(versions, fc.infiniteStream(fc.nat()), (values, draws) => {
        const keyed = values.map((value) => [draws.next().value as number, value] as const);
        const shuffled = keyed.sort(([x], [y]) => x - y).map(([, value]) => value);
        expect(merge(shuffled)).toEqual(merge(values));
      }),
    );
  });

  it("makes of equal values that value, byte for byte, unknown fields and all", () => {
    fc.assert(
      fc.property(failures, (of) => {
        const value = loginFailures(of);
        const twice = [put("lon", 1, value), put("nyc", 2, Buffer.from(value))];
        expect(Buffer.from(merge(twice).value)).toEqual(value);
      }),
    );
  });

  it("never counts higher than some site alone, nor locks for longer", () => {
    fc.assert(
      fc.property(versions, (values) => {
        const merged = shows(...values);
        const alone = values.map(({ value }) => read(value));
        for (const key of ["notBefore", "failures", "lockouts", "last", "secondary"] as const) {
          expect(alone.map((one) => one[key])).toContain(merged[key]);
        }
      }),
    );
  });

  it("never counts higher than one site that saw every failure and every login itself", () => {
    const RESET = 10;
    const event = fc.record({
      site: fc.constantFrom("lon", "nyc"),
      afterMs: fc.integer({ min: 1, max: 15 }),
      what: fc.constantFrom("failure", "failure", "failure", "login"),
    });
    fc.assert(
      fc.property(fc.array(event, { minLength: 2, maxLength: 12 }), (events) => {
        const sites = new Map<string, { failures: number; last: number; at: number }>();
        const see = (who: string, now: number, what: string) => {
          const known = sites.get(who) ?? { failures: 0, last: 0, at: 0 };
          const isOver = known.last > 0 && now >= known.last + RESET;
          if (what === "login") sites.set(who, { failures: 0, last: 0, at: now });
          else sites.set(who, { failures: (isOver ? 0 : known.failures) + 1, last: now, at: now });
        };
        let now = 100;
        for (const { site, afterMs, what } of events) {
          now += afterMs;
          see(site, now, what);
          see("all", now, what);
        }
        const both = ["lon", "nyc"].flatMap((site) => {
          const of = sites.get(site);
          if (of === undefined) return [];
          const expiresAt = of.last === 0 ? 0 : of.last + RESET;
          return [put(site, of.at, loginFailures(of), { expiresAt })];
        });
        const most = Math.max(sites.get("all")?.failures ?? 0, afterLogin(events));
        expect(shows(...both).failures).toBeLessThanOrEqual(most);
      }),
    );
  });
});

/** Failures in a row at one site, whatever logins happened at the other: what that site alone would count, at most. */
function afterLogin(events: ReadonlyArray<{ site: string; what: string }>): number {
  const most = ["lon", "nyc"].map((site) => {
    const own = events.filter((event) => event.site === site);
    return own.length - 1 - own.findLastIndex(({ what }) => what === "login");
  });
  return Math.max(...most);
}
