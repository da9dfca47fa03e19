// A process may call itself anything, and so may its parent, its program and its container: no reader
// of what becomes of it is to stumble.
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { flowJson } from '../../../src/cli/flow-json.js';
import { LiveTable, liveRow } from '../../../src/cli/live-line.js';
import { paintFor } from '../../../src/cli/terminal-style.js';
import { wideLines } from '../../../src/cli/wide-lines.js';
import { FLOW_RECORD } from '../../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../../src/flow/flow-record.js';
import { NON_PROCESS_NAMES } from '../../../src/flow/non-process-names.js';
import { parseProcessTextFormat } from '../../../src/templates/process-text-format.js';
import { startDefaultNfcapd } from '../../support/default-nfcapd.js';
import { CURL_FLOW, LOOPBACK_FLOW } from '../../support/described-flows.js';
import { exportedRecords } from '../../support/exported-messages.js';
import { flowBatch, type FlowDescription } from '../../support/flow-description.js';
import { tshark, tsharkComplaints, writePcap } from '../../support/pcap.js';
import { directoryOf, recordExport, type Identities } from '../../support/recorded-export.js';
import { emptiedUdpReceiver } from '../../support/udp-receivers.js';

const BOOT_EPOCH = { seconds: 1_704_164_645, nanoseconds: 250_000_000 };
const latin1 = (text: string): Uint8Array => Buffer.from(text, 'latin1');

/** As the kernel has them: up to 15 octets of anything but NUL. */
const COMMS: readonly Uint8Array[] = [
  ...[
    '"',
    '\\',
    '\\"',
    "'",
    '","a":"',
    '"}]',
    '{',
    '\n',
    '\r\n',
    'a\nb\n',
    '\t',
    '\x1b[2J',
    '\x7f',
  ],
  ...['%s%n%p%x', '%uname', ';;;;', ',,,,', '|', '<b>&amp;</b>', '$(reboot)', '`id`', ' ', '   a'],
  ...['(kernel)', 'null', '0', '-1', '\x9b31m', '\xff'.repeat(15), '\x80', '\xc2', '\xe2\x82'],
  ...[
    '\xf0\x9f\x98',
    '\xed\xa0\x80',
    '\xc0\xaf',
    '\xf4\x90\x80\x80',
    '\xe0\x80\x80',
    '\x01\x02\x03',
  ],
]
  .map(latin1)
  .concat(
    ['ä€😀', '\u202eevil', '\u2028', '\ufeff', '\u0085', 'e\u0301'].map((s) => Buffer.from(s)),
  )
  // The same in every run.
  .concat(
    fc.sample(fc.uint8Array({ min: 1, minLength: 15, maxLength: 15 }), { numRuns: 20, seed: 1 }),
  );

const IDENTITIES: Identities = Object.fromEntries(
  COMMS.map((comm, i) => {
    const text = Buffer.from(comm).toString('utf8');
    return [
      i + 1,
      {
        executable: `/tmp/${text}/${text}`,
        commandLine: `${text} --option="${text}"\n${text.repeat(40)}`,
        parentPid: i + 2,
        parentName: text,
        cgroupPath: `/${text}`,
        unit: `${text}.service`,
        containerId: text,
        containerRuntime: 'lxc',
        podUid: text,
      },
    ];
  }),
);

const FLOWS: readonly FlowDescription[] = COMMS.flatMap((comm, i) => {
  const process = { pid: i + 1, uid: 1000, comm };
  return [
    { ...CURL_FLOW, source: process },
    { ...LOOPBACK_FLOW, source: process, destination: process },
  ];
});

const FORMATS = ['{comm}', '{comm}/{pid} {command}', '{container}:{exe}:{parent}:{unit}'] as const;
const CASES = ([9, 10] as const).flatMap((version) =>
  (['process', 'full', 'standard'] as const).flatMap((profile) =>
    FORMATS.map((format) => ({ version, profile, format })),
  ),
);

async function send(port: number, messages: readonly Buffer[]): Promise<void> {
  const socket = createSocket('udp4');
  try {
    for (const [i, message] of messages.entries()) {
      // The exporter's pace is not what is tested here.
      if (i % 32 === 0) await emptiedUdpReceiver(port);
      await new Promise<void>((resolve, reject) => {
        socket.send(message, port, '127.0.0.1', (error) => {
          if (error === null) resolve();
          else reject(error);
        });
      });
    }
  } finally {
    socket.close();
  }
}

for (const { version, profile, format } of CASES) {
  t.test(
    `nfdump and tshark bear any name: version ${version}, ${profile}, ${format}`,
    async (t) => {
      const nameFormat = parseProcessTextFormat(format);
      const { sweep, transport } = await recordExport(version, {
        templates: { profile, nameFormat, userFormat: nameFormat, hasApplicationId: true },
        directory: directoryOf(IDENTITIES),
      });
      const nfcapd = await startDefaultNfcapd(t);
      await sweep(FLOWS);
      t.equal(exportedRecords(transport.messages).length, FLOWS.length);
      await send(nfcapd.port, transport.messages);
      t.equal((await nfcapd.stop()).drops, 0);
      const json = JSON.parse(nfcapd.nfdump('-o', 'json')) as object[];
      t.equal(json.length, FLOWS.length, 'JSON');
      const lines = nfcapd.nfdump('-q', '-N', '-o', 'fmt:%byt;%uname;%nbnam').trimEnd().split('\n');
      t.equal(lines.length, FLOWS.length, 'one line a flow');
      const octets = lines.map((line) => Number(/^\s*(\d+);/.exec(line)?.[1]));
      t.same(new Set(octets), new Set([CURL_FLOW.octets, LOOPBACK_FLOW.octets]));
      t.notMatch(lines.join(''), /\p{Cc}/u, 'no control characters');

      const directory = mkdtempSync(join(tmpdir(), 'procflow-hostile-'));
      t.teardown(() => rmSync(directory, { recursive: true }));
      const capture = join(directory, 'datagrams.pcap');
      writePcap(capture, transport.messages);
      t.equal(tsharkComplaints(capture), '');
      const frames = JSON.parse(tshark(capture, ['-T', 'json', '-J', 'cflow'])) as object[];
      t.equal(frames.length, transport.messages.length);
    },
  );
}

t.test('a line of live is one line, without anything that steers a terminal', async (t) => {
  const names = { directory: directoryOf(IDENTITIES), nonProcessNames: NON_PROCESS_NAMES };
  const { bytes, count } = flowBatch(FLOWS);
  const record = new FlowRecord();
  const table = new LiveTable(paintFor({ isTTY: false }, {}));
  const unfit = /[\p{C}\p{Zl}\p{Zp}]/u;
  for (let i = 0; i < count; i++) {
    record.at(bytes, i * FLOW_RECORD.size);
    const comm = Buffer.from(COMMS[i >> 1] ?? []);
    t.notMatch(table.line(liveRow(record, BOOT_EPOCH, names)), unfit, comm.toString('hex'));
    for (const line of wideLines(record, names.directory, 120)) t.notMatch(line, unfit);
    const json = flowJson(record, BOOT_EPOCH, names.directory);
    t.notMatch(json, unfit);
    const { sourceProcess } = JSON.parse(json) as { sourceProcess: { processName: string } };
    t.equal(sourceProcess.processName, comm.toString('utf8'), 'JSON has the name as it is');
  }
});
