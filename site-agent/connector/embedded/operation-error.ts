/** An operation that the embedded server refuses: what the client is answered. Never leaves the server. */
export class OperationError extends Error {
  /** One of Hot Rod's error statuses, 0x81 to 0x88. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "OperationError";
    this.status = status;
  }
}
