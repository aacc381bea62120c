import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { breakOf, LogHead } from "../../../site-agent/tail/log-head.ts";
import { ErrorCode } from "../../../topology/errors.ts";
import { SeededRandom } from "../../support/manual-clock.ts";
import { ScriptedLog } from "../../support/scripted-log.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";

const head = { incarnation: "i1", lastSeq: 7, created: "c1" };
const log = (lastSeq: number, created = "c1") => ({ created, firstSeq: 1, lastSeq });

describe("whether a log can go on under its incarnation", () => {
  it.each([
    ["it ends where it was acknowledged", head, log(7), undefined],
    ["it has more than was acknowledged: an answer was lost", head, log(9), undefined],
    ["it is new to a new site", undefined, log(0), undefined],
    ["it is missing", head, undefined, "missing"],
    ["it is missing for a new site", undefined, undefined, "missing"],
    ["it was made anew", head, log(7, "c2"), "made anew"],
    ["it lost its end", head, log(6), "truncated"],
    [
      "it lost its end and is as long as before",
      { ...head, lostItsEnd: true },
      log(9),
      "truncated",
    ],
    ["it has records that this ledger never wrote", undefined, log(3), "never wrote"],
  ])("when %s", (_name, known, state, expected) => {
    const found = breakOf(known, state);
    if (expected === undefined) expect(found).toBeUndefined();
    else expect(found).toContain(expected);
  });
});

describe("the head of the own log", () => {
  const make = () => {
    const machine = new VirtualMachine();
    const own = new ScriptedLog();
    const random = new SeededRandom();
    const open = () => new LogHead(machine.ledger, own, random);
    return { machine, log: own, open };
  };
  const ack = (seq: number, duplicate = false) => ({ seq, duplicate });

  it("makes a new site's log, without calling that a break", async () => {
    const { machine, log: own, open } = make();
    const fresh = open();
    expect(fresh.isNew).toBe(true);
    expect(await machine.settle(fresh.check(0))).toBeUndefined();
    expect([own.made, fresh.isNew, fresh.lastSeq]).toEqual([1, false, 0]);
    expect(fresh.incarnation).not.toBe("");
  });

  it("keeps incarnation and stream over restarts while nothing is lost, however often it looks", async () => {
    const { machine, log: own, open } = make();
    let fresh = open();
    await machine.settle(fresh.check(0));
    const { incarnation } = fresh;
    for (let run = 0; run < 3; run++) {
      const stored = own.store("s", Buffer.from("x"));
      fresh.acknowledged(ack(stored), fresh.standing);
      await machine.settle(machine.ledger.commit());
      machine.restart();
      fresh = open();
      expect(await machine.settle(fresh.check(fresh.lastSeq))).toBeUndefined();
      expect([fresh.incarnation, fresh.lastSeq, own.made]).toEqual([incarnation, stored, 1]);
    }
  });

  it.each([
    ["lost its end", (own: ScriptedLog) => own.truncate(2), 0],
    ["was deleted", (own: ScriptedLog) => own.drop(), 0],
    ["ends below what a peer applied", () => undefined, 9],
  ])(
    "gives a log that %s a new incarnation and a new stream, on disk before anything is sent",
    async (_name, damage, peersAt) => {
      const { machine, log: own, open } = make();
      const fresh = open();
      await machine.settle(fresh.check(0));
      const before = fresh.incarnation;
      for (let i = 0; i < 5; i++) {
        fresh.acknowledged(ack(own.store("s", Buffer.from("x"))), fresh.standing);
      }
      damage(own);
      expect(await machine.settle(fresh.check(peersAt))).toBeTypeOf("string");
      expect(fresh.incarnation).not.toBe(before);
      expect([fresh.lastSeq, own.made, own.records.length]).toEqual([0, 2, 0]);
      machine.powerCut();
      expect(open().incarnation).toBe(fresh.incarnation);
    },
  );

  it("lets acknowledgements come while it looks: they are no truncation", async () => {
    const { machine, log: own, open } = make();
    const fresh = open();
    await machine.settle(fresh.check(0));
    own.slowState = true;
    const looking = fresh.check(0);
    fresh.acknowledged(ack(own.store("s", Buffer.from("x"))), fresh.standing);
    own.answerState();
    expect(await machine.settle(looking)).toBeUndefined();
    expect([fresh.lastSeq, own.made]).toEqual([1, 1]);
  });

  it("takes acknowledgements in any order, and refuses one that is not above the last known when it was sent (I1)", () => {
    fc.assert(
      fc.property(fc.nat(20), fc.nat(20), fc.boolean(), (known, seq, duplicate) => {
        const machine = new VirtualMachine();
        machine.ledger.setFact("log/head", { incarnation: "i", lastSeq: known, created: "c" });
        const fresh = new LogHead(machine.ledger, new ScriptedLog(), new SeededRandom());
        const take = () => fresh.acknowledged(ack(seq, duplicate), fresh.standing);
        if (duplicate || seq > known) {
          take();
          expect(fresh.lastSeq).toBe(Math.max(known, seq));
        } else expect(take).toThrow(expect.objectContaining({ code: ErrorCode.LogTruncated }));
      }),
    );
    const machine = new VirtualMachine();
    machine.ledger.setFact("log/head", { incarnation: "i", lastSeq: 3, created: "c" });
    const fresh = new LogHead(machine.ledger, new ScriptedLog(), new SeededRandom());
    const [first, second] = [fresh.standing, fresh.standing];
    fresh.acknowledged(ack(5), first);
    fresh.acknowledged(ack(4), second);
    expect(fresh.lastSeq).toBe(5);
  });

  it("takes nothing more from a log that acknowledged a sequence twice, also after a restart, until it is made anew (I1)", async () => {
    const { machine, log: own, open } = make();
    let fresh = open();
    await machine.settle(fresh.check(0));
    for (let i = 0; i < 3; i++) {
      fresh.acknowledged(ack(own.store("s", Buffer.from("x"))), fresh.standing);
    }
    own.truncate(2);
    const take = (seq: number, duplicate = false) =>
      expect(() => fresh.acknowledged(ack(seq, duplicate), fresh.standing)).toThrow("lost its end");
    take(own.store("s", Buffer.from("other")));
    take(3, true);
    take(own.store("s", Buffer.from("of another cache")));
    await machine.settle(machine.ledger.commit());
    machine.restart();
    fresh = open();
    expect(await machine.settle(fresh.check(0))).toContain("truncated");
    expect([own.made, fresh.lastSeq]).toEqual([2, 0]);
    fresh.acknowledged(ack(own.store("s", Buffer.from("x"))), fresh.standing);
    expect(fresh.lastSeq).toBe(1);
  });

  it("takes no acknowledgement of a record that was sent to another incarnation", async () => {
    const { machine, log: own, open } = make();
    const fresh = open();
    await machine.settle(fresh.check(0));
    const sent = fresh.standing;
    own.drop();
    await machine.settle(fresh.check(0));
    expect(() => fresh.acknowledged(ack(9), sent)).toThrow("made anew");
    expect(fresh.lastSeq).toBe(0);
  });

  it("goes on with the log that a lost ledger left", async () => {
    const { machine, log: own, open } = make();
    await machine.settle(own.recreate());
    own.store("s", Buffer.from("x"));
    const fresh = open();
    await machine.settle(fresh.adopt({ incarnation: "old" }));
    expect([fresh.incarnation, fresh.lastSeq, fresh.isNew]).toEqual(["old", 1, false]);
    expect(await machine.settle(fresh.check(1))).toBeUndefined();
    expect(own.made).toBe(1);
  });
});
