// What a collector of the soak has received, as one of its runs writes it and as the sum of all of them.

export interface Sums {
  packets: number;
  octets: number;
}

export interface Received {
  readonly messages: number;
  readonly records: number;
  readonly sequenceErrors: number;
  /** By the interface's index; empty where the collector does not tell. */
  readonly interfaces: Record<number, Sums>;
}

export const NOTHING_RECEIVED: Received = {
  messages: 0,
  records: 0,
  sequenceErrors: 0,
  interfaces: {},
};

export function sumReceived(runs: readonly Received[]): Received {
  const interfaces: Record<number, Sums> = {};
  for (const run of runs) {
    for (const [index, { packets, octets }] of Object.entries(run.interfaces)) {
      const sums = (interfaces[Number(index)] ??= { packets: 0, octets: 0 });
      sums.packets += packets;
      sums.octets += octets;
    }
  }
  const sum = (of: 'messages' | 'records' | 'sequenceErrors'): number =>
    runs.reduce((total, run) => total + run[of], 0);
  return {
    messages: sum('messages'),
    records: sum('records'),
    sequenceErrors: sum('sequenceErrors'),
    interfaces,
  };
}

export function totalOf(interfaces: Readonly<Record<number, Sums>>): Sums {
  const total = { packets: 0, octets: 0 };
  for (const { packets, octets } of Object.values(interfaces)) {
    total.packets += packets;
    total.octets += octets;
  }
  return total;
}
