// A process that exports what comes through a pipe, record by record, and keeps its journal in a file: to be
// killed. Arguments: the pipe, the file, the collector's port.
import { openSync, readv } from 'node:fs';
import { promisify } from 'node:util';
import { openMappedFile } from '../../src/bpf-loader/mapped-file.js';
import { readExportConfig } from '../../src/daemon/export-config.js';
import { openExporters } from '../../src/daemon/open-exporters.js';
import type { BatchMemory } from '../../src/flow/batch-memory.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import type { FlowSink } from '../../src/flow/flow-sink.js';
import { NON_PROCESS_NAMES } from '../../src/flow/non-process-names.js';
import { NO_SAMPLING } from '../../src/flow/sampling.js';
import { openKernelClock } from '../../src/bpf-loader/kernel-clock.js';
import { DIRECTORY } from './recorded-export.js';

const BATCH_RECORDS = 100;
const readvAsync = promisify(readv);

async function encode(
  memory: BatchMemory,
  sinks: readonly FlowSink[],
  octets: number,
): Promise<void> {
  const batch = { bytes: memory.hand(octets), count: octets / FLOW_RECORD.size };
  await Promise.all(sinks.map((sink) => sink.write(batch)));
  memory.commit();
}

const [pipe = '', journal = '', ...ports] = process.argv.slice(2);
const losses = { packets: 0, octets: 0, firstMs: undefined, lastMs: undefined };
const { memory, sinks } = await openExporters(
  readExportConfig({ version: '10', collector: ports.map((port) => `127.0.0.1:${port}`) }),
  {
    clock: openKernelClock(),
    directory: DIRECTORY,
    nonProcessNames: NON_PROCESS_NAMES,
    status: { sampling: NO_SAMPLING, interfaces: () => [], losses: () => losses },
    observationDomainId: 77,
    sweepIntervalMs: 1000,
    maxFlows: 65_536,
    openMemory: (octets) => ({
      memory: openMappedFile(journal, octets).bytes,
      dropFormer: () => undefined,
    }),
    onNotice: (line) => {
      process.stderr.write(`${line}\n`);
    },
  },
);
if (memory === undefined) throw new Error('there is no journal');
// For reading and writing: it has no end, however often its reader is killed.
const fd = openSync(pipe, 'r+');
if (memory.leftOctets > 0) await encode(memory, sinks, memory.leftOctets);
process.stdout.write('ready\n');
for (;;) {
  memory.begin();
  const part = memory.bytes.subarray(0, BATCH_RECORDS * FLOW_RECORD.size);
  const { bytesRead } = await readvAsync(fd, [part]);
  await encode(memory, sinks, bytesRead);
}
