// Names in the running kernel's BTF: what it has, without trying it.
import { closeSync, openSync, readSync } from 'node:fs';

export const KERNEL_BTF = '/sys/kernel/btf/vmlinux';

/** struct btf_header (linux/btf.h): where its length stands, and where the strings begin and how many. */
const BTF_HEADER = { octets: 24, length: 4, stringsAt: 16, stringsOctets: 20 } as const;
const CHUNK_OCTETS = 128 * 1024;

/** Which of the names that were sought there are. */
export interface KernelNames {
  readonly has: (name: string) => boolean;
}

/**
 * A search for these names in the BTF's string table, piece by piece: as a whole the BTF is 6 MiB, and
 * it would be long before the garbage collector gave them back.
 */
export function readNames(sought: readonly string[]): KernelNames {
  const fd = openSync(KERNEL_BTF, 'r');
  try {
    const header = Buffer.alloc(BTF_HEADER.octets);
    readSync(fd, header, 0, header.length, 0);
    const begin =
      header.readUInt32LE(BTF_HEADER.length) + header.readUInt32LE(BTF_HEADER.stringsAt);
    const found = searchNames(
      fd,
      sought,
      begin,
      begin + header.readUInt32LE(BTF_HEADER.stringsOctets),
    );
    return { has: (name) => found.has(name) };
  } finally {
    closeSync(fd);
  }
}

function searchNames(
  fd: number,
  sought: readonly string[],
  begin: number,
  end: number,
): Set<string> {
  const found = new Set<string>();
  const needles = sought.map((name) => [name, Buffer.from(`\0${name}\0`)] as const);
  const overlap = Math.max(...needles.map(([, needle]) => needle.length));
  const chunk = Buffer.alloc(CHUNK_OCTETS);
  let filled = 0;
  for (let at = begin; at < end;) {
    const octets = readSync(fd, chunk, filled, Math.min(chunk.length - filled, end - at), at);
    at = octets === 0 ? end : at + octets;
    filled += octets;
    // sysfs gives a page at a time.
    if (filled < chunk.length && at < end) continue;
    const piece = chunk.subarray(0, filled);
    for (const [name, needle] of needles) if (piece.includes(needle)) found.add(name);
    // The next piece begins with the end of this one, where a name may be cut.
    filled = piece.copy(chunk, 0, Math.max(0, filled - overlap));
  }
  return found;
}
