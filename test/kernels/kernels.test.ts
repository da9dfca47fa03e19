// The pieces of `make kernels` that need no emulation.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { PROJECT_ROOT } from '../support/requirements.js';
import { findingLine, NO_FINDINGS, withLine, type GuestFindings } from './guest-report.js';
import { findArchives, imagePackage, sourcesOf } from './kernel-image.js';
import { isAsExpected, tableOf, withTable } from './kernel-table.js';
import { loadEach } from './load-each.js';
import { cannotLoadPrograms } from '../support/packet-lab.js';

const OLD = { series: '5.10', suite: 'bullseye', isSupported: false } as const;
const NEW = { series: '6.12', suite: 'trixie', isSupported: true } as const;

const TCX = { name: 'TCX links', found: true, required: false, detail: 'yes', consequence: 'none' };
const PARTS = {
  name: 'what programs need of the kernel',
  found: false,
  required: true,
  detail: 'lacks iterators (5.8)',
  consequence: 'use a newer one',
};

void t.test('another release comes from the archive that this machine has', async (t) => {
  const targets = [
    'http://mirror.example/debian/ bookworm main',
    'http://mirror.example/debian/ bookworm contrib',
    'http://mirror.example/debian/ bookworm-updates main',
    'http://security.example/debian-security/ bookworm-security main',
    'https://other.example/node nodistro other',
    '',
  ];
  const archives = findArchives(targets.join('\n'));
  const key = 'arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg';
  t.equal(
    sourcesOf('trixie', archives),
    `deb [${key}] http://mirror.example/debian/ trixie main\n` +
      `deb [${key}] http://security.example/debian-security/ trixie-security main\n`,
  );
  t.throws(() => findArchives(''), /no archive of Debian/);
});

void t.test('the newest image is what the meta package depends on', async (t) => {
  const shown =
    'Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-9-cloud-amd64 (= 6.1)\n';
  t.equal(imagePackage(shown), 'linux-image-6.1.0-9-cloud-amd64');
  t.throws(() => imagePackage('Package: linux-image-cloud-amd64\n'), /depends on no image/);
});

void t.test('what a guest finds comes through its console', async (t) => {
  const lines = [
    findingLine({ features: [TCX], programs: { flow_egress: '' } }),
    'a line of the kernel',
    `[    7.1] noise ${findingLine({ checks: { export: 'nfdump has none' } })}`,
  ];
  const findings = lines.reduce(withLine, NO_FINDINGS);
  t.same(findings, {
    features: [TCX],
    programs: { flow_egress: '' },
    checks: { export: 'nfdump has none' },
  });
});

void t.test('the table says what is there and what came out', async (t) => {
  const good: GuestFindings = { features: [TCX], programs: { a: '' }, checks: { export: '' } };
  const bad: GuestFindings = { ...good, checks: { export: 'nothing came' } };
  const old: GuestFindings = { features: [PARTS], programs: { a: 'EINVAL: why' }, checks: {} };
  const release = '6.12.1-cloud';
  const text = tableOf([
    { kernel: NEW, release, findings: good },
    { kernel: OLD, release: '5.10.0', findings: old },
  ]);
  t.match(text, '| 6.12 (6.12.1-cloud, Debian trixie) | TCX | - | 1 of 1 | 1 of 1 checks passed |');
  t.match(text, '| 5.10 (5.10.0, Debian bullseye) | - | - | 0 of 1 | too old: see below |');
  t.match(text, '* what programs need of the kernel: lacks iterators (5.8). use a newer one.');
  t.match(text, '* `a` does not load: `EINVAL: why`');

  t.ok(isAsExpected({ kernel: NEW, release, findings: good }));
  t.notOk(isAsExpected({ kernel: NEW, release, findings: bad }));
  t.notOk(
    isAsExpected({ kernel: NEW, release, findings: NO_FINDINGS }),
    'a guest that said nothing',
  );
  t.ok(isAsExpected({ kernel: OLD, release, findings: old }), 'it says what is missing');
  t.notOk(isAsExpected({ kernel: OLD, release, findings: NO_FINDINGS }));
});

void t.test('the table has its place in the document', async (t) => {
  const document = readFileSync(join(PROJECT_ROOT, 'docs/kernels.md'), 'utf8');
  const results = [{ kernel: NEW, release: '6.12.1', findings: NO_FINDINGS }];
  const once = withTable(document, results);
  t.match(once, tableOf(results));
  t.equal(withTable(once, results), once, 'and is replaced');
  t.throws(() => withTable('', results), /no place/);
});

void t.test('each program loads by itself here', { skip: cannotLoadPrograms() }, async (t) => {
  const results = loadEach();
  t.ok('flow_egress' in results);
  t.ok('socket_created' in results);
  for (const [name, complaint] of Object.entries(results)) t.equal(complaint, '', name);
});
