// A kernel of another Debian release: its package from the archive that this machine's apt uses, unpacked
// into a cache. apt works in directories of its own, so that the machine's lists stay as they are.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { MatrixKernel } from './kernel-matrix.js';

export interface KernelImage {
  /** As uname says it: "6.1.0-56-cloud-amd64". */
  readonly release: string;
  /** Of the unpacked package: has boot/ and lib/modules/. */
  readonly directory: string;
}

interface Archives {
  readonly main: string;
  readonly security: string | undefined;
}

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
/** Depends on the newest image. Those for clouds are small and have the drivers of virtual machines. */
const META_PACKAGE = 'linux-image-cloud-amd64';
const INDEX_FORMAT = '$(REPO_URI) $(CODENAME) $(COMPONENT)';

/** Unpacked already, or downloaded: once in the cache, no newer one is looked for. */
export function kernelImage({ suite }: MatrixKernel, cache: string): KernelImage {
  const directory = join(cache, suite);
  if (!existsSync(directory)) unpackNewest(suite, directory);
  const [release] = readdirSync(join(directory, 'lib/modules'));
  if (release === undefined) throw new Error(`${directory} has no kernel: remove it`);
  return { release, directory };
}

function unpackNewest(suite: string, directory: string): void {
  const work = `${directory}.part`;
  rmSync(work, { recursive: true, force: true });
  for (const place of ['lists/partial', 'archives/partial', 'image']) {
    mkdirSync(join(work, place), { recursive: true });
  }
  const targets = run('apt-get', ['indextargets', '--format', INDEX_FORMAT]);
  writeFileSync(join(work, 'sources.list'), sourcesOf(suite, findArchives(targets)));
  const options = [
    `Dir::Etc::SourceList=${join(work, 'sources.list')}`,
    ...['Dir::Etc::SourceParts=/dev/null', `Dir::State::Lists=${join(work, 'lists')}`],
    ...[`Dir::Cache=${work}`, 'APT::Architecture=amd64', 'APT::Sandbox::User=root'],
  ].flatMap((option) => ['-o', option]);
  process.stdout.write(`apt-get download: ${META_PACKAGE} of ${suite}\n`);
  run('apt-get', [...options, '-qq', 'update']);
  const shown = run('apt-cache', [...options, 'show', '--no-all-versions', META_PACKAGE]);
  run('apt-get', [...options, '-qq', 'download', imagePackage(shown)], work);
  const file = readdirSync(work).find((name) => name.endsWith('.deb'));
  if (file === undefined) throw new Error(`apt-get download left no package in ${work}`);
  run('dpkg-deb', ['-x', join(work, file), join(work, 'image')]);
  // Since Debian 13 the modules are below /usr, which /lib leads to.
  if (!existsSync(join(work, 'image/lib'))) symlinkSync('usr/lib', join(work, 'image/lib'));
  renameSync(join(work, 'image'), directory);
  rmSync(work, { recursive: true });
}

/** @param targets lines of `apt-get indextargets`: URI, code name and component of each index */
export function findArchives(targets: string): Archives {
  let main: string | undefined;
  let security: string | undefined;
  for (const line of targets.split('\n')) {
    const [uri, codename, component] = line.split(' ');
    if (component !== 'main' || codename === undefined) continue;
    if (/^[a-z]+$/.test(codename)) main ??= uri;
    else if (/^[a-z]+-security$/.test(codename)) security ??= uri;
  }
  if (main === undefined) throw new Error('apt has no archive of Debian among its sources');
  return { main, security };
}

export function sourcesOf(suite: string, { main, security }: Archives): string {
  const line = (uri: string, name: string): string =>
    `deb [arch=amd64 signed-by=${KEYRING}] ${uri} ${name} main\n`;
  return line(main, suite) + (security === undefined ? '' : line(security, `${suite}-security`));
}

/** @param shown of the meta package by `apt-cache show` */
export function imagePackage(shown: string): string {
  const found = /^Depends: (linux-image-\S+)/m.exec(shown)?.[1];
  if (found === undefined) throw new Error(`${META_PACKAGE} depends on no image`);
  return found;
}

function run(command: string, args: readonly string[], cwd?: string): string {
  return execFileSync(command, args, {
    ...(cwd !== undefined && { cwd }),
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}
