import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { parseKey, showKey } from "../../topology/key-text.ts";
import type { CacheName } from "../../topology/names.ts";
import { policyOf } from "../../topology/policy/cache-policy.ts";
import { valueHash } from "../../topology/version/value-hash.ts";
import { type Json, Question, serveVerb } from "../../gateway/control/operator-channel.ts";
import type { Site } from "../site/site.ts";
import type { OperatedCache } from "./client-write.ts";
import { ConflictRestore, refused, type RestoreOutcome } from "./conflict-restore.ts";
import {
  JournalLists,
  type JournalFilter,
  type VersionView,
  versionView,
} from "./journal-lists.ts";
import { LetterRetry, type LetterOutcome } from "./letter-retry.ts";
import { KeyTracer, type VersionName } from "./trace-key.ts";

/** Answer of `restore`. */
export interface RestoreAnswer {
  readonly outcome: RestoreOutcome;
  readonly cache: CacheName;
  readonly key: string;
  readonly version: VersionView;
  /** Dot of the new write, decimal; null while it is not captured. */
  readonly dot: string | null;
  /** What the cache held before; null: nothing. */
  readonly before: { readonly hash: string; readonly bytes: number } | null;
}

/** Answer of `retry`. */
export interface RetryAnswer {
  readonly cache: CacheName;
  readonly outcomes: ReadonlyArray<{
    readonly key: string;
    readonly outcome: LetterOutcome["outcome"];
  }>;
}

const DOT = /^\d{1,20}$/;

/** What one site answers to `conflicts`, `restore`, `dead-letters`, `retry` and `trace`: see interface of the command line. */
export class OperatorVerbs {
  readonly #site: Site;
  readonly #lists: JournalLists;
  readonly #restore: ConflictRestore;
  readonly #retry: LetterRetry;
  readonly #tracer: KeyTracer;

  constructor(site: Site) {
    const { name, journal, ports, config } = site;
    const { clock, ledger, logger } = ports;
    this.#site = site;
    this.#lists = new JournalLists(name, journal, clock);
    const parts = { site: name, journal, ledger, clock, logger };
    const cache = (wanted: CacheName) => this.#operated(wanted);
    this.#restore = new ConflictRestore({ ...parts, cache });
    this.#retry = new LetterRetry({
      ...parts,
      cache,
      valueBytesMax: config.limits.maxValueBytes,
      retryOf: (wanted, origin) => site.caches.get(wanted)?.retries.get(origin),
    });
    this.#tracer = new KeyTracer(site);
  }

  /** Answers until the returned function is called. */
  serve(): () => void {
    const { name, ports } = this.#site;
    const verbs: Readonly<Record<string, (question: Question) => Promise<object>>> = {
      conflicts: (question) => this.#lists.conflicts(filterOf(question)),
      "dead-letters": (question) => this.#lists.deadLetters(filterOf(question)),
      restore: (question) => this.restore(question),
      retry: (question) => this.retry(question),
      trace: (question) => this.trace(question),
    };
    const ends = Object.entries(verbs).map(([verb, answer]) =>
      serveVerb(ports.bus, name, verb, (question) => answer(new Question(question))),
    );
    return () => {
      for (const end of ends) end();
    };
  }

  async restore(question: Question): Promise<RestoreAnswer> {
    const done = await this.#restore.restore({
      id: question.whole("id"),
      author: question.textOrNull("author"),
      overChanged: question.flag("overChanged"),
    });
    const { outcome, row, version, dot, before } = done;
    return {
      outcome,
      cache: row.cache,
      key: showKey(row.key),
      version: versionView(version),
      dot: dot?.toString() ?? null,
      before: before ?? null,
    };
  }

  async retry(question: Question): Promise<RetryAnswer> {
    const { row, outcomes } = await this.#retry.retry(question.whole("id"));
    const shown = outcomes.map(({ key, outcome }) => ({ key: showKey(key), outcome }));
    return { cache: row.cache, outcomes: shown };
  }

  trace(question: Question): Promise<object> {
    const versions = question.list("versions").map(versionNameOf);
    return this.#tracer.trace(question.text("cache"), parseKey(question.text("key")), versions);
  }

  #operated(cache: CacheName): OperatedCache {
    const { name, caches, config } = this.#site;
    const handled = caches.get(cache);
    const policy = policyOf(config, cache);
    const agent = handled?.agent;
    if (handled === undefined || agent === undefined) {
      throw refused(`${name} does not touch cache ${cache}: its mode is ${policy.mode}`);
    }
    const { mediaType, state } = agent;
    if (!agent.isReady || mediaType === undefined) {
      throw refused(`cache ${cache} is not ready at ${name}: it is ${state}`, "Try again then.");
    }
    return {
      connector: handled.connector,
      rows: agent.rows,
      hash: (value) => valueHash(mediaType, value),
    };
  }
}

const filterOf = (question: Question): JournalFilter => ({
  cache: question.textOrNull("cache"),
  since: question.wholeOrNull("since"),
});

function versionNameOf(json: Json): VersionName {
  const version = new Question(json);
  const [author, dot] = [version.text("author"), version.text("dot")];
  if (DOT.test(dot)) return { author, dot };
  throw new IsthmusError(
    ErrorCode.PeerMessageInvalid,
    `a version's dot is to be decimal, got ${dot}`,
  );
}
