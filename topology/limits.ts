/** Every bound of the system, in one place, each with its reason. Units come last in the names. */

/** Largest value that is replicated, unless the file says otherwise: well above any session, well below NATS's 1 MiB `max_payload` default once two share a batch. */
export const VALUE_BYTES_MAX = 1024 * 1024;

/** Largest Hot Rod frame that is decoded: a value at the limit, its key and header, and room for a getAll. Checked before allocating. */
export const HOT_ROD_FRAME_BYTES_MAX = 64 * 1024 * 1024;

/** Ahead of wall time, how far dots are reserved on disk at once: also how far a restart after a crash can begin ahead of it, so short. */
export const DOT_RESERVE_MS = 1000;
