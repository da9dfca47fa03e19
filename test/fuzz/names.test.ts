// Hostile names of processes, programs, containers, users and interfaces through all formats and all that
// goes to a terminal.
import t from 'tap';
import { flowTextPieces } from '../../src/cli/control-flows.js';
import { interfacesText, processesText } from '../../src/cli/control-text.js';
import { flowJson } from '../../src/cli/flow-json.js';
import { LiveTable, liveRow } from '../../src/cli/live-line.js';
import { paintFor } from '../../src/cli/terminal-style.js';
import { wideLines } from '../../src/cli/wide-lines.js';
import { FLOW_RECORD } from '../../src/flow/flow-contract.gen.js';
import { FlowRecord } from '../../src/flow/flow-record.js';
import { NON_PROCESS_NAMES } from '../../src/flow/non-process-names.js';
import type { ProcessDirectory, ProcessIdentity } from '../../src/flow/process-directory.js';
import { INFORMATION_ELEMENTS } from '../../src/templates/information-elements.gen.js';
import { parseProcessTextFormat } from '../../src/templates/process-text-format.js';
import { text } from '../support/decoder/field-values.js';
import { CURL_FLOW, LOOPBACK_FLOW } from '../support/described-flows.js';
import { decodeExport } from '../support/exported-messages.js';
import { flowBatch, type FlowDescription } from '../support/flow-description.js';
import {
  allRecords,
  directoryOf,
  METERING_STATUS,
  recordExport,
} from '../support/recorded-export.js';
import { NEVER } from '../support/timeouts.js';
import { fuzz } from './fuzz-rounds.js';
import { expectHarmless, hostileOctets, hostileText } from './hostile-texts.js';
import type { Random } from './random.js';

const FLOWS = 20;
const BOOT_EPOCH = { seconds: 1_704_164_645, nanoseconds: 250_000_000 };
const COMM_OCTETS = 15;
const FORMATS = ['{comm}', '{comm}/{pid} {command}', '{container}:{exe}:{parent}:{unit}:{user}'];
/** What no reader may get: controls, quotes and backslashes (string-octets.ts). */
const UNFIT = /[\p{Cc}"\\]/u;
/** The keys of fields with text; in v9 those of enterprises have their number's first bit set. */
const TEXT_KEYS = new Set(
  Object.values(INFORMATION_ELEMENTS)
    .filter(({ dataType }) => dataType === 'string')
    .flatMap(({ enterprise, id }) => [`${enterprise}/${id}`, `0/${id}`, `0/${0x8000 + id}`]),
);

function hostileIdentity(random: Random): ProcessIdentity {
  const some = (): string => hostileText(random);
  return {
    executable: `/${some()}`,
    commandLine: hostileText(random, 12),
    parentPid: random.word() >>> 10,
    parentName: some(),
    cgroupPath: `/${some()}`,
    unit: some(),
    containerId: some(),
    containerRuntime: random.oneIn(2) ? 'docker' : some(),
    podUid: some(),
  };
}

function hostileDirectory(random: Random, users: readonly string[]): ProcessDirectory {
  const identities = Object.fromEntries(
    Array.from({ length: FLOWS }, (_, i) => [i + 1, hostileIdentity(random)]),
  );
  const userName = (uid: number): string => users[uid % users.length] ?? '';
  return {
    ...directoryOf(identities),
    userName,
    userNameBytes: (uid) => Buffer.from(userName(uid)),
  };
}

function hostileFlows(random: Random): FlowDescription[] {
  return Array.from({ length: FLOWS }, (_, i) => {
    const comm = hostileOctets(random, COMM_OCTETS);
    const process = { pid: i + 1, uid: random.word(), comm };
    return random.oneIn(2)
      ? { ...CURL_FLOW, source: process }
      : { ...LOOPBACK_FLOW, source: process, destination: process };
  });
}

async function exportThem(
  random: Random,
  flows: readonly FlowDescription[],
  directory: ProcessDirectory,
): Promise<void> {
  const version = random.pick([1, 5, 9, 9, 10, 10] as const);
  const nameFormat = parseProcessTextFormat(random.pick(FORMATS));
  const isTemplated = version === 9 || version === 10;
  const { sweep, transport, exporter } = await recordExport(version, {
    directory,
    ...(isTemplated && {
      templates: {
        profile: random.pick(['process', 'full', 'standard'] as const),
        nameFormat,
        userFormat: nameFormat,
        hasApplicationId: random.oneIn(2),
      },
      status: {
        ...METERING_STATUS,
        interfaces: () => [
          { index: 2, name: hostileText(random), description: hostileText(random) },
        ],
      },
    }),
  });
  await sweep(flows);
  const records = allRecords(decodeExport(transport.messages));
  const count = records.filter(({ isOptions }) => !isOptions).length;
  if (count !== flows.length) throw new Error(`${count} records, not ${flows.length}`);
  for (const { fields, template } of isTemplated ? records : []) {
    for (const [key, value] of fields) {
      if (!TEXT_KEYS.has(key)) continue;
      if (!UNFIT.test(text(value))) continue;
      throw new Error(`${key} of template ${template.id}: ${value.toString('hex')}`);
    }
  }
  await exporter.close();
}

async function printThem(
  random: Random,
  flows: readonly FlowDescription[],
  directory: ProcessDirectory,
): Promise<void> {
  const { bytes, count } = flowBatch(flows);
  const names = { directory, nonProcessNames: NON_PROCESS_NAMES };
  const table = new LiveTable(paintFor({ isTTY: false }, {}));
  for (let i = 0; i < count; i++) {
    const record = new FlowRecord().at(bytes, i * FLOW_RECORD.size);
    expectHarmless(table.line(liveRow(record, BOOT_EPOCH, names)), 'a line of live');
    const columns = random.oneIn(2) ? random.below(200) : Infinity;
    for (const line of wideLines(record, directory, columns)) expectHarmless(line, 'a wide line');
    const json = flowJson(record, BOOT_EPOCH, directory);
    expectHarmless(json, 'JSON');
    JSON.parse(json);
  }
  const now = {
    timeouts: NEVER,
    sweepIntervalMs: 1000,
    bootEpoch: BOOT_EPOCH,
    bootMs: 0,
    ...names,
  };
  const batches = (async function* () {
    yield { bytes, count };
  })();
  for await (const piece of flowTextPieces({ ...now, batches }))
    expectHarmless(piece, 'dump-flows');
  const some = (): string => hostileText(random);
  const traffic = { pid: 1, flows: 1, octetsSent: 1, octetsReceived: 1 };
  const processes = [{ ...traffic, name: some(), user: some() }];
  const interfaces = [{ index: 1, name: some(), description: some(), isMetered: true }];
  for (const { more } of [processesText(processes), interfacesText(interfaces)]) {
    const lines = [...more()];
    if (lines.some((line) => line.indexOf('\n') !== line.length - 1))
      throw new Error('lines in a line');
    for (const line of lines) expectHarmless(line, 'a table');
  }
}

t.test('no name breaks a message or reaches a terminal as it is', async (t) => {
  await fuzz(t, 'names', {
    share: 0.07,
    cases: 'flows with hostile names',
    round: async (random) => {
      const users = Array.from({ length: 4 }, () => hostileText(random));
      const directory = hostileDirectory(random, users);
      const flows = hostileFlows(random);
      await exportThem(random, flows, directory);
      await printThem(random, flows, directory);
      return flows.length;
    },
  });
});
