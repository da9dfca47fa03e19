// A stream of real flows to nfacctd: it has the exporter's own totals and finds nothing wrong, and
// its times are those of tshark, as exactly as it knows them.
import { createSocket } from 'node:dgram';
import t from 'tap';
import { exportProgram } from '../support/exported-program.js';
import { sumFlows } from '../support/metering-session.js';
import { startNfacctd, toNfacctdFlow } from '../support/nfacctd.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement('nfacctd');

for (const version of [9, 10] as const) {
  for (const profile of ['standard', 'process', 'full']) {
    const title = `nfacctd reads profile ${profile} in version ${version} as it was metered`;
    t.test(title, { skip }, async (t) => {
      const nfacctd = await startNfacctd(t, { version });
      const before = Date.now();
      const { port } = nfacctd;
      const options = ['--profile', profile];
      const exported = await exportProgram(t, { version, port, options });
      const after = Date.now();
      const flows = (await nfacctd.stop()).map(toNfacctdFlow);
      t.same(nfacctd.complaints(), []);
      const { records, packets, octets } = exported.summary;
      t.match(sumFlows(flows), { packets, octets });
      t.equal(
        flows.reduce((sum, flow) => sum + flow.flows, 0),
        records,
      );
      const [flow] = flows.filter(({ destinationPort }) => destinationPort === exported.port);
      if (flow === undefined) throw new Error(`no flow to port ${exported.port}`);
      t.match(flow, {
        protocol: 17,
        packets: 5,
        version,
        destinationProcess: { pid: 0, name: '' },
      });
      const { pid, name } = exported;
      const named = { pid, name, userName: 'root' };
      t.match(flow.sourceProcess, profile === 'standard' ? { pid: 0, name: '' } : named);
      // v9: whole seconds, and up to a second late
      const lateMs = version === 9 ? 1000 : 0;
      t.ok(flow.startMs >= before && flow.endMs <= after + lateMs, 'within the test');
      t.ok(flow.startMs <= flow.endMs);
      if (version === 9) t.equal(flow.startMs % 1000, 0);
    });
  }
}

/** IPFIX, exported 2024-01-02, domain 1. */
function message(sequenceNumber: number, set: string): Buffer {
  const octets = 16 + set.length / 2;
  const header = ['000a', octets.toString(16).padStart(4, '0'), '659393b6'];
  const sequence = sequenceNumber.toString(16).padStart(8, '0');
  return Buffer.from([...header, sequence, '00000001', set].join(''), 'hex');
}

t.test('nfacctd says so when messages or a template are missing', async (t) => {
  const nfacctd = await startNfacctd(t, { version: 10 });
  const socket = createSocket('udp4');
  t.teardown(() => void socket.close());
  const messages = [
    message(7, '0002001801000004' + '00080004' + '000c0004' + '00020008' + '00010008'),
    message(7, '0100001c' + 'c0000201' + 'c0000202' + '0000000000000001' + '0000000000000064'),
    message(11, '0100001c' + 'c0000201' + 'c0000203' + '0000000000000001' + '0000000000000064'),
    message(12, '012c0008' + '00000001'),
    Buffer.from('0001', 'hex'),
  ];
  for (const bytes of messages) {
    await new Promise((resolve) => {
      socket.send(bytes, nfacctd.port, '127.0.0.1', resolve);
    });
  }
  t.match(
    (await nfacctd.stop()).map(({ ip_dst: destination }) => destination).sort(),
    ['192.0.2.2', '192.0.2.3'],
    'what came is there',
  );
  const [gap, unknown, short, ...others] = nfacctd.complaints();
  t.match(gap, "expecting flow '8' but received '11'");
  t.match(unknown, 'unknown template 300');
  t.match(short, 'discarding');
  t.same(others, []);
});
