// What the kernel starts from: busybox, and the modules without which the host's files cannot be reached. Then
// the guest runs on those, with whatever it writes kept in its memory.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { KernelImage } from './kernel-image.js';

const BUSYBOX = '/bin/busybox';
/** The bus, the file system of the host, and the one that lays memory over it. */
const MODULES = ['virtio_pci', 'virtiofs', 'overlay'] as const;

/** The parameter "procflow_init" of the kernel's command line names the guest's first program. */
const INIT = `#!/bin/sh
b=${BUSYBOX}
$b mount -t proc proc /proc
for module in $($b cat /modules/order); do $b insmod /modules/$module || echo "no $module"; done
$b mount -t virtiofs -o ro host /host || exec $b poweroff -f
$b mount -t tmpfs tmpfs /memory && $b mkdir /memory/upper /memory/work
$b mount -t overlay -o lowerdir=/host,upperdir=/memory/upper,workdir=/memory/work overlay /root ||
	exec $b poweroff -f
$b mount -t devtmpfs devtmpfs /root/dev
for word in $($b cat /proc/cmdline); do
	case $word in procflow_init=*) first=\${word#procflow_init=} ;; esac
done
$b umount /proc
exec $b switch_root /root $first
`;

/** @returns the path of the file, made beside the unpacked kernel */
export function makeInitialRamDisk({ release, directory }: KernelImage): string {
  const root = join(directory, 'initial-ram-disk');
  rmSync(root, { recursive: true, force: true });
  for (const place of ['bin', 'proc', 'modules', 'host', 'memory', 'root']) {
    mkdirSync(join(root, place), { recursive: true });
  }
  copyFileSync(BUSYBOX, join(root, BUSYBOX));
  symlinkSync('busybox', join(root, 'bin/sh'));
  const names = moduleFiles(release, directory).map((file) => addModule(file, root));
  writeFileSync(join(root, 'modules/order'), names.map((name) => `${name}\n`).join(''));
  writeFileSync(join(root, 'init'), INIT, { mode: 0o755 });
  const archive = `${root}.cpio`;
  const find = 'find . | cpio --quiet -o -H newc';
  writeFileSync(archive, execFileSync('sh', ['-c', find], { cwd: root, maxBuffer: 2 ** 28 }));
  return archive;
}

/** In the order in which they are to be loaded. */
function moduleFiles(release: string, directory: string): readonly string[] {
  execFileSync('depmod', ['-b', directory, release]);
  const found = new Set<string>();
  for (const name of MODULES) {
    const args = ['-d', directory, '-S', release, '--show-depends', name];
    const lines = execFileSync('modprobe', args, { encoding: 'utf8' });
    for (const [, path = ''] of lines.matchAll(/^insmod (\S+)/gm)) found.add(path);
  }
  return [...found];
}

/** busybox knows no compressed modules. @returns its name there */
function addModule(path: string, root: string): string {
  const name = basename(path).replace(/\.xz$/, '');
  const target = join(root, 'modules', name);
  if (path.endsWith('.xz')) {
    writeFileSync(target, execFileSync('xz', ['-dc', path], { maxBuffer: 2 ** 26 }));
  } else copyFileSync(path, target);
  return name;
}
