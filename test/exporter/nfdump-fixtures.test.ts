// Each case of nfdump-fixtures/ again: the same datagrams, and nfdump prints the same of them.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { caseNames, encodeCase, printByNfdump, readCase } from '../support/nfdump-fixture.js';

const FIXTURES = fileURLToPath(new URL('../../../nfdump-fixtures', import.meta.url));
const VERSION = '1.7.1';

/** The JSON of another nfdump differs: its fields were renamed and added to over the years. */
function otherNfdump(): string | false {
  try {
    const version = execFileSync('nfdump', ['-V'], { encoding: 'utf8' });
    return version.includes(VERSION) ? false : `the fixtures are nfdump ${VERSION}'s: ${version}`;
  } catch {
    return 'nfdump is not installed';
  }
}

const skip = otherNfdump();

for (const name of caseNames(FIXTURES)) {
  const directory = join(FIXTURES, name);
  const read = (file: string): string => readFileSync(join(directory, file), 'utf8');
  const fixture = readCase(directory);

  t.test(`${name}: the datagrams are those of the fixture`, async (t) => {
    t.equal(await encodeCase(fixture), read('datagrams.hex'), fixture.description);
  });

  t.test(`${name}: nfdump prints what it did`, { skip }, async (t) => {
    const printed = await printByNfdump(t, read('datagrams.hex'));
    t.equal(printed, read('nfdump.json'));
    const records = fixture.records ?? fixture.flows.length;
    t.equal((JSON.parse(printed) as unknown[]).length, records);
  });
}
