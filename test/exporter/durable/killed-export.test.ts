// A process that exports is killed again and again, in the middle of whatever it does; the next one goes on
// from its journal. Over UDP each flow arrives once, and sequence numbers have no gap.
import { execFileSync } from 'node:child_process';
import { constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { systemErrorCode } from '../../../src/exporter/export-error.js';
import { FLOW_RECORD } from '../../../src/flow/flow-contract.gen.js';
import { sequenceGaps } from '../../support/decoder/sequence-check.js';
import { CURL_FLOW } from '../../support/described-flows.js';
import { decodeExport } from '../../support/exported-messages.js';
import { FlowCollector } from '../../support/flow-collector.js';
import { flowBatch } from '../../support/flow-description.js';
import { NODE } from '../../support/procflow.js';
import { startProgram, type Program } from '../../support/program.js';

const CHILD = fileURLToPath(new URL('../../support/journal-child.js', import.meta.url));
/** What a pipe takes as a whole. */
const RECORDS_A_WRITE = Math.floor(4096 / FLOW_RECORD.size);
const KILLS = 20;
const RECORDS_A_RUN = 960;

t.test('killed at any moment, each flow arrives once at each collector', async (t) => {
  const directory = t.testdir({});
  const pipe = join(directory, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const kernel = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  const collectors = [await FlowCollector.listen(t), await FlowCollector.listen(t)];
  const ports = collectors.map(({ port }) => port);
  const [command, ...before] = NODE;
  const start = async (): Promise<Program> => {
    const program = startProgram(t, command, [
      ...[...before, CHILD, pipe, join(directory, 'journal')],
      ...ports,
    ]);
    await program.line('out', /^ready/);
    return program;
  };
  let written = 0;
  let wanted = 0;
  /** As many as the pipe has room for: the rest when there is a reader again. */
  const offer = async (): Promise<void> => {
    while (written < wanted) {
      const flows = Array.from({ length: RECORDS_A_WRITE }, (_, i) => ({
        ...CURL_FLOW,
        packets: written + i + 1,
      }));
      try {
        writeSync(kernel, flowBatch(flows).bytes);
        written += RECORDS_A_WRITE;
      } catch (error) {
        if (systemErrorCode(error) !== 'EAGAIN') throw error;
      }
      await delay(0);
    }
  };
  for (let kill = 0; kill < KILLS; kill++) {
    const program = await start();
    const messages = collectors[kill % 2]?.messages.length ?? 0;
    wanted = written + RECORDS_A_RUN;
    const offered = offer();
    // After so many messages of this run, which differs each time.
    while ((collectors[kill % 2]?.messages.length ?? 0) < messages + 1 + (kill % 5)) await delay(0);
    if (kill % 3 === 0) await delay(kill / 3);
    await program.stop('SIGKILL');
    wanted = written;
    await offered;
  }
  wanted += RECORDS_A_RUN;
  const last = await start();
  await offer();
  const expected = Array.from({ length: written }, (_, i) => i + 1);
  for (const collector of collectors) {
    await collector.until(() => collector.packets().length >= written);
    t.same(
      collector.packets().sort((a, b) => a - b),
      expected,
    );
    t.same(sequenceGaps(decodeExport(collector.messages)), []);
  }
  t.same(last.err, []);
  await last.stop('SIGKILL');
});
