import t from 'tap';
import { controlProtocol } from '../../src/cli/control-protocol.js';
import type { FlowsNow, MeterControl } from '../../src/daemon/control/meter-control.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { flowsOf, SILENT, STATISTICS } from '../support/silent-control.js';

async function answer(request: string, control: Partial<MeterControl> = {}): Promise<string> {
  let text = '';
  const { answer: ask } = controlProtocol('softflowd');
  for await (const piece of ask({ ...SILENT, ...control }, request)) text += piece;
  return text.replaceAll(`softflowd[${process.pid}]`, 'softflowd[1]');
}

t.test("statistics are in softflowd's words and columns", async (t) => {
  const expected = `\
softflowd[1]: Accumulated statistics since 2026-11-21T23:28:45 UTC:
Number of active flows: 2
Packets processed: 11348
Fragments: 0 without their first one
Ignored packets: 4 (3 non-IP, 1 too short)
Flows expired: 6 (8 forced)
Flows exported: 0 (0 records) in 0 packets (0 failures)
Packets received by eBPF: 11352
Packets dropped by eBPF: 0

Expired flow statistics:  minimum       average       maximum
  Flow bytes:                 112        110772        261758
  Flow packets:                 2          1891          3000
  Duration:                  0.00s         0.02s         0.03s

Expired flow reasons:
       tcp =         1   tcp.rst =         2   tcp.fin =         3
       udp =         4      icmp =         5   general =         6
   maxlife =         7
over 2 GiB =         0
  maxflows =         8
   flushed =         9

Per-protocol statistics:     Octets      Packets   Avg Life    Max Life
           icmp (1):         174000         3000       0.03s       0.03s
     ipv6-icmp (58):         261758         2671       0.02s       0.02s
      Unknown (200):              1            1       0.00s       0.00s

procflow:
`;
  const text = await answer('statistics');
  t.equal(text.slice(0, expected.length), expected);
  t.match(text.slice(expected.length), /^ {2}METERED_PACKETS: 11348$/m);
});

t.test('what went wrong stands in the statistics', async (t) => {
  const text = await answer('statistics', {
    statistics: () => ({
      ...STATISTICS,
      isGathering: false,
      deleted: { records: 14, packets: 23, octets: 1840 },
      recordsNotWritten: 5,
    }),
  });
  t.match(text, /data collection is stopped \(start-gather resumes it\)/);
  t.match(text, /deleted by delete-all: 14 flows, 23 packets, 1840 octets/);
  t.match(text, /records that could not be written: 5/);
});

t.test("timeouts are in softflowd's words, 0 for a lifetime without an end", async (t) => {
  t.equal(
    await answer('timeouts'),
    `\
softflowd[1]: Printing timeouts:
           TCP timeout: 15.5s
  TCP post-RST timeout: 15.5s
  TCP post-FIN timeout: 15.5s
           UDP timeout: 15.5s
          ICMP timeout: 15.5s
       General timeout: 15.5s
      Maximum lifetime: 0s
       Expiry interval: 0.25s
`,
  );
  t.match(JSON.parse(await answer('json timeouts')), { maxlife: 0, udp: 15.5, expint: 0.25 });
});

t.test('each command has its answer', async (t) => {
  const cases = [
    ['expire-all', 'Expired 6 flows.\n'],
    ['delete-all', 'Deleted 14 flows.\n'],
    ['stop-gather', 'Data collection stopped.\n'],
    ['start-gather', 'Data collection resumed.\n'],
    ['debug+', 'Debug level increased.\n'],
    ['debug-', 'Debug level decreased.\n'],
    ['shutdown', 'Shutting down gracefully...\n'],
    ['exit', 'Exiting now...\n'],
    ['dump-flows', 'Dumping flow data:\n'],
  ] as const;
  for (const [request, text] of cases) {
    t.equal(await answer(request), `softflowd[1]: ${text}`);
  }
  const inJson = [
    ['expire-all', { flows: 6 }],
    ['delete-all', { flows: 14, packets: 23, octets: 1840 }],
    ['stop-gather', { isGathering: false }],
    ['debug+', { level: 2 }],
    ['exit', { ending: 'exit' }],
    ['reload', { destinations: ['udp://192.0.2.1:9995'], templates: [] }],
  ] as const;
  for (const [request, object] of inJson) {
    t.same(JSON.parse(await answer(`json ${request}`)), object, request);
  }
  t.equal(await answer('json dump-flows'), '');
});

t.test('collectors that are slow are said, when the answer does not wait for them', async (t) => {
  const later = { expireAll: async () => undefined, deleteAll: async () => undefined };
  t.match(await answer('expire-all', later), /: Flows expire when the collectors have taken/);
  t.match(await answer('delete-all', later), /: Flows are deleted when the collectors have taken/);
  t.same(JSON.parse(await answer('json expire-all', later)), { flows: null });
  t.same(JSON.parse(await answer('json delete-all', later)), {
    ...{ flows: null, packets: null, octets: null },
  });
});

t.test('templates, interfaces and processes are listed', async (t) => {
  t.equal(
    await answer('send-template'),
    `\
softflowd[1]: Templates are sent now to 1 of 3 collectors
  udp://192.0.2.1:9995 is sent its templates now
  tcp://192.0.2.2:4739 is sent templates once a session, nothing is lost in it
  udp://192.0.2.3:2055 gets a format without templates
`,
  );
  t.equal(
    await answer('interfaces'),
    `\
softflowd[1]: Interfaces:
INDEX  NAME  METERED  DESCRIPTION
1      lo    no
2      eth0  yes      up\\x1b[31m
`,
  );
  t.equal(
    await answer('top 2'),
    `\
softflowd[1]: Processes with most octets in flows that go on: 2
OCTETS OUT  OCTETS IN  FLOWS  PID  USER   PROCESS
100         20000      2      12   alice  curl
1           2          1      13   bob    a\\x0ab
`,
  );
  t.match(JSON.parse(await answer('json top 1')), { processes: [{ pid: 12, name: 'curl' }] });
});

t.test('words that are no command are answered, whatever they are', async (t) => {
  for (const words of ['foo', '', 'STATISTICS', 'statistics x', 'top 1 2', 'constructor', 'json']) {
    t.equal(await answer(words), `Unknown control command "${words}"\n`);
  }
  t.equal(await answer('\u0007'), 'Unknown control command "\\x07"\n');
  t.same(JSON.parse(await answer('json foo')), { error: 'Unknown control command "foo"' });
  for (const count of ['0', '-1', 'x', '10001', '1e3']) {
    await t.rejects(answer(`top ${count}`), { message: /give a number of processes/ });
    t.match(JSON.parse(await answer(`json top ${count}`)), { error: /^top / });
  }
});

t.test('an error is told in the form of the answer', async (t) => {
  const startGather = () => {
    throw new Error('meter interface eth0: EBUSY');
  };
  await t.rejects(answer('start-gather', { startGather }), { message: /EBUSY/ });
  t.same(JSON.parse(await answer('json start-gather', { startGather })), {
    error: 'meter interface eth0: EBUSY',
  });
  t.equal(
    controlProtocol('procflow').errorText('a\u001bb'),
    `procflow[${process.pid}]: error: a\\x1bb\n`,
  );
});

const F = FLOW_RECORD.fields;

function flowBytes(): Buffer {
  const bytes = Buffer.alloc(FLOW_RECORD.size);
  bytes.writeBigUInt64LE(10_000_000_000n, F.first_ns.offset);
  bytes.writeBigUInt64LE(12_345_678_901n, F.last_ns.offset);
  bytes.writeBigUInt64LE(3n, F.packets.offset);
  bytes.writeBigUInt64LE(5164n, F.octets.offset);
  bytes.writeUInt8(4, F.ip_version.offset);
  bytes.writeUInt8(6, F.protocol.offset);
  bytes.writeUInt8(1, F.direction.offset); // egress: the source is here
  bytes.writeUInt16LE(0x12, F.tcp_flags.offset);
  bytes.writeUInt16LE(7, F.vlan_id.offset);
  bytes.write('0a000001', F.source_address.offset, 'hex');
  bytes.write('0a000002', F.destination_address.offset, 'hex');
  bytes.writeUInt16BE(36_098, F.source_port.offset);
  bytes.writeUInt16BE(5555, F.destination_port.offset);
  bytes.write('020000000001', F.source_mac.offset, 'hex');
  bytes.write('020000000002', F.destination_mac.offset, 'hex');
  bytes.writeUInt32LE(123, F.source.offset + 16); // pid
  bytes.writeUInt32LE(1000, F.source.offset + 20); // uid
  bytes.write('curl', F.source.offset + 32); // comm
  return bytes;
}

t.test("a flow is softflowd's line with the process behind it", async (t) => {
  t.equal(
    await answer('dump-flows', { flows: () => flowsOf([flowBytes()]) }),
    `\
softflowd[1]: Dumping flow data:
ACTIVE seq:1 [10.0.0.1]:36098 <> [10.0.0.2]:5555 proto:6 octets>:5164 packets>:3 octets<:0 packets<:0 \
start:2023-11-14T22:13:30.000 finish:2023-11-14T22:13:32.345 tcp>:12 tcp<:00 flowlabel>:00000000 \
flowlabel<:00000000 vlan>:7 vlan<:0 ether:02:00:00:00:00:01 <> 02:00:00:00:00:02 process>:curl[123] \
user>:user1000
EXPIRY EVENT for flow 1 in 7 seconds

`,
  );
});

t.test('a flow that waits for its sweep expires now', async (t) => {
  const late = (): FlowsNow => ({ ...flowsOf([flowBytes()]), bootMs: 30_000 });
  t.match(await answer('dump-flows', { flows: late }), /\nEXPIRY EVENT for flow 1 now\n\n$/);
});

t.test('an ICMP flow has type and code where softflowd has them', async (t) => {
  const bytes = flowBytes();
  bytes.writeUInt8(1, F.protocol.offset);
  bytes.writeUInt16BE(0x0303, F.icmp_type_code.offset);
  t.match(
    await answer('dump-flows', { flows: () => flowsOf([bytes]) }),
    /\[10\.0\.0\.1\]:0 <> \[10\.0\.0\.2\]:771 proto:1 /,
  );
});
