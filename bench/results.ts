// The results of the last full run, as they are kept in the repository.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT_ROOT } from '../test/support/requirements.js';
import type { BenchSection } from './bench-section.js';
import { machineFacts, versionOf, type MachineFacts } from './support/machine.js';
import { sectionText } from './support/section-text.js';

const DIRECTORY = 'bench/results';

export interface Results {
  readonly date: string;
  readonly commit: string;
  readonly machine: MachineFacts;
  readonly versions: Readonly<Record<string, string>>;
  readonly sections: readonly BenchSection[];
  readonly verdict: string;
}

export function results(sections: readonly BenchSection[], verdict: string): Results {
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    commit: commit(),
    machine: machineFacts(),
    versions: {
      clang: versionOf('clang', ['--version'], /version ([\d.]+)/),
      softflowd: versionOf('softflowd', ['-h'], /version ([\d.]+)/),
      pmacctd: versionOf('pmacctd', ['-V'], /pmacctd (\S+)/),
      nfdump: versionOf('nfdump', ['-V'], /([\d.]+)$/m),
      trafgen: versionOf('trafgen', ['-v'], /trafgen ([\d.]+)/),
      iperf3: versionOf('iperf3', ['-v'], /iperf ([\d.]+)/),
    },
    sections,
    verdict,
  };
}

/** @returns where */
export function writeResults(whole: Results): string {
  mkdirSync(join(PROJECT_ROOT, DIRECTORY), { recursive: true });
  const path = join(DIRECTORY, 'latest.md');
  writeFileSync(join(PROJECT_ROOT, path), `${resultsText(whole)}\n`);
  const data = `${JSON.stringify(whole, undefined, 2)}\n`;
  writeFileSync(join(PROJECT_ROOT, DIRECTORY, 'latest.json'), data);
  return path;
}

function resultsText({ date, commit, machine, versions, sections, verdict }: Results): string {
  const { kernel, cores, cpu, memoryGib, node, load } = machine;
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    '# The last full run of the benchmark',
    [
      `Written by \`make bench\` at ${date} UTC, commit ${commit}.`,
      `${kernel}, ${cores} CPUs ${cpu}, ${memoryGib} GiB, Node ${node}, ${programs.join(', ')}.`,
      `Load average at the end: ${load}.`,
    ].join('\n'),
    `**${verdict}.**`,
    ...sections.map(sectionText),
  ].join('\n\n');
}

function commit(): string {
  const git = (...args: readonly string[]): string =>
    execFileSync('git', ['-C', PROJECT_ROOT, ...args], { encoding: 'utf8' }).trim();
  try {
    const changes = git('status', '--porcelain', '--untracked-files=no');
    const hash = git('rev-parse', '--short', 'HEAD');
    return changes === '' ? hash : `${hash} with changes`;
  } catch {
    return 'unknown';
  }
}
