/** Commits what was queued, one commit at a time: what is queued while one runs shares the next ("group commit"). */
export class GroupCommit {
  readonly #commit: () => Promise<void>;
  readonly #onCommitted: () => void;
  #state: "idle" | "running" | "again" = "idle";

  constructor(commit: () => Promise<void>, onCommitted: () => void) {
    this.#commit = commit;
    this.#onCommitted = onCommitted;
  }

  /** Resolves once what was queued by now is committed, or the commit that runs will be followed by one; rejects as that did. */
  async run(): Promise<void> {
    if (this.#state !== "idle") {
      this.#state = "again";
      return;
    }
    try {
      do {
        this.#state = "running";
        await this.#commit();
        this.#onCommitted();
      } while ((this.#state as string) === "again");
    } finally {
      this.#state = "idle";
    }
  }
}
