// Attaches programs whose links the kernel cannot give another program: those at tracepoints and functions.
import type { LoadedPrograms } from '../bpf-object.js';
import type { LinkKeeper } from './link-keeper.js';

/** @returns what detaches. @throws BpfError */
export function attachTracing(
  object: LoadedPrograms,
  name: string,
  keeper: LinkKeeper,
): () => void {
  const { libbpf } = object;
  return keeper.attach({
    name,
    programFd: object.programFd(name),
    create: () => {
      const link = object.link(libbpf.attach(object.program(name)), `attach ${name}`);
      return {
        fd: libbpf.linkFd(link),
        close: () => {
          libbpf.destroyLink(link);
        },
      };
    },
  }).detach;
}
