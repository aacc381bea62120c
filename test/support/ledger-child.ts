// A process that works on a ledger and can be killed. Arguments: directory, and what to do:
// `write` commits for ever, one number a line once it is committed; every tenth is synced, then said with an `s`; each value
// has 300 bytes, or as many as a third argument says;
// `fill` commits until it is refused, one number a line, and says by which codes everything is refused then;
// `count` opens the ledger and says what is in it.
import { IsthmusError } from "../../topology/errors.ts";
import { makeDot } from "../../topology/version/dot.ts";
import { LmdbLedger } from "../../site-agent/ledger/lmdb-ledger.ts";
import { outboxOf } from "./outbox.ts";

const [directory = "", task = "", bytes = "300"] = process.argv.slice(2);
const say = (line: string) => process.stdout.write(`${line}\n`);

const ledger = await LmdbLedger.open(directory, "nyc", process.pid, { afterTurn: setImmediate });
const cache = ledger.cache("sessions");

/** One change as an agent stages it: entry, outbox row and a fact, in one run. */
function stage(n: number, valueBytes: number): void {
  const dot = makeDot(1_790_000_000_000 + n, 0);
  const context = new Map([["nyc", dot]]);
  const hash = n.toString(16).padStart(32, "0");
  const version = { kind: "put", dot, at: 1_790_000_000_000 + n, hash } as const;
  const expiry = { expiresAt: 0, maxIdleMs: 0 };
  const key = `key ${n}`;
  const value = Buffer.alloc(valueBytes, n);
  const outboxSeq = cache.enqueue({ key, ...version, ...expiry, context: new Map(), value });
  cache.put(key, {
    context,
    siblings: [{ author: "nyc", ...version, ...expiry, offsetMs: 0 }],
    presence: "live",
    held: { hash, token: BigInt(n), seenBy: 1, ...expiry },
    outboxSeq,
  });
  ledger.setFact("written", n);
}

/** The code of the error that `action` throws or rejects with. */
async function refusal(action: () => Promise<void> | void): Promise<string> {
  try {
    await action();
    return "accepted";
  } catch (error) {
    return error instanceof IsthmusError ? error.code : String(error);
  }
}

if (task === "count") {
  const rows = outboxOf(cache, 0, 1_000_000, 1e12);
  const entries = cache.page(undefined, 1_000_000).length;
  const whole = rows.every(({ record }, i) => record.key === `key ${i + 1}`);
  say(JSON.stringify({ written: ledger.fact("written") ?? 0, rows: rows.length, entries, whole }));
  await ledger.close();
}
if (task === "write") {
  for (let n = 1; ; n++) {
    stage(n, Number(bytes));
    if (n % 10 === 0) await ledger.sync();
    else await ledger.commit();
    say(n % 10 === 0 ? `${n}s` : String(n));
  }
}
if (task === "fill") {
  let n = 0;
  let code = "accepted";
  while (code === "accepted") {
    stage(n + 1, 3000);
    code = await refusal(() => ledger.commit());
    if (code === "accepted") say(String(++n));
  }
  const later = await refusal(() => stage(n + 2, 1));
  const [commit, sync] = [await refusal(() => ledger.commit()), await refusal(() => ledger.sync())];
  await ledger.close();
  say(JSON.stringify({ committed: n, code, later, commit, sync }));
}
