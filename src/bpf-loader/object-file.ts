// Where the compiled programs are: once for most kernels, once for those before 6.2.
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BpfError } from './bpf-error.js';

/**
 * @param hasCasts the kernel has the functions by which packet programs see its own structures: libbpf would look
 *   for them in its modules, and fail where it may not
 * @throws BpfError when it is not there
 */
export function objectFile(hasCasts: boolean): string {
  const name = hasCasts ? 'procflow.bpf.o' : 'procflow-before-6.2.bpf.o';
  const path = fileURLToPath(new URL(`../../bpf/${name}`, import.meta.url));
  if (existsSync(path)) return path;
  throw new BpfError('ENOENT', `open ${path}`, 'build it: make build');
}
