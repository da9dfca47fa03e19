// A procflow with a control socket, and those who ask there: softflowctl, and procflow ctl.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SessionStatistics } from '../../src/daemon/control/meter-control.js';
import { runGenerator, startGenerator } from './generators.js';
import { startSession, type MeteringSession } from './metering-session.js';
import { PROCFLOW } from './procflow.js';
import type { Teardown } from './program.js';

export interface Asked {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface ControlledExport {
  readonly session: MeteringSession;
  readonly directory: string;
  /** Of the control socket. */
  readonly path: string;
  readonly softflowctl: (command: string) => Promise<Asked>;
  readonly ctl: (...args: string[]) => Promise<Asked>;
  /** The answer of procflow ctl, in JSON. */
  readonly asked: (...args: string[]) => Promise<unknown>;
  readonly statistics: () => Promise<SessionStatistics>;
  /** UDP packets from a to b; resolves to the port when all are metered. */
  readonly sendMetered: (packets: number) => Promise<number>;
  /** The same, when all have arrived. */
  readonly send: (packets: number) => Promise<number>;
}

export function temporaryDirectory(t: Teardown): string {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-control-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  return directory;
}

/** Runs a program to its end. */
export async function run(command: string, ...args: readonly string[]): Promise<Asked> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

export function runCtl(...args: readonly string[]): Promise<Asked> {
  const [command, ...before] = PROCFLOW;
  return run(command, ...before, 'ctl', ...args);
}

/** Flows do not expire by themselves. */
export async function startControlled(
  t: Teardown,
  options: readonly string[] = [],
): Promise<ControlledExport> {
  const directory = temporaryDirectory(t);
  const path = join(directory, 'control');
  const timeouts = ['--idle-timeout', '3600', '--active-timeout', '3600', '-t', 'expint=1'];
  const session = await startSession(t, {
    version: 10,
    options: [...timeouts, '-c', path, ...options],
  });
  const { a, b, pair } = session;
  const ctl = (...args: string[]): Promise<Asked> => runCtl('-c', path, ...args);
  const asked = async (...args: string[]): Promise<unknown> =>
    JSON.parse((await ctl('--json', ...args)).out);
  const statistics = (): Promise<SessionStatistics> =>
    asked('statistics') as Promise<SessionStatistics>;
  const send = async (packets: number): Promise<number> => {
    const server = startGenerator(t, b, 'udp-server', '--count', packets);
    const port = Number((await server.report('ready')).port);
    const to = ['--to', pair.b.ipv4, '--port', port, '--count', packets];
    await runGenerator(t, a, 'udp-client', ...to);
    await server.success();
    return port;
  };
  return {
    ...{ session, directory, path, ctl, asked, statistics, send },
    softflowctl: (command) => run('softflowctl', '-c', path, command),
    sendMetered: async (packets) => {
      const port = await send(packets);
      // What has arrived was metered before.
      const { out } = await ctl('--json', 'dump-flows');
      const metered = out
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
        .find((flow) => flow.destinationTransportPort === port);
      if (metered?.packetDeltaCount !== packets) throw new Error(`not metered: ${out}`);
      return port;
    },
  };
}
