// A device without a link layer: its packets begin with the IP header.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import t from 'tap';
import { startExportCapture } from '../support/export-capture.js';
import { runGenerator, startGenerator } from '../support/generators.js';
import { createNamespace } from '../support/network-namespace.js';
import { startNfcapd } from '../support/nfcapd.js';
import { startExport } from '../support/procflow.js';
import { missingRequirement } from '../support/requirements.js';
import { createCgroup } from '../support/test-cgroup.js';

const PACKETS = 23;
const PORT = 4001;

const skip =
  missingRequirement() || (!existsSync('/dev/net/tun') && 'there is no /dev/net/tun (module tun)');

t.test('a tun device is metered in both directions', { skip }, async (t) => {
  const namespace = createNamespace(t);
  const cgroup = createCgroup(t);
  const place = { namespace, cgroup };
  const ip = (...args: string[]): void => {
    execFileSync('ip', ['-n', namespace.name, ...args]);
  };
  const echo = startGenerator(t, place, 'tun-echo', '--interface', 'tun0', '--count', PACKETS);
  await echo.report('ready');
  ip('addr', 'add', '10.97.0.1/24', 'dev', 'tun0');
  const collector = await startNfcapd(t);
  const capture = await startExportCapture(t, collector.port);
  const options = { namespace, interfaces: ['tun0'], version: 10, cgroup } as const;
  const exporter = await startExport(t, { ...options, port: collector.port });
  ip('link', 'set', 'tun0', 'up');

  const to = ['--to', '10.97.0.2', '--port', PORT, '--count', PACKETS, '--read-echo'];
  const client = await runGenerator(t, place, ['udp-client', 'tun-client'], ...to);
  const echoed = await echo.report('done');
  await exporter.stop();
  await capture.stop();
  await collector.stop();

  const counted = { packets: PACKETS, octets: Number(echoed.octets) };
  const process = { pid: client.pid, name: 'tun-client' };
  const flows = capture.flows();
  const there = flows.filter((flow) => flow.destinationPort === PORT);
  const back = flows.filter((flow) => flow.sourcePort === PORT);
  t.equal(there.length, 1);
  t.equal(back.length, 1);
  t.match(there[0], { ...counted, sourceProcess: process });
  t.match(back[0], { ...counted, destinationProcess: process });
});
