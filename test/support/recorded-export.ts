// An exporting process whose messages are kept instead of sent, under a clock that stands still.
import { createExportingProcess } from '../../src/exporter/exporting-process.js';
import type { ExportingProcessOptions } from '../../src/exporter/export-options.js';
import type { ExportingProcess } from '../../src/exporter/exporting-process.js';
import type { MessageTransport } from '../../src/exporter/delivery/message-transport.js';
import { bootEpochOf, type BootEpoch, type KernelClock } from '../../src/flow/clock.js';
import type { MeteringStatus } from '../../src/flow/metering-status.js';
import type { ProcessDirectory, ProcessIdentity } from '../../src/flow/process-directory.js';
import type { DecodedMessage, DecodedRecord } from './decoder/decoded-message.js';
import { flowBatch } from './flow-description.js';
import type { FlowDescription } from './flow-description.js';

/** 2024-01-02 03:04:05.250 UTC. */
export const BOOT_EPOCH_MS = 1_704_164_645_250;
/** An hour after boot, and half a millisecond. */
export const NOW_NS = 3_600_000_500_000n;

const USERS: Readonly<Record<number, string>> = { 0: 'root', 33: 'www-data', 1000: 'alice' };

export class FakeClock implements KernelClock {
  now = NOW_NS;
  epochMs = BOOT_EPOCH_MS;
  bootNs(): bigint {
    return this.now;
  }
  bootEpoch(): BootEpoch {
    return bootEpochOf(BigInt(Math.round(this.epochMs * 1000)) * 1000n);
  }
}

export const DIRECTORY: ProcessDirectory = {
  userName: (uid) => USERS[uid] ?? String(uid),
  userNameBytes: (uid) => Buffer.from(USERS[uid] ?? String(uid)),
  identity: () => undefined,
};

const NOTHING_KNOWN: ProcessIdentity = {
  executable: '',
  commandLine: '',
  parentPid: 0,
  parentName: '',
  cgroupPath: '',
  unit: '',
  containerId: '',
  containerRuntime: '',
  podUid: '',
};

/** Identities by process id. */
export type Identities = Readonly<Record<number, Partial<ProcessIdentity>>>;

/** The users of DIRECTORY, and what is known of these processes. */
export function directoryOf(identities: Identities): ProcessDirectory {
  const known = new Map(
    Object.entries(identities).map(([pid, identity]) => [
      Number(pid),
      { ...NOTHING_KNOWN, ...identity },
    ]),
  );
  return { ...DIRECTORY, identity: (record, side) => known.get(record.pid(side)) };
}

export class RecordingTransport implements MessageTransport {
  readonly destination = 'a test';
  isReliable = false;
  /** Another number begins another session. */
  session = 1;
  readonly messages: Buffer[] = [];
  /** Thrown by the next send. */
  failure: Error | undefined;
  refused = 0;
  isOpen = false;
  async open(): Promise<void> {
    this.isOpen = true;
  }
  async send(bytes: Buffer, octets: number): Promise<void> {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
    this.messages.push(Buffer.from(bytes.subarray(0, octets)));
  }
  async ready(): Promise<number> {
    return this.session;
  }
  confirmed(): number {
    return this.messages.length;
  }
  refusals(): number {
    return this.refused;
  }
  async close(): Promise<void> {
    this.isOpen = false;
  }
}

/** Of a metering process that samples, has an interface and has lost packets. */
export const METERING_STATUS: MeteringStatus = {
  sampling: { kind: 'count', interval: 10 },
  interfaces: () => [{ index: 2, name: 'eth0', description: 'uplink' }],
  losses: () => ({ packets: 3, octets: 400, firstMs: BOOT_EPOCH_MS, lastMs: BOOT_EPOCH_MS }),
};

/** As TCP and files are: a session ends where a connection does. */
export function streamTransport(): RecordingTransport {
  const transport = new RecordingTransport();
  transport.isReliable = true;
  return transport;
}

/** Options records too. */
export function allRecords(messages: readonly DecodedMessage[]): readonly DecodedRecord[] {
  return messages.flatMap(({ records }) => records);
}

export interface RecordedExport {
  readonly exporter: ExportingProcess;
  readonly transport: RecordingTransport;
  readonly clock: FakeClock;
  /** One sweep of these flows. */
  readonly sweep: (flows: readonly FlowDescription[]) => Promise<void>;
}

export async function recordExport(
  version: 1 | 5 | 9 | 10,
  options: Partial<ExportingProcessOptions> = {},
  transport = new RecordingTransport(),
): Promise<RecordedExport> {
  const clock = new FakeClock();
  const exporter = createExportingProcess(
    {
      version,
      observationDomainId: 7,
      templateRefreshMs: 60_000,
      maxMessageOctets: 1372,
      messagesPerSecond: 1_000_000,
      clock,
      directory: DIRECTORY,
      ...options,
    },
    transport,
  );
  await exporter.open();
  return {
    exporter,
    transport,
    clock,
    sweep: async (flows) => {
      await exporter.write(flowBatch(flows));
      await exporter.flush();
      await exporter.drain(1000);
    },
  };
}
