// The process that is measured: the daemon's parts from the kernel's flow cache to a collector.
// Sweeps when it is told to, by lines of JSON on its standard input.
// Arguments: the interface, the address and the port of the collector.
import { createInterface } from 'node:readline';
import {
  PerformanceObserver,
  monitorEventLoopDelay,
  type IntervalHistogram,
} from 'node:perf_hooks';
import { readFileSync } from 'node:fs';
import { loadExportSockets } from '../../src/bpf-loader/export-sockets.js';
import { openKernelClock } from '../../src/bpf-loader/kernel-clock.js';
import { openKernelFlowSource } from '../../src/bpf-loader/kernel-flow-source.js';
import { loadLibc } from '../../src/bpf-loader/native/libc.js';
import { findCgroup2Mount } from '../../src/bpf-loader/socket-hooks.js';
import { startMeterSession } from '../../src/daemon/meter-session.js';
import { DEFAULT_MAX_MESSAGE_OCTETS } from '../../src/exporter/export-options.js';
import {
  createExportingProcess,
  type ExportingProcess,
} from '../../src/exporter/exporting-process.js';
import { createUdpTransport } from '../../src/exporter/transports/udp-transport.js';
import type { FlowSink } from '../../src/flow/flow-sink.js';
import { KnownProcesses } from '../../src/process/known-processes.js';
import { TARGETS, type Swept, type TargetName } from './sweep-order.js';

const HOUR_MS = 3_600_000;
/** More than any machine sends. */
const UNPACED = 1_000_000;
const PATIENCE_MS = 30_000;
const CLOCK_THREAD_CPUTIME_ID = 3;

const [, , interfaceName = '', host = '', port = ''] = process.argv;
const libc = loadLibc();
const clock = openKernelClock(libc);
const threadNs = (): bigint => libc.clockNs(CLOCK_THREAD_CPUTIME_ID);
const directory = new KnownProcesses({
  clock,
  cgroupMount: findCgroup2Mount(readFileSync('/proc/self/mountinfo', 'utf8')),
  retainMs: HOUR_MS,
});

async function openTarget(name: TargetName): Promise<ExportingProcess | undefined> {
  const target = TARGETS[name];
  if (target === undefined) return undefined;
  const { openUdpSocket: openSocket, loadSendDatagrams } = loadExportSockets();
  const sendDatagrams = loadSendDatagrams();
  const fast = target.isOneByOne ? {} : { openSocket, sendDatagrams };
  const exporter = createExportingProcess(
    {
      version: target.version,
      templates: { profile: target.profile },
      observationDomainId: 1,
      templateRefreshMs: 60_000,
      maxMessageOctets: DEFAULT_MAX_MESSAGE_OCTETS,
      messagesPerSecond: UNPACED,
      ...{ clock, directory },
    },
    createUdpTransport({ host, port: Number(port), ...fast }),
  );
  await exporter.open();
  return exporter;
}

const exporters = new Map<TargetName, ExportingProcess | undefined>();
for (const name of Object.keys(TARGETS) as TargetName[])
  exporters.set(name, await openTarget(name));
let target: ExportingProcess | undefined;
const sink: FlowSink = {
  write: async (batch) => target?.write(batch),
  flush: async () => target?.flush(),
  close: async () => {
    for (const exporter of exporters.values()) await exporter?.close();
  },
};

const source = openKernelFlowSource({
  interfaces: [interfaceName],
  maxFlows: 1_000_000,
  timeouts: {
    ...{ maxlife: HOUR_MS, general: HOUR_MS, tcp: HOUR_MS, 'tcp.rst': HOUR_MS },
    ...{ 'tcp.fin': HOUR_MS, udp: HOUR_MS, icmp: HOUR_MS },
  },
  onNotice: (line) => process.stderr.write(`${line}\n`),
});
directory.follow(source.processes);
const ending = new AbortController();
const session = startMeterSession({
  source,
  sinks: [sink],
  sweepIntervalMs: HOUR_MS,
  signal: ending.signal,
  onNotice: (line) => process.stderr.write(`${line}\n`),
});

let longestPauseMs = 0;
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) longestPauseMs = Math.max(longestPauseMs, duration);
}).observe({ entryTypes: ['gc'] });

/**
 * The most CPU time that the event loop's thread takes between two ticks of a timer: how long it is held up by
 * what it does itself, and not by others who have the CPU.
 */
class LongestTurn {
  #longestNs = 0n;
  #lastNs = threadNs();
  readonly #timer = setInterval(() => {
    const nowNs = threadNs();
    if (nowNs - this.#lastNs > this.#longestNs) this.#longestNs = nowNs - this.#lastNs;
    this.#lastNs = nowNs;
  }, 1);

  stop(): number {
    clearInterval(this.#timer);
    return Number(this.#longestNs) / 1e6;
  }
}

/** Every flow to this target; or, with nothing expired, a look at all of them. */
async function sweep(name: TargetName, scope: 'all' | 'expired'): Promise<Swept> {
  target = exporters.get(name);
  const before = target?.statistics();
  const delay: IntervalHistogram = monitorEventLoopDelay({ resolution: 1 });
  longestPauseMs = 0;
  delay.enable();
  const turn = new LongestTurn();
  const cpu = process.cpuUsage();
  const begunMs = performance.now();
  let records = 0;
  if (scope === 'all') records = await session.expireAll();
  else for await (const batch of source.sweep('expired')) records += batch.count;
  const sweptMs = performance.now() - begunMs;
  await target?.drain(PATIENCE_MS);
  const ms = performance.now() - begunMs;
  const { user, system } = process.cpuUsage(cpu);
  await new Promise((resolve) => setTimeout(resolve, 5));
  delay.disable();
  const longestTurnMs = turn.stop();
  const after = target?.statistics();
  return {
    ...{ records, ms, sweptMs, userUs: user, systemUs: system, longestPauseMs },
    longestDelayMs: delay.max / 1e6,
    longestTurnMs,
    exported: (after?.records ?? 0) - (before?.records ?? 0),
    messages: (after?.messages ?? 0) - (before?.messages ?? 0),
  };
}

function report(event: string, values: object): void {
  process.stdout.write(`${JSON.stringify({ event, ...values })}\n`);
}

report('ready', {});
for await (const line of createInterface({ input: process.stdin })) {
  const { name, scope } = JSON.parse(line) as { name: TargetName; scope: 'all' | 'expired' };
  directory.drain();
  report('swept', await sweep(name, scope));
}
ending.abort();
await session.ended;
