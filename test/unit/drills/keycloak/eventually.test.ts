import { describe, expect, it } from "vitest";
import { becomes, eventually, same } from "../../../../deploy/drills/keycloak/eventually.ts";

describe("what is to come true", () => {
  it("is looked at again until it is", async () => {
    let looks = 0;
    expect(await eventually("a third look", async () => (looks += 1) > 2 && looks)).toBe(3);
    let count = 0;
    await becomes("the count", async () => (count += 1), 2);
    expect(count).toBe(2);
  });

  it("fails in time, with what was found last", async () => {
    await expect(eventually("a code", async () => undefined, 1)).rejects.toThrow(
      "a code: not within 0.001 s",
    );
    await expect(becomes("the count", async () => [1, "b"], [2, "b"], 1)).rejects.toThrow(
      'the count: expected [2,"b"], found [1,"b"]',
    );
  });

  it("is told from what it is not, member by member", () => {
    expect(() => same("answers", [200, 400], [200, 400])).not.toThrow();
    expect(() => same("answers", [200, 200], [200, 400])).toThrow(
      "answers: expected [200,400], found [200,200]",
    );
    expect(() => same("a code", undefined, "x")).toThrow('a code: expected "x", found undefined');
  });
});
