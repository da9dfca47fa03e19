// nfcapd as it comes, with the socket buffer that the kernel gives everyone.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freeUdpPort } from './nfcapd.js';
import { startProgram, type Teardown } from './program.js';
import { emptiedUdpReceiver } from './udp-receivers.js';

export interface DefaultNfcapd {
  readonly port: number;
  /**
   * Waits until it has read everything, and ends it. Returns the datagrams that its socket
   * dropped, and what it said on its standard error.
   */
  readonly stop: () => Promise<{ drops: number; lines: readonly string[] }>;
  /** What nfdump prints of it, in UTC; after stop() only. */
  readonly nfdump: (...args: readonly string[]) => string;
}

export async function startDefaultNfcapd(t: Teardown): Promise<DefaultNfcapd> {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-nfcapd-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  const port = await freeUdpPort();
  const listen = ['-b', '127.0.0.1', '-p', String(port), '-w', directory];
  const program = startProgram(t, 'nfcapd', [...listen, '-t', '3600', '-S', '0']);
  await emptiedUdpReceiver(port);
  return {
    port,
    stop: async () => {
      const { drops } = await emptiedUdpReceiver(port);
      await program.stop('SIGTERM');
      return { drops, lines: program.err };
    },
    nfdump: (...args) =>
      execFileSync('nfdump', ['-R', directory, ...args], {
        encoding: 'utf8',
        env: { ...process.env, TZ: 'UTC' },
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
  };
}
