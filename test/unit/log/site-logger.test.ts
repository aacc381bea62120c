import { describe, expect, it } from "vitest";
import { siteLogger } from "../../../deploy/log/site-logger.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { LOG_REPEAT_MS, LOG_REPEATS_MAX } from "../../../topology/limits.ts";
import { ManualClock } from "../../support/manual-clock.ts";

function logging() {
  const clock = new ManualClock();
  const text: string[] = [];
  const { logger, close } = siteLogger("nyc", "info", clock, {
    write: (line: string) => void text.push(line),
  });
  const lines = () => text.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { clock, logger, close, text, lines };
}

describe("the log", () => {
  it("is one JSON object a line, with level, time, site and message", () => {
    const { logger, lines, text } = logging();
    logger.child({ cache: "carts" }).warn({ n: 1 }, "two\nlines");
    logger.debug({}, "not at this level");
    expect(text).toHaveLength(1);
    expect(text[0]).toMatch(/^\{.*\}\n$/);
    expect(lines()[0]).toEqual({
      level: "warn",
      time: expect.stringMatching(/Z$/),
      site: "nyc",
      cache: "carts",
      n: 1,
      msg: "two\nlines",
    });
  });

  it("names the site once a line, whoever says it too", () => {
    const { logger, text } = logging();
    logger.warn({ site: "nyc" }, "own");
    logger.warn({ site: "lon" }, "other");
    expect(text[0]?.match(/"site"/g)).toHaveLength(1);
    expect(text[1]).toContain('"site":"lon"');
  });

  it("shows code, message, hint and causes of an error of ours, and the stack of a bug alone", () => {
    const { logger, lines } = logging();
    const cause = new Error("connection refused");
    const known = new IsthmusError(ErrorCode.NatsUnreachable, "no NATS", {
      hint: "start it",
      cause,
    });
    logger.error({ err: known }, "known");
    logger.error({ err: new TypeError("x is undefined") }, "bug");
    expect(lines()[0]?.["err"]).toEqual({
      code: "IS3001",
      message: "no NATS",
      hint: "start it",
      causes: ["connection refused"],
    });
    expect(lines()[1]?.["err"]).toEqual({
      type: "TypeError",
      message: "x is undefined",
      stack: expect.stringContaining("site-logger.test"),
    });
  });
});

describe("a line that recurs", () => {
  it("is written at once, then counted, and told once a while with the newest fields", () => {
    const { clock, logger, lines } = logging();
    for (let n = 0; n < 100; n++) logger.error({ n }, "publishing failed");
    expect(lines().map(({ n }) => n)).toEqual([0]);
    clock.advance(LOG_REPEAT_MS);
    expect(lines()[1]).toMatchObject({ n: 99, repeated: 99, level: "error" });
    clock.advance(LOG_REPEAT_MS);
    expect(lines()).toHaveLength(2);
    logger.error({ n: 100 }, "publishing failed");
    expect(lines()[2]).toMatchObject({ n: 100 });
    expect(lines()[2]).not.toHaveProperty("repeated");
  });

  it("is another one for another cache, level, code or error", () => {
    const { logger, lines } = logging();
    const why = (text: string) => new IsthmusError(ErrorCode.CacheMissing, text);
    logger.child({ cache: "a" }).error({}, "blocked");
    logger.child({ cache: "b" }).error({}, "blocked");
    logger.child({ cache: "b" }).warn({}, "blocked");
    logger.child({ cache: "b" }).warn({ code: "IS2001" }, "blocked");
    logger.child({ cache: "b" }).warn({ err: why("one") }, "blocked");
    logger.child({ cache: "b" }).warn({ err: why("two") }, "blocked");
    logger.child({ cache: "b" }).warn({ err: why("two") }, "blocked");
    expect(lines()).toHaveLength(6);
  });

  it("is told at the end if it was held back, and keeps no timer", () => {
    const { clock, logger, close, lines } = logging();
    logger.info({}, "once");
    logger.warn({}, "twice");
    logger.warn({}, "twice");
    close();
    expect(lines().map(({ msg, repeated }) => [msg, repeated])).toEqual([
      ["once", undefined],
      ["twice", undefined],
      ["twice", 1],
    ]);
    clock.advance(10 * LOG_REPEAT_MS);
    expect(lines()).toHaveLength(3);
  });

  it("is remembered among a bounded number: beyond it lines are written as they come", () => {
    const { logger, lines } = logging();
    for (let i = 0; i < LOG_REPEATS_MAX; i++) logger.info({}, `line ${i}`);
    for (let i = 0; i < 3; i++) logger.info({}, "one more");
    logger.info({}, "line 7");
    expect(lines()).toHaveLength(LOG_REPEATS_MAX + 3);
  });
});
