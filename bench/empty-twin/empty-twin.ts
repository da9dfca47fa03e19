// procflow's programs with nothing in them (bench/empty-twin/empty-twin.sh), loaded: they go through the same
// attaching as the real ones, whatever hooks these have.
import { join } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { BpfError } from '../../src/bpf-loader/bpf-error.js';
import { openLibbpf, type LoadedPrograms } from '../../src/bpf-loader/bpf-object.js';
import type {
  LinkPointer,
  MapPointer,
  ProgramPointer,
} from '../../src/bpf-loader/native/libbpf.js';
import { openArgument } from '../../src/bpf-loader/native/libbpf-arguments.js';
import { lastErrno } from '../../src/bpf-loader/native/memory.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';

const PATH = join(PROJECT_ROOT, 'build/bench/empty-twin/empty-twin.bpf.o');

/** @param unavailable programs that this kernel cannot run, as the real object has them */
export function loadEmptyTwin(unavailable: ReadonlySet<string>): LoadedPrograms {
  const libbpf = openLibbpf();
  libbpf.onPrint(() => undefined);
  const log = Buffer.alloc(65536);
  const error = (errno: number, operation: string): BpfError =>
    new BpfError(getSystemErrorName(-errno), operation, log.toString('utf8', 0, log.indexOf(0)));
  const object = libbpf.openFile(PATH, openArgument(log));
  if (object === null) throw error(lastErrno(), `open ${PATH}`);
  const program = (name: string): ProgramPointer => {
    const found = libbpf.findProgram(object, name);
    if (found === null) throw new Error(`no program ${name} in ${PATH}`);
    return found;
  };
  for (const name of unavailable) libbpf.setAutoload(program(name), false);
  const result = libbpf.load(object);
  if (result < 0) throw error(-result, `load ${PATH}`);
  const noMap = (name: string): never => {
    throw new Error(`the empty twin has no map ${name}`);
  };
  return {
    libbpf,
    unavailable,
    program,
    map: (name): MapPointer => noMap(name),
    programFd: (name) => libbpf.programFd(program(name)),
    mapFd: (name): number => noMap(name),
    error,
    link: (link: LinkPointer | null, operation: string) => {
      if (link === null) throw error(lastErrno(), operation);
      return link;
    },
    close: () => libbpf.close(object),
  };
}
