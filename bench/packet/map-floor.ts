// The least that a meter with a hash map can do (map_floor.bpf.c), on the cache of procflow's programs.
import { join } from 'node:path';
import { openLibbpf, type BpfObject } from '../../src/bpf-loader/bpf-object.js';
import { openArgument } from '../../src/bpf-loader/native/libbpf-arguments.js';
import type { Teardown } from '../../test/support/program.js';
import { PROJECT_ROOT } from '../../test/support/requirements.js';

const PATH = join(PROJECT_ROOT, 'build/bench/packet/map_floor.bpf.o');

interface MapFloor {
  /** Descriptors of programs. */
  readonly lookup: number;
  readonly insertion: number;
}

export function openMapFloor(t: Teardown, real: BpfObject): MapFloor {
  const libbpf = openLibbpf();
  const log = Buffer.alloc(65536);
  const object = libbpf.openFile(PATH, openArgument(log));
  if (object === null) throw new Error(`${PATH} cannot be opened`);
  t.teardown(() => libbpf.close(object));
  const map = libbpf.findMap(object, 'flows_v4');
  if (map === null || libbpf.reuseMap(map, real.mapFd('flows_v4')) < 0 || libbpf.load(object) < 0) {
    throw new Error(`${PATH} cannot be loaded: ${log.toString('utf8', 0, log.indexOf(0))}`);
  }
  const programFd = (name: string): number => {
    const program = libbpf.findProgram(object, name);
    if (program === null) throw new Error(`no ${name} in ${PATH}`);
    return libbpf.programFd(program);
  };
  return { lookup: programFd('floor_of_lookup'), insertion: programFd('floor_of_insertion') };
}
