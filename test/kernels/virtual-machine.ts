// A kernel under qemu in software emulation, with this machine's files beneath it: nothing has to be installed
// in the guest, and it can change nothing outside of its memory.
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { PROJECT_ROOT } from '../support/requirements.js';
import { makeInitialRamDisk } from './initial-ram-disk.js';
import type { KernelImage } from './kernel-image.js';

/** Where Debian's releases have it: in qemu's package, and in one of its own. */
const FILE_SERVERS = ['/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd'] as const;
const MEMORY_MIB = 3072;
const LIMIT_MS = 20 * 60_000;
const SOCKET_PATIENCE_MS = 60_000;

export interface GuestOptions {
  /** Run by node in the guest, as root; a path in this checkout. */
  readonly script: string;
  /** What the guest says, line by line. */
  readonly onLine: (line: string) => void;
}

/** Resolves when the guest has switched itself off, rejects when it does not within the limit. */
export async function runGuest(image: KernelImage, options: GuestOptions): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-guest-'));
  const socket = join(directory, 'files');
  // First, so that no program is started by whoever calls with a package missing.
  const disk = makeInitialRamDisk(image);
  const server = startFileServer(socket);
  try {
    await appearance(socket, server);
    await runMachine(image, disk, {
      ...options,
      socket,
      init: writeInit(directory, image, options),
    });
  } finally {
    await ended(server, () => server.kill('SIGKILL'));
    rmSync(directory, { recursive: true });
  }
}

/** The guest's first program, with what it cannot know. */
function writeInit(directory: string, image: KernelImage, { script }: GuestOptions): string {
  const path = join(directory, 'init');
  const words = [image.directory, PROJECT_ROOT, process.execPath, script].map(quoted).join(' ');
  const init = quoted(join(PROJECT_ROOT, 'test/kernels/guest-init.sh'));
  writeFileSync(path, `#!/bin/sh\nexec ${init} ${words}\n`, { mode: 0o755 });
  return path;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function startFileServer(socket: string): ChildProcess {
  const program = FILE_SERVERS.find((path) => existsSync(path));
  if (program === undefined) throw new Error('virtiofsd is not installed: make kernels does that');
  const options = program.includes('/qemu/')
    ? [`--socket-path=${socket}`, '-o', 'source=/', '-o', 'cache=always', '-o', 'sandbox=chroot']
    : [`--socket-path=${socket}`, '--shared-dir=/', '--cache=always', '--sandbox=chroot'];
  return start(program, options, 'ignore');
}

/** It ends with this process, however that ends. */
function start(program: string, args: readonly string[], output: 'pipe' | 'ignore'): ChildProcess {
  const bound = ['--pdeathsig', 'KILL', program, ...args];
  return spawn('setpriv', bound, {
    stdio: ['ignore', output, output === 'pipe' ? 'inherit' : 'ignore'],
  });
}

async function appearance(socket: string, server: ChildProcess): Promise<void> {
  const deadline = performance.now() + SOCKET_PATIENCE_MS;
  while (!existsSync(socket)) {
    if (server.exitCode !== null) throw new Error(`virtiofsd ended with ${server.exitCode}`);
    if (performance.now() > deadline) throw new Error('virtiofsd does not listen');
    await delay(20);
  }
}

async function runMachine(
  { release, directory }: KernelImage,
  disk: string,
  { socket, init, onLine }: GuestOptions & { readonly socket: string; readonly init: string },
): Promise<void> {
  const memory = `memory-backend-memfd,id=memory,size=${MEMORY_MIB}M,share=on`;
  const machine = start(
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', `${MEMORY_MIB}`],
      ...['-object', memory, '-numa', 'node,memdev=memory'],
      ...['-chardev', `socket,id=files,path=${socket}`],
      ...['-device', 'vhost-user-fs-pci,chardev=files,tag=host'],
      ...['-kernel', join(directory, `boot/vmlinuz-${release}`), '-initrd', disk],
      ...['-append', `console=ttyS0 quiet panic=-1 procflow_init=${init}`],
      ...['-display', 'none', '-nodefaults', '-no-reboot', '-serial', 'stdio'],
    ],
    'pipe',
  );
  if (machine.stdout === null) throw new Error('qemu has no standard output');
  createInterface(machine.stdout).on('line', onLine);
  const limit = new AbortController();
  const late = delay(LIMIT_MS, 'late', { signal: limit.signal }).catch(() => 'done');
  const result = await Promise.race([ended(machine), late]);
  limit.abort();
  if (result !== 'late') return;
  await ended(machine, () => machine.kill('SIGKILL'));
  throw new Error(`the guest has not ended after ${LIMIT_MS / 60_000} minutes`);
}

async function ended(child: ChildProcess, end?: () => void): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise<void>((resolve, reject) => {
    child.once('exit', () => resolve()).once('error', reject);
  });
  end?.();
  await exit;
}
