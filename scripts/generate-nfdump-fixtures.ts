// Writes datagrams.hex and nfdump.json of each case in nfdump-fixtures/ from its flows.json.
// Needs nfcapd and nfdump 1.7.1. Usage: node generate-nfdump-fixtures.js DIRECTORY
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { caseNames, encodeCase, printByNfdump, readCase } from '../test/support/nfdump-fixture.js';
import type { Teardown } from '../test/support/program.js';

type Release = Parameters<Teardown['teardown']>[0];

async function generate(directory: string): Promise<void> {
  const datagrams = await encodeCase(readCase(directory));
  writeFileSync(join(directory, 'datagrams.hex'), datagrams);
  const releases: Release[] = [];
  try {
    const teardown = { teardown: (release: Release) => void releases.unshift(release) };
    writeFileSync(join(directory, 'nfdump.json'), await printByNfdump(teardown, datagrams));
  } finally {
    for (const release of releases) await release();
  }
}

const [fixtures] = process.argv.slice(2);
if (fixtures === undefined) {
  process.stderr.write('usage: generate-nfdump-fixtures DIRECTORY\n');
  process.exit(2);
}
for (const name of caseNames(fixtures)) await generate(join(fixtures, name));
