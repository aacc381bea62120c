import { describe, expect, it } from "vitest";
import { CookieJar } from "../../../../deploy/drills/keycloak/cookie-jar.ts";

function jarOf(...lines: string[]): CookieJar {
  const jar = new CookieJar();
  const headers = new Headers();
  for (const line of lines) headers.append("set-cookie", line);
  jar.take(headers);
  return jar;
}

describe("a cookie jar", () => {
  it("sends each cookie below its path and nowhere else", () => {
    const jar = jarOf("A=1; Path=/realms/trial/; HttpOnly; Secure", "B=x=y; path=/other", "C=3");
    expect(jar.header("/realms/trial/login")).toBe("A=1; C=3");
    expect(jar.header("/realms/trial2/login")).toBe("C=3");
    expect(jar.header("/other")).toBe("B=x=y; C=3");
    expect(jarOf().header("/")).toBeUndefined();
  });

  it("keeps the newest value, and forgets what has expired or is emptied", () => {
    const jar = jarOf("A=1; Path=/", "A=2; Path=/", "B=1; Max-Age=0", "C=1; Max-Age=60");
    expect(jar.header("/")).toBe("A=2; C=1");
    jar.take(new Headers({ "set-cookie": "A=; Expires=Thu, 01 Jan 1970 00:00:10 GMT" }));
    expect(jar.header("/")).toBe("C=1");
    expect(jar.value("A")).toBeUndefined();
  });

  it("is copied with what it holds, and then goes its own way", () => {
    const jar = jarOf("A=1; Path=/");
    const copy = jar.copy();
    jar.take(new Headers({ "set-cookie": "A=2; Path=/" }));
    expect([jar.value("A"), copy.value("A")]).toEqual(["2", "1"]);
  });
});
