// Memory that the next process finds as this one left it.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import t from 'tap';
import { openJournalMemory } from '../../src/bpf-loader/journal-memory.js';
import { openStateDirectory } from '../../src/bpf-loader/state/state-directory.js';
import { bpfDirectory, missingBpfFileSystem } from '../support/bpf-directory.js';

const skip = missingBpfFileSystem();
const OCTETS = 10_000;

/** Runs in another process, which is killed at the end. */
function runAndKill(body: string): void {
  const module = (path: string): string =>
    JSON.stringify(new URL(`../../src/bpf-loader/${path}`, import.meta.url).href);
  const script = `
    const { openJournalMemory } = await import(${module('journal-memory.js')});
    const { openStateDirectory } = await import(${module('state/state-directory.js')});
    ${body}
    process.kill(process.pid, 'SIGKILL');`;
  const { signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  if (signal !== 'SIGKILL') throw new Error(stderr);
}

t.test('what a killed process stored is there', { skip }, async (t) => {
  const path = bpfDirectory(t);
  runAndKill(`
    const journal = openJournalMemory(openStateDirectory(${JSON.stringify(path)}), ${OCTETS});
    journal.memory.write(journal.isNew ? 'the first' : 'not the first', ${OCTETS} - 20);`);
  const state = openStateDirectory(path);
  t.teardown(state.close);
  const { memory, isNew, former } = openJournalMemory(state, OCTETS);
  t.equal(memory.length, OCTETS);
  t.notOk(isNew);
  t.equal(memory.toString('latin1', OCTETS - 20, OCTETS - 11), 'the first');
  t.notOk(former);
});

t.test(
  'what was left in memory of another size is handed out until it is dropped',
  { skip },
  async (t) => {
    const state = openStateDirectory(bpfDirectory(t));
    t.teardown(state.close);
    openJournalMemory(state, OCTETS).memory.write('of before');
    for (const octets of [3 * OCTETS, 5 * OCTETS]) {
      const journal = openJournalMemory(state, octets);
      t.ok(journal.isNew);
      t.equal(journal.former?.toString('latin1', 0, 9), 'of before');
      t.equal(journal.memory[0], 0);
    }
    openJournalMemory(state, 5 * OCTETS).dropFormer();
    const journal = openJournalMemory(state, 5 * OCTETS);
    t.notOk(journal.former);
    t.notOk(journal.isNew);
    t.same(readdirSync(state.path), ['journal']);
  },
);

t.test('without a state directory it is memory as any other', async (t) => {
  const { memory, isNew } = openJournalMemory(undefined, OCTETS);
  t.equal(memory.length, OCTETS);
  t.ok(isNew);
});
