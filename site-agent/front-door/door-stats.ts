/** What a front door counted since its process started. */
export interface DoorStats {
  /** Client connections that are open. */
  connections: number;
  connectionsTotal: number;
  /** Connections that were ended for what they sent, or for what the cache server sent. */
  protocolErrors: number;
  /** Connections for which no cache server could be reached. */
  unreachable: number;
  requests: number;
  /** Writes whose answer waits. */
  held: number;
}

export const noDoorStats = (): DoorStats => ({
  connections: 0,
  connectionsTotal: 0,
  protocolErrors: 0,
  unreachable: 0,
  requests: 0,
  held: 0,
});
