// softflowd's flags that do not change the flows of a capture: what each of them does in procflow under
// its name, in network namespaces of the test's own.
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import t from 'tap';
import { compareFlows } from '../support/compare-flows.js';
import { runGenerator, startIn } from '../support/generators.js';
import { bringUp, createNamespace, createNamespacePair } from '../support/network-namespace.js';
import { startNfcapd } from '../support/nfcapd.js';
import { startProgram, type Program, type ProgramEnd, type Teardown } from '../support/program.js';
import { missingRequirement } from '../support/requirements.js';
import { captureNamed, USUAL } from '../support/softflowd-lines.js';
import {
  COLLECTOR,
  linkProcflow,
  reportedFlows,
  runToNfcapd,
  SECOND_COLLECTOR,
  startLinked,
} from '../support/softflowd.js';
import { receiveTcp, receiveUdp } from '../support/stream-receivers.js';
import { createCgroup } from '../support/test-cgroup.js';

const UNIT = '/lib/systemd/system/softflowd@.service';
const skip = missingRequirement('softflowd', 'unshare', 'python3');
const DATAGRAMS = 5;
const SEND = `python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(${DATAGRAMS}): s.sendto(b'x' * 100, ('127.0.0.1', 9))"`;
const ENDED = 'while kill -0 $pid 2>/dev/null; do sleep 0.1; done';

/** What an administrator does with softflowd, where nobody sees: own interfaces and an own /run. */
function startAlone(t: Teardown, ...commands: readonly string[]): Program {
  const own = ['mount -t tmpfs none /run', 'ip link set lo up'];
  const links = [linkProcflow(t, 'softflowd'), linkProcflow(t, 'softflowctl')].map(dirname);
  const script = ['set -e', ...own, `PATH=${links.join(':')}:$PATH`, ...commands].join('\n');
  const place = ['--mount', '--net', 'env', '-u', 'NODE_OPTIONS', 'sh', '-c'];
  return startProgram(t, 'unshare', [...place, script]);
}

async function run(
  t: Teardown,
  ...args: readonly string[]
): Promise<{ end: ProgramEnd; err: string; out: string }> {
  const program = startLinked(t, linkProcflow(t, 'softflowd'), args);
  const end = await program.ended;
  return { end, err: program.err.join('\n'), out: program.out.join('\n') };
}

t.test('in the background, and controlled by softflowctl', { skip }, async (t) => {
  const program = startAlone(
    t,
    'softflowd -i lo',
    'pid=$(cat /var/run/softflowd.pid)',
    'echo pid $pid',
    SEND,
    ...['timeouts', 'dump-flows', 'expire-all', 'statistics'].map(
      (command) => `/usr/sbin/softflowctl ${command}`,
    ),
    'softflowctl shutdown',
    ENDED,
    'echo left: $(ls /run)',
  );
  await program.success();
  const said = program.out.join('\n');
  const [, pid = ''] = /^pid (\d+)$/m.exec(said) ?? [];
  t.match(said, `softflowd[${pid}]: Printing timeouts:\n           TCP timeout: 3600s`);
  t.match(said, /127\.0\.0\.1\]:9 .*packets>:5/);
  t.match(said, /Expired [1-9]\d* flows/);
  t.match(said, /Packets processed: [1-9]/);
  t.match(said, `softflowd[${pid}]: Shutting down gracefully...`);
  t.match(said, /^left:\s*(procflow)?$/m, 'neither pid file nor socket');
  t.match(program.err.join('\n'), /metering lo; statistics only; process/);
});

const noUnit = skip || (!existsSync(UNIT) && 'this softflowd has no systemd unit');
t.test(
  "the command of Debian's unit starts one procflow an instance",
  { skip: noUnit },
  async (t) => {
    const [, command = ''] =
      /^ExecStart=\/usr\/sbin\/(.*)$/m.exec(readFileSync(UNIT, 'utf8')) ?? [];
    const instance = (name: string, interfaceName: string): string[] => [
      `interface='${interfaceName}'`,
      "options='-v 9 -n 127.0.0.1:9995 -t maxlife=5m -6'",
      command.replaceAll('%I', name),
    ];
    const program = startAlone(
      t,
      'mkdir /run/softflowd',
      'ip link add v0 type veth peer name v1',
      ...instance('default', 'v0'),
      ...instance('second', 'v1'),
      ...['default', 'second'].flatMap((name) => [
        `/usr/sbin/softflowctl -c /run/softflowd/${name}.ctl timeouts`,
        `pid=$(cat /run/softflowd/${name}.pid)`,
        'kill $pid',
        ENDED,
      ]),
    );
    await program.success();
    const lifetimes = program.out.filter((line) => line.includes('Maximum lifetime: 300s'));
    t.equal(lifetimes.length, 2, 'each with its options');
  },
);

t.test('-i 7:lo tells collectors 7', { skip }, async (t) => {
  const namespace = createNamespace(t);
  const place = { namespace, cgroup: createCgroup(t) };
  const collector = await startNfcapd(t);
  const to = ['-n', `127.0.0.1:${collector.port}`];
  const where = ['--netns', namespace.name, '--cgroup', place.cgroup];
  const line = ['-d', '-c', 'none', '-i', '7:lo', ...to, ...where];
  const program = startLinked(t, linkProcflow(t, 'softflowd'), line);
  await program.line('err', /metering lo; NetFlow v5/);
  const target = ['--to', '127.0.0.1', '--port', 4001, '--count', DATAGRAMS];
  await runGenerator(t, place, 'udp-client', ...target);
  await program.stop();
  const flows = await reportedFlows(collector);
  const sent = flows.filter(({ key }) => key.endsWith(' > 127.0.0.1:4001'));
  t.match(sent, [{ packets: DATAGRAMS, interfaces: '7>7' }]);
});

t.test('-L and -S: to a multicast group, without a route', { skip }, async (t) => {
  const pair = createNamespacePair(t);
  bringUp(pair);
  const see = ['-l', '-n', '-v', '-c', '1', '-i', pair.b.interfaceName, 'udp port 4432'];
  const tcpdump = startIn(t, { namespace: pair.b }, 'tcpdump', ...see);
  await tcpdump.line('err', /listening on/);
  const line = ['-d', '-c', 'none', '-v', '9', '-i', 'lo', '-n', '224.0.1.20:4432', '-L', '64'];
  const where = ['-S', pair.a.interfaceName];
  const link = linkProcflow(t, 'softflowd');
  const own = ['env', '-u', 'NODE_OPTIONS', link, ...line, ...where] as const;
  const program = startIn(t, { namespace: pair.a }, ...own);
  await program.line('err', /metering lo; NetFlow v9 to 224\.0\.1\.20:4432/);
  await program.stop();
  await tcpdump.success();
  t.match(tcpdump.out.join('\n'), /ttl 64,[^]*> 224\.0\.1\.20\.4432/);
});

t.test('-l: each flow goes to one of the collectors', { skip }, async (t) => {
  const line = [...USUAL, '-v', '10', '-r', captureNamed('http')];
  const link = linkProcflow(t, 'softflowd');
  const two = ['-l', '-n', `${COLLECTOR},${SECOND_COLLECTOR}`];
  const { flows, second } = await runToNfcapd(t, link, [...line, ...two]);
  const theirs = await runToNfcapd(t, 'softflowd', [...line, '-n', COLLECTOR]);
  t.same(compareFlows(theirs.flows, [...flows, ...second], 'none'), []);
  t.ok(flows.length > 0 && second.length > 0, `${flows.length} and ${second.length}`);
});

t.test('-P tcp: IPFIX over TCP', { skip }, async (t) => {
  const receiver = await receiveTcp(t);
  const line = [...USUAL, '-P', 'tcp', '-v', '10', '-n', receiver.address.replace('tcp://', '')];
  const { end, err } = await run(t, ...line, '-r', captureNamed('dns'));
  t.match(end, { code: 0 });
  t.match(err, /IPFIX to tcp:\/\/127\.0\.0\.1/);
  const [first] = await receiver.messages();
  t.equal(first?.readUInt16BE(0), 10);
});

/** flowStart... of 8 octets, in a template. */
const TIME_FORMATS = [
  { format: 'sec', element: '00980008' },
  { format: 'milli', element: '00980008' },
  { format: 'micro', element: '009a0008' },
  { format: 'nano', element: '009c0008' },
] as const;

for (const { format, element } of TIME_FORMATS) {
  t.test(`-A ${format}: the element of these times`, { skip }, async (t) => {
    const receiver = await receiveUdp(t, '127.0.0.1');
    const line = [...USUAL, '-v', '10', '-A', format, '-n', receiver.address];
    t.match(await run(t, ...line, '-r', captureNamed('dns')), { end: { code: 0 } });
    const messages = await receiver.messages();
    t.ok(messages.some((message) => message.toString('hex').includes(element)));
  });
}

t.test('without -n, with -6: the same packets in the statistics', { skip }, async (t) => {
  const line = [...USUAL, '-6', '-r', captureNamed('mixed')];
  const theirs = startLinked(t, 'softflowd', line);
  await theirs.success();
  const [, packets = ''] = /^Packets processed: (\d+)$/m.exec(theirs.out.join('\n')) ?? [];
  const { end, err } = await run(t, ...line);
  t.match(end, { code: 0 });
  t.match(err, new RegExp(`^procflow: \\d+ flow records, ${packets} packets, `, 'm'));
});

t.test('what changes nothing is said to, each in a line', { skip }, async (t) => {
  const flags = ['-6bNMl', '-B', '8192', '-C', '96', '-A', 'nano', '-p', '/nonexistent/pid'];
  const line = [...USUAL, ...flags, '-n', '127.0.0.1:9', '-L', '3', '-r', captureNamed('dns')];
  const { end, err } = await run(t, ...line);
  t.match(end, { code: 0 });
  const said = [...err.matchAll(/^procflow: (-\S+)(?: 3)? changes nothing: /gm)].map(
    ([, flag]) => flag,
  );
  t.same(said.toSorted(), ['-6', '-A', '-B', '-C', '-L', '-M', '-N', '-b', '-l', '-p']);
});

const REFUSED: readonly { args: readonly string[]; err: RegExp }[] = [
  { args: ['-v', 'psamp'], err: /-v psamp: PSAMP.* is not supported/ },
  { args: ['-R', '4739'], err: /-R 4739: receiving PSAMP is not supported/ },
  { args: ['-P', 'sctp'], err: /-P sctp: SCTP is not supported/ },
  { args: ['-x', '3'], err: /-x 3: MPLS labels are not supported/ },
  { args: ['-P', 'tcp', '-v', '5', '-n', '127.0.0.1:9'], err: /NetFlow v5 goes in datagrams/ },
  { args: ['-t', 'general=0'], err: /-t general=0: is out of range/ },
  { args: ['-t', 'tcp'], err: /-t tcp: has no time/ },
  { args: ['-T', 'mac'], err: /--track mac: there is no such level/ },
  { args: ['-v', '11'], err: /-v 11: no such export version/ },
  { args: ['-v', 'ipfix'], err: /-v ipfix: no such export version/ },
  { args: ['--rate', '0'], err: /--rate 0: is out of range/ },
  { args: ['-L', '256'], err: /-L 256: is out of range/ },
  { args: ['-m', '0'], err: /-m 0: there is no cache without a limit/ },
  { args: ['-m', '8388609'], err: /-m 8388609: is out of range \(give one from 1 to 8388608\)/ },
  { args: ['-L', '256', '-n', '127.0.0.1:9'], err: /-L 256: is out of range/ },
  { args: ['-n', '127.0.0.1'], err: /-n 127\.0\.0\.1: has no port/ },
  { args: ['-f', '3'], err: /unknown option '-f'/ },
];

t.test('what cannot be had is refused by name, in a line', { skip }, async (t) => {
  for (const { args, err } of REFUSED) {
    const refused = await run(t, '-d', '-c', 'none', '-i', 'lo', ...args);
    t.match(refused, { end: { code: 2 }, out: '', err }, args.join(' '));
    t.equal(refused.err.split('\n').length, 1, refused.err);
  }
});

t.test('-D tells more of an error than -d', { skip }, async (t) => {
  const [more, less] = [await run(t, '-D', '-i', 'no/name'), await run(t, '-d', '-i', 'no/name')];
  t.match(more.err, /^procflow: -i no\/name: .*\nConfigError: /);
  t.match(less.err, /^procflow: -i no\/name: [^\n]*$/);
});

t.test('-h shows the flags and the defaults', async (t) => {
  const { end, out } = await run(t, '-h');
  t.match(end, { code: 0 });
  t.match(out, /^Usage: softflowd \[options\] \[expression\.\.\.\]/);
  for (const flag of '6DdhbalNMLTcimnprtvPAsCBRSx')
    t.match(out, new RegExp(`^ +-${flag}, --`, 'm'));
  const text = out.replaceAll(/\s+/g, ' ');
  t.match(text, '"none" is none (default: /var/run/softflowd.ctl)');
  t.match(text, '(default: /var/run/softflowd.pid, in the background only)');
  for (const usual of ['default: 5', 'default: 8192', 'tcp.rst 120', 'expint 60'])
    t.match(out, usual);
});
