// Another version of procflow, built from this checkout with other structures and another contract: what an
// upgrade meets. User space is this one's, with the offsets of those structures.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Teardown } from './program.js';
import { PROJECT_ROOT } from './requirements.js';

type Edit = readonly [file: string, before: string, after: string];

/** Everything that moves when a field is added: in records, in the cache, among the counters. */
const EDITS: readonly Edit[] = [
  ['flow_contract.h', 'CONTRACT_VERSION = 2,', 'CONTRACT_VERSION = 1000,'],
  ['flow_contract.h', 'struct flow_record {', 'struct flow_record {\n\t__u64 another;'],
  ['flow_contract.h', 'struct flow_record) == 208', 'struct flow_record) == 216'],
  ['flow_contract.h', 'enum meter_counter {', 'enum meter_counter {\n\tANOTHER_COUNTER,'],
  ['flow_cache.h', 'struct flow_entry {', 'struct flow_entry {\n\t__u64 another;'],
  ['flow_cache.h', 'struct flow_entry) == 152', 'struct flow_entry) == 160'],
  ['flow_cache.h', 'near.owner.owner) <= 56', 'near.owner.owner) <= 64'],
];

/** As the Makefile has them. */
const FLAGS = ['-O2', '-g', '-mcpu=v3', '-target', 'bpf', '-Wall', '-Werror'];

/** @returns the path of its program */
export function buildOtherVersion(t: Teardown): string {
  const root = mkdtempSync(join(tmpdir(), 'procflow-other-'));
  t.teardown(() => {
    rmSync(root, { recursive: true });
  });
  for (const part of ['bin', 'bpf', 'build/src', 'package.json']) {
    cpSync(join(PROJECT_ROOT, part), join(root, part), { recursive: true });
  }
  symlinkSync(join(PROJECT_ROOT, 'node_modules'), join(root, 'node_modules'));
  for (const [file, before, after] of EDITS) {
    const path = join(root, 'bpf', file);
    const text = readFileSync(path, 'utf8');
    if (!text.includes(before)) throw new Error(`${file} has no "${before}" any more`);
    writeFileSync(path, text.replace(before, after));
  }
  const object = join(root, 'build/bpf/procflow.bpf.o');
  mkdirSync(join(root, 'build/bpf'));
  const machine = execFileSync('uname', ['-m'], { encoding: 'utf8' }).trim();
  const include = `-I/usr/include/${machine}-linux-gnu`;
  const source = join(root, 'bpf/procflow.bpf.c');
  execFileSync('clang', [...FLAGS, include, '-c', source, '-o', object], { stdio: 'pipe' });
  writeContract(root, object);
  return join(root, 'bin/procflow');
}

function writeContract(root: string, object: string): void {
  const generator = join(PROJECT_ROOT, 'build/scripts/generate-contract.js');
  const typed = join(root, 'contract.ts');
  execFileSync(process.execPath, [generator, object, typed], { stdio: 'pipe' });
  const text = readFileSync(typed, 'utf8').replaceAll(' as const;', ';');
  writeFileSync(join(root, 'build/src/flow/flow-contract.gen.js'), text);
}
