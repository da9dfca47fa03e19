import t from 'tap';
import { flowJson } from '../../src/cli/flow-json.js';
import {
  ATTRIBUTION_METHOD,
  FLOW_END_REASON,
  FLOW_FLAG,
  FLOW_RECORD,
  UNKNOWN_REASON,
} from '../../src/flow/flow-contract.gen.js';
import type { ProcessIdentity } from '../../src/flow/process-directory.js';
import { DIRECTORY, NOTHING_KNOWN, flowRecord, port } from './record-bytes.js';

const BOOT_EPOCH = { seconds: 0, nanoseconds: 0 };

t.test('an object has everything that the record has', async (t) => {
  const record = flowRecord(
    {
      first_ns: 1_500_000_000n,
      last_ns: 2_999_999_999n,
      packets: 23,
      octets: 1840,
      source_address: [192, 0, 2, 1],
      destination_address: [198, 51, 100, 7],
      interface_index: 3,
      netns: 4_026_531_840,
      source_port: port(51234),
      destination_port: port(443),
      icmp_id: port(77),
      min_length: 40,
      max_length: 1500,
      tcp_flags: 0x1b,
      vlan_id: 5,
      inner_vlan_id: 6,
      min_ttl: 63,
      max_ttl: 64,
      source_mac: [2, 0, 0, 0, 0, 1],
      destination_mac: [2, 0, 0, 0, 0, 0xff],
      ip_version: 4,
      protocol: 6,
      direction: 1,
      tos: 0xb8,
      end_reason: FLOW_END_REASON.FLOW_END_ACTIVE_TIMEOUT,
      flags: 3,
    },
    {
      pid: 1234,
      uid: 1000,
      comm: 'cu"rl\x1b\u202e',
      method: ATTRIBUTION_METHOD.ATTRIBUTION_REVERSE_FLOW,
      startNs: 1_000_000_000n,
      cgroupId: 2n ** 63n + 1n,
    },
  );
  const line = flowJson(record, { seconds: 1000, nanoseconds: 0 }, DIRECTORY);
  t.notMatch(line, /[^\x20-\x7e]/, 'one line of printable ASCII');
  t.same(JSON.parse(line), {
    flowStartMilliseconds: 1_001_500,
    flowEndMilliseconds: 1_002_999,
    flowEndReason: 'activeTimeout',
    flowDirection: 'egress',
    interfaceIndex: 3,
    networkNamespace: 4_026_531_840,
    ipVersion: 4,
    protocolIdentifier: 6,
    sourceAddress: '192.0.2.1',
    destinationAddress: '198.51.100.7',
    sourceTransportPort: 51234,
    destinationTransportPort: 443,
    packetDeltaCount: 23,
    octetDeltaCount: 1840,
    tcpControlBits: 0x1b,
    icmpTypeCode: 0,
    icmpIdentifier: 77,
    ipClassOfService: 0xb8,
    minimumIpTotalLength: 40,
    maximumIpTotalLength: 1500,
    minimumTTL: 63,
    maximumTTL: 64,
    vlanId: 5,
    customerVlanId: 6,
    sourceMacAddress: '02:00:00:00:00:01',
    destinationMacAddress: '02:00:00:00:00:ff',
    isFragmented: true,
    isEnded: true,
    isLoopback: false,
    sourceProcess: {
      attribution: 'reverseFlow',
      processId: 1234,
      processName: 'cu"rl\x1b\u202e',
      userId: 1000,
      userName: 'alice',
      startMilliseconds: 1_001_000,
      execCount: 0,
      cgroupId: '9223372036854775809',
      isShared: false,
    },
    destinationProcess: null,
  });
});

t.test('what is known of a process is there, and only that', async (t) => {
  const process = (identity: Partial<ProcessIdentity>): unknown => {
    const directory = { ...DIRECTORY, identity: () => ({ ...NOTHING_KNOWN, ...identity }) };
    const record = flowRecord({ ip_version: 4, direction: 1 }, { pid: 1, comm: 'a' });
    const line = flowJson(record, BOOT_EPOCH, directory);
    t.notMatch(line, /[^\x20-\x7e]/, 'one line of printable ASCII');
    return (JSON.parse(line) as Record<string, unknown>).sourceProcess;
  };
  const all = {
    executable: '/usr/bin/a',
    commandLine: 'a "\x1b[2J" \u202e',
    parentProcessId: 2,
    parentProcessName: 'b',
    cgroupPath: '/system.slice/a.service',
    systemdUnit: 'a.service',
    containerId: 'c',
    containerRuntime: 'docker',
    podUid: 'd-e',
  };
  const { parentProcessId: parentPid, parentProcessName: parentName, systemdUnit: unit } = all;
  t.match(process({ ...all, parentPid, parentName, unit }), all);
  const without = process({}) as object;
  t.same(
    Object.keys(without).filter((key) => key in all),
    [],
  );
  t.match(process({ commandLine: 'x' }), { ...without, commandLine: 'x' });
});

t.test('where no process was found the method and the reason stand alone', async (t) => {
  const record = flowRecord(
    { ip_version: 4, direction: 1, flags: FLOW_FLAG.FLOW_LOOPBACK },
    { pid: 0, reason: UNKNOWN_REASON.REASON_NO_OWNER },
    { pid: 0, method: ATTRIBUTION_METHOD.ATTRIBUTION_KERNEL },
  );
  const flow = JSON.parse(flowJson(record, BOOT_EPOCH, DIRECTORY)) as Record<string, unknown>;
  t.same(flow.sourceProcess, { attribution: 'unknown', reason: 'noOwner' });
  t.same(flow.destinationProcess, { attribution: 'kernel' });
});

t.test('a value that has no name is its number', async (t) => {
  const record = flowRecord(
    { ip_version: 4, direction: 1, end_reason: 250 },
    { pid: 0, method: 99 },
  );
  t.match(JSON.parse(flowJson(record, BOOT_EPOCH, DIRECTORY)), {
    flowEndReason: '250',
    sourceProcess: { attribution: '99' },
  });
});

t.test('a field that is added to the record has to be added here', async (t) => {
  // The two processes, the flags and the padding are taken apart above.
  t.equal(Object.keys(FLOW_RECORD.fields).length, 30);
});
