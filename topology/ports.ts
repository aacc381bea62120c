/** Time as the code sees it; the only source of it, so that the simulator can run the real code. */
export interface Clock {
  /** Wall time in ms since the epoch. May jump. */
  now(): number;
  /** Monotonic time in ms from an arbitrary start, with a fraction. Never goes back. */
  monotonic(): number;
  /** Resolves after `ms`, or at once (without an error) when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `fn` once after `ms`; the returned function cancels it. */
  after(ms: number, fn: () => void): () => void;
}

/** Randomness as the code sees it. */
export interface Random {
  /** A float in [0, 1). */
  next(): number;
  /** `n` random bytes. */
  bytes(n: number): Buffer;
}

/** Structured log, one line an event. Shape of pino's methods, so that pino fits unchanged. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: object): Logger;
}
