import { describe, expect, it } from "vitest";
import {
  askVerb,
  type Json,
  Question,
  serveVerb,
} from "../../../gateway/control/operator-channel.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { CONTROL_QUESTION_BYTES_MAX } from "../../../topology/limits.ts";
import type { Bus } from "../../../topology/ports.ts";

/** A bus of one subject, which carries errors as NATS does. */
class OneSubject implements Pick<Bus, "serve" | "request"> {
  #handler: ((payload: Uint8Array) => Promise<Uint8Array>) | undefined;
  subject = "";

  serve(subject: string, handler: (payload: Uint8Array) => Promise<Uint8Array>): () => void {
    [this.subject, this.#handler] = [subject, handler];
    return () => {
      this.#handler = undefined;
    };
  }

  async request(subject: string, payload: Uint8Array): Promise<Uint8Array> {
    if (this.#handler === undefined || subject !== this.subject)
      throw new IsthmusError(ErrorCode.PeerUnreachable, "nobody");
    try {
      return await this.#handler(payload);
    } catch (error) {
      const { code = "500", message } = error as { code?: string; message: string };
      throw new IsthmusError(ErrorCode.PeerRefused, `${subject} answered ${code}: ${message}`);
    }
  }
}

const setUp = (answer: (question: Json) => Promise<object>) => {
  const bus = new OneSubject() as OneSubject & Bus;
  const end = serveVerb(bus, "nyc", "verb", answer);
  return { bus, end, ask: (question: object) => askVerb(bus, "nyc", "verb", question, 1) };
};
const refusal = (code: string) => expect.objectContaining({ code });

describe("the operator's channel", () => {
  it("carries a question to one verb of one site, and its answer back, whatever its size", async () => {
    const { bus, ask, end } = setUp((question) =>
      Promise.resolve({ question, long: "x".repeat(2e6) }),
    );
    expect(bus.subject).toBe("isthmus.ctl.nyc.verb");
    expect(await ask({ a: ["é", null, 1] })).toMatchObject({ question: { a: ["é", null, 1] } });
    end();
    await expect(ask({})).rejects.toMatchObject({
      code: ErrorCode.PeerUnreachable,
      message: expect.stringContaining("no active process runs there"),
    });
  });

  it("brings the site's own error back as it was thrown there, and another's as a refusal", async () => {
    const own = setUp(() => {
      throw new IsthmusError(ErrorCode.OperationRefused, "mode is never");
    });
    await expect(own.ask({})).rejects.toMatchObject({
      code: ErrorCode.OperationRefused,
      message: "nyc answered: mode is never",
    });
    const bug = setUp(() => {
      throw new Error("bug");
    });
    await expect(bug.ask({})).rejects.toEqual(refusal(ErrorCode.PeerRefused));
  });

  it("refuses what is no question, or too long, and an answer that it cannot read", async () => {
    const { bus } = setUp(() => Promise.resolve({}));
    for (const bytes of [Buffer.from("{"), Buffer.alloc(CONTROL_QUESTION_BYTES_MAX + 1, " ")])
      await expect(bus.request(bus.subject, bytes)).rejects.toThrow("IS3013");
    bus.serve("isthmus.ctl.nyc.verb", () => Promise.resolve(Buffer.from("no gzip")));
    await expect(askVerb(bus, "nyc", "verb", {}, 1)).rejects.toEqual(
      refusal(ErrorCode.PeerMessageInvalid),
    );
  });
});

describe("a question's fields", () => {
  it("are read by name, with null for what is left out", () => {
    const question = new Question({ t: "x", n: 7, f: true, l: [1], z: null });
    expect([question.text("t"), question.whole("n"), question.flag("f")]).toEqual(["x", 7, true]);
    expect([question.list("l"), question.textOrNull("z"), question.wholeOrNull("none")]).toEqual([
      [1],
      undefined,
      undefined,
    ]);
  });

  it("are refused by name when they are something else", () => {
    const question = new Question({ t: 7, n: 1.5, f: "yes", l: {} });
    for (const read of [
      () => question.text("t"),
      () => question.text("none"),
      () => question.textOrNull("t"),
      () => question.whole("n"),
      () => question.whole("none"),
      () => question.flag("f"),
      () => question.list("l"),
      () => new Question([]),
      () => new Question(null),
    ])
      expect(read).toThrow(refusal(ErrorCode.PeerMessageInvalid));
  });
});
