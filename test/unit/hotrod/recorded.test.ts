import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { requestDecoder, responseDecoder } from "../../../topology/hotrod/frame.ts";
import type {
  HotRodRequest,
  HotRodResponse,
  RequestContext,
  ResponseBodies,
  Topology,
} from "../../../topology/hotrod/messages.ts";
import { encodeRequest } from "../../../topology/hotrod/request.ts";
import { encodeResponse } from "../../../topology/hotrod/response.ts";

interface Step {
  readonly title: string;
  readonly requests: HotRodRequest[];
  readonly answers: HotRodResponse[];
  /** Each frame as recorded and as it is encoded again. */
  readonly frames: [recorded: string, encoded: string][];
}

/** A recording's steps. Ids begin anew with each login, so the latest request with an id counts. */
function steps(name: string): Step[] {
  const text = readFileSync(new URL(`../../golden/${name}`, import.meta.url), "utf8");
  const requests = new Map<number, RequestContext>();
  const all: Step[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("### ")) {
      all.push({ title: line.slice(4), requests: [], answers: [], frames: [] });
    }
    const step = all.at(-1);
    const [, way, hex = ""] = /^([<>]) ([0-9a-f]+)$/.exec(line) ?? [];
    if (step === undefined || way === undefined) continue;
    if (way === ">") {
      requestDecoder().push(Buffer.from(hex, "hex"), ({ message }) => {
        if (message.op === "unknown") throw new Error(`unknown request in ${step.title}`);
        requests.set(message.header.id, { op: message.op, ...message.header });
        step.requests.push(message);
        step.frames.push([hex, encodeRequest(message).toString("hex")]);
      });
    } else {
      responseDecoder((id) => requests.get(id)).push(Buffer.from(hex, "hex"), ({ message }) => {
        const encoded = encodeResponse(message, requests.get(message.header.id));
        step.answers.push(message);
        step.frames.push([hex, encoded.toString("hex")]);
      });
    }
  }
  return all;
}

/** The first answer in the step with this title, which must be one to `op`. */
function answer<O extends keyof ResponseBodies>(
  all: Step[],
  op: O,
  title: string,
): ResponseBodies[O] & { header: { topology?: Topology } } {
  const found = all.find((step) => step.title === title)?.answers[0];
  if (found?.op !== op) throw new Error(`${title}: expected ${op}, found ${found?.op}`);
  return found as never;
}

const recordings = [
  { name: "hotrod-logins.txt", count: 32 },
  { name: "hotrod-one-server.txt", count: 18 },
  { name: "hotrod-two-servers.txt", count: 70 },
];

describe.each(recordings)("every frame of $name", ({ name, count }) => {
  it("is whole and is encoded to the same bytes again", () => {
    const frames = steps(name).flatMap((step) => step.frames);
    expect(frames.length).toBe(count);
    expect(frames.map(([, encoded]) => encoded)).toEqual(frames.map(([recorded]) => recorded));
  });
});

describe("the recorded topologies of two nodes", () => {
  const all = steps("hotrod-two-servers.txt");

  it("name both servers, and the owners of each segment only for intelligence 3", () => {
    const two = answer(all, "ping", "ping, intelligence 2, no topology known").header.topology;
    const three = answer(all, "ping", "ping, intelligence 3, no topology known").header.topology;
    expect(two?.servers.length).toBe(2);
    expect(two?.hash).toBeUndefined();
    expect(three?.id).toBe(two?.id);
    expect(three?.hash).toMatchObject({ hashFunction: 3, segmentCount: 256 });
    expect(
      three?.hash?.owners.every((owners) => owners.toSorted((a, b) => a - b).join() === "0,1"),
    ).toBe(true);
  });

  it("come with whichever operation asks, a miss too", () => {
    const title = "get of a missing key, intelligence 3, no topology known";
    const miss = answer(all, "get", title);
    expect(miss.value).toBeUndefined();
    expect(miss.header.topology?.servers.length).toBe(2);
  });

  it("are followed by iterations that tell lifespan and max-idle in seconds", () => {
    const batches = all.filter((step) => step.title === "iterationNext");
    const entries = batches.flatMap((step) =>
      step.answers.flatMap((each) => (each as never as ResponseBodies["iterationNext"]).entries),
    );
    const byKey = new Map(entries.map((entry) => [entry.key.toString(), entry.metadata]));
    expect(byKey.size).toBe(12);
    expect(byKey.get("key-0")).toMatchObject({ lifespanSeconds: undefined });
    expect(byKey.get("key-1")).toMatchObject({ lifespanSeconds: 60, maxIdleSeconds: undefined });
    expect(byKey.get("key-2")).toMatchObject({ lifespanSeconds: 60, maxIdleSeconds: 30 });
  });
});

describe("the recorded STATS", () => {
  it("tell the seconds since the cache started, or -1 where no statistics are kept", () => {
    const all = steps("hotrod-one-server.txt");
    const seconds = (title: string) => answer(all, "stats", title).stats.get("timeSinceStart");
    expect(Number(seconds("stats of a cache that keeps statistics"))).toBeGreaterThanOrEqual(0);
    expect(seconds("stats of a cache that keeps none")).toBe("-1");
  });
});

describe("the recorded SCRAM-SHA-512 login", () => {
  it("is what RFC 5802 computes from the password, on both sides", () => {
    const login = steps("hotrod-logins.txt").find((step) => step.title.includes("open sesame"));
    const sent = login?.requests.flatMap((request) => (request.op === "auth" ? [request] : []));
    const got = login?.answers.flatMap((each) => (each.op === "auth" ? [each] : []));
    const [first = "", final = ""] = (sent ?? []).map((each) => each.response.toString());
    const [challenge = "", verdict] = (got ?? []).map((each) => each.challenge.toString());
    const [, salt = "", rounds] = /,s=([^,]+),i=(\d+)$/.exec(challenge) ?? [];
    const [, withoutProof = "", proof] = /^(.*),p=([^,]+)$/.exec(final) ?? [];
    const salted = pbkdf2Sync(
      "open sesame",
      Buffer.from(salt, "base64"),
      Number(rounds),
      64,
      "sha512",
    );
    const hmac = (key: Buffer, text: string) => createHmac("sha512", key).update(text).digest();
    const clientKey = hmac(salted, "Client Key");
    const storedKey = createHash("sha512").update(clientKey).digest();
    const message = [first.slice("n,,".length), challenge, withoutProof].join(",");
    const signature = hmac(storedKey, message);
    const expected = clientKey.map((byte, i) => byte ^ (signature[i] ?? 0));
    expect(proof).toBe(Buffer.from(expected).toString("base64"));
    expect(verdict).toBe(`v=${hmac(hmac(salted, "Server Key"), message).toString("base64")}`);
  });
});
