// Whether what was attached to an interface still is: a part of libbpf (libbpf.ts).
import koffi, { type LibraryHandle } from 'koffi';
import { tcHook, tcOptions } from './libbpf-arguments.js';

export interface AttachmentState {
  /** Index of the interface of a TCX link; 0 when it is gone, or a negative errno. */
  readonly linkInterface: (linkFd: number) => number;
  /** 0 when there is such a filter. */
  readonly queryTc: (hook: object, filter: object) => number;
}

/** struct bpf_link_info: type, id and program id of four octets, four of padding, then tcx.ifindex */
const LINK_INFO_OCTETS = 64;
const TCX_IFINDEX = 16;

export function attachmentState(library: LibraryHandle): AttachmentState {
  const linkInfo: (fd: number, info: Buffer, octets: Buffer) => number = library.func(
    'int bpf_obj_get_info_by_fd(int fd, void *info, void *octets)',
  );
  return {
    linkInterface: (linkFd) => {
      const info = Buffer.alloc(LINK_INFO_OCTETS);
      const octets = Buffer.alloc(4);
      octets.writeUInt32LE(info.length);
      const result = linkInfo(linkFd, info, octets);
      return result < 0 ? result : info.readUInt32LE(TCX_IFINDEX);
    },
    queryTc: library.func('bpf_tc_query', 'int', [
      koffi.pointer(tcHook),
      koffi.inout(koffi.pointer(tcOptions)),
    ]),
  };
}
