import { describe, expect, it } from "vitest";
import { AbsentFetcher, serveFetch } from "../../../gateway/resync/fetch-absent.ts";
import { decodeEntries, decodeKeys, encodeEntries } from "../../../gateway/resync/peer-entries.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { FETCH_BYTES_MAX, FETCH_KEYS_MAX } from "../../../topology/limits.ts";
import type { Bus, CacheHands, PeerEntry } from "../../../topology/ports.ts";
import { MemoryLogger } from "../../support/real-time.ts";
import { hashOf } from "../../support/scripted-cache.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";

const entryOf = (key: string, bytes = 3, offsetMs = 0): PeerEntry => ({
  key,
  floor: new Map(),
  versions: {
    context: new Map([["nyc", 7n]]),
    siblings: [
      {
        author: "nyc",
        dot: 7n,
        at: 1,
        kind: "put",
        hash: hashOf(key),
        expiresAt: 0,
        maxIdleMs: 0,
        offsetMs,
        value: Buffer.alloc(bytes, key),
      },
    ],
  },
});

type Peer = (keys: readonly string[]) => readonly PeerEntry[];

/** A fetcher at a site whose absent keys and whose peers a test says. */
function bench(absent: string[], peers: Record<string, Peer>) {
  const machine = new VirtualMachine();
  const missing = new Set(absent);
  const merged: PeerEntry[] = [];
  const asked: string[] = [];
  const bus = {
    request: async (subject: string, payload: Uint8Array) => {
      await machine.clock.sleep(1);
      const name = subject.split(".")[2] ?? "";
      const { keys } = decodeKeys(payload);
      asked.push(`${name}:${keys.length}`);
      return encodeEntries(peers[name]?.(keys) ?? []);
    },
  } as unknown as Bus;
  const fetcher = new AbsentFetcher({
    cache: "sessions",
    peers: () => Object.keys(peers),
    hands: {
      merge: async (entry: PeerEntry) => {
        merged.push(entry);
        missing.delete(entry.key);
        return "written";
      },
    } as unknown as CacheHands,
    absentKeys: async function* () {
      yield* missing;
    },
    offsetMs: () => 40,
    bus,
    clock: machine.clock,
    random: machine.random,
    logger: new MemoryLogger(),
  });
  const stop = new AbortController();
  void fetcher.run(stop.signal);
  return { machine, fetcher, missing, merged, asked, stop };
}

const unreachable: Peer = () => {
  throw new IsthmusError(ErrorCode.PeerUnreachable, "away");
};

describe("fetching absent keys", () => {
  it("takes each key from the first peer that has it, with the version's expiry in this site's clock", async () => {
    const lon: Peer = (keys) => keys.filter((key) => key === "a").map((key) => entryOf(key, 3, 5));
    const { machine, fetcher, merged, missing } = bench(["a", "b"], {
      lon,
      par: (keys) => keys.map((key) => entryOf(key)),
    });
    fetcher.kick();
    await machine.until(() => missing.size === 0);
    expect(merged.map(({ key, versions }) => [key, versions?.siblings[0]?.offsetMs])).toEqual([
      ["a", 45],
      ["b", 40],
    ]);
    expect(fetcher.fetched).toBe(2);
  });

  it("asks a page of keys at a time, and a peer again while it has more", async () => {
    const keys = Array.from({ length: FETCH_KEYS_MAX + 10 }, (_, i) => `k${i}`);
    const { machine, fetcher, missing, asked } = bench(keys, {
      lon: (wanted) => wanted.slice(0, 300).map((key) => entryOf(key)),
    });
    fetcher.kick();
    await machine.until(() => missing.size === 0);
    expect(asked).toEqual([`lon:${FETCH_KEYS_MAX}`, `lon:${FETCH_KEYS_MAX - 300}`, "lon:10"]);
  });

  it("tries again while a peer that might have a key cannot be reached, and takes it as soon as it can", async () => {
    const peers: Record<string, Peer> = { lon: () => [], par: unreachable };
    const { machine, fetcher, missing, asked } = bench(["a"], peers);
    fetcher.kick();
    await machine.pass(60_000);
    expect(missing.size).toBe(1);
    expect(asked.length).toBeLessThan(200);
    peers["par"] = (keys) => keys.map((key) => entryOf(key));
    await machine.until(() => missing.size === 0);
  });

  it("takes nothing that it did not ask for, and does not ask for ever because of it", async () => {
    const { machine, fetcher, merged, asked } = bench(["a"], { lon: () => [entryOf("other")] });
    fetcher.kick();
    await machine.pass(1_000);
    expect(merged).toEqual([]);
    expect(asked.length).toBeLessThan(20);
  });

  it("does nothing until it is kicked, and nothing more when it is stopped", async () => {
    const { machine, fetcher, asked, stop } = bench(["a"], { lon: () => [] });
    await machine.pass(10_000);
    expect(asked).toEqual([]);
    stop.abort();
    await machine.pass(0);
    fetcher.kick();
    await machine.pass(10_000);
    expect(asked).toEqual([]);
  });
});

describe("answering for keys", () => {
  const serve = (offers: readonly PeerEntry[] | undefined) => {
    let handler!: (payload: Uint8Array) => Promise<Uint8Array>;
    const bus = {
      serve: (_subject: string, answer: typeof handler) => {
        handler = answer;
        return () => undefined;
      },
    } as unknown as Bus;
    const hands = { offer: async () => offers } as unknown as CacheHands;
    serveFetch(bus, "lon", () => (offers === undefined ? undefined : hands));
    return async () => decodeEntries(await handler(Buffer.from([0x93, 1, 0xa1, 0x73, 0x90])));
  };

  it("sends as many entries as fit into one message, and one that is larger than that alone", async () => {
    const half = FETCH_BYTES_MAX / 2 - 1;
    const three = [entryOf("a", half), entryOf("b", half), entryOf("c", half)];
    expect((await serve(three)()).map(({ key }) => key)).toEqual(["a", "b"]);
    const large = [entryOf("a", FETCH_BYTES_MAX), entryOf("b")];
    expect((await serve(large)()).map(({ key }) => key)).toEqual(["a"]);
  });

  it("refuses a cache that it does not handle", async () => {
    await expect(serve(undefined)()).rejects.toMatchObject({ code: ErrorCode.PeerRefused });
  });
});
