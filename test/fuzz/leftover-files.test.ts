// Hostile contents of a file that a broken off run has left: its whole messages are kept, what is not IPFIX is
// left alone.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ExportError } from '../../src/exporter/export-error.js';
import { publishLeftover } from '../../src/exporter/transports/leftover-file.js';
import { WRITTEN_MESSAGES } from '../decoder/written-messages.js';
import { temporaryDirectory } from '../support/control.js';
import { DecodeError } from '../support/decoder/decode-error.js';
import { MessageSplitter } from '../support/decoder/message-splitter.js';
import { fuzz } from './fuzz-rounds.js';
import { mutated, type MutateOptions } from './mutate.js';
import type { Random } from './random.js';

const FILES = 10;
const ofIpfix = WRITTEN_MESSAGES.filter((message) => message.readUInt16BE() === 10);
const changes: MutateOptions = { others: ofIpfix, head: 16, least: 0, most: 1000 };

/** Octets of the whole messages at the beginning. */
function wholeOctets(file: Buffer): number {
  const splitter = new MessageSplitter();
  let octets = 0;
  try {
    for (const message of splitter.push(file)) octets += message.length;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
  }
  return octets;
}

async function leave(random: Random, directory: string): Promise<void> {
  const messages = Array.from({ length: random.below(5) }, () =>
    random.oneIn(2) ? random.pick(ofIpfix) : mutated(random, changes),
  );
  const file = Buffer.concat(messages);
  const [part, path] = [join(directory, 'a.part'), join(directory, 'a.ipfix')];
  writeFileSync(part, file);
  const whole = wholeOctets(file);
  let name: string | undefined;
  try {
    name = await publishLeftover(part, path);
  } catch (error) {
    if (!(error instanceof ExportError)) throw error;
    if (whole > 0 || !readFileSync(part).equals(file))
      throw new Error(file.toString('hex'), { cause: error });
    return;
  }
  const kept = name === undefined ? Buffer.alloc(0) : readFileSync(name);
  if (!kept.equals(file.subarray(0, whole)) || existsSync(part)) {
    throw new Error(`${kept.length} octets were kept of ${whole}: ${file.toString('hex')}`);
  }
  if (name !== undefined) rmSync(name);
}

t.test('of any file whole messages are kept', async (t) => {
  const directory = temporaryDirectory(t);
  await fuzz(t, 'leftover files', {
    share: 0.01,
    cases: 'files',
    round: async (random) => {
      for (let i = 0; i < FILES; i++) await leave(random, directory);
      return FILES;
    },
  });
});
