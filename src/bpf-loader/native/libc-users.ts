// Users and capabilities: what libc and the kernel know of them and Node does not tell.
import koffi from 'koffi';
import { copyMemory } from './memory.js';

export interface PasswdEntry {
  readonly userId: number;
  readonly groupId: number;
}

export interface LibcUsers {
  /** Undefined when there is none of this name. */
  readonly user: (name: string) => PasswdEntry | undefined;
  /** The group's number. */
  readonly group: (name: string) => number | undefined;
  /** The groups of a user and this one, for all threads; 0 or -1. */
  readonly takeGroups: (userName: string, groupId: number) => number;
  /** Real, effective and saved user of all threads; 0 or -1. Node knows the effective one alone. */
  readonly setUsers: (real: number, effective: number, saved: number) => number;
  /** Likewise the groups. */
  readonly setGroups: (real: number, effective: number, saved: number) => number;
  /** Whether the calling thread keeps its permitted capabilities over a change of user; 0 or -1. */
  readonly keepCapabilities: (keeps: boolean) => number;
  /** The capabilities that the calling thread may use and does, as bits; 0 or -1. */
  readonly setCapabilities: (bits: bigint) => number;
}

const PR_SET_KEEPCAPS = 8;
/** struct passwd: char *name, char *password, uid_t, gid_t; struct group: the same with a gid_t. */
const ENTRY = { octets: 24, firstId: 16, secondId: 20 } as const;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
/** struct __user_cap_header_struct: the version and a pid, 0 for the calling thread. */
const CAPABILITY_HEADER_OCTETS = 8;
/** Two of struct __user_cap_data_struct: effective, permitted, inheritable, 32 bits each. */
const CAPABILITY_DATA = { octets: 24, next: 12, permitted: 4 } as const;

export function loadLibcUsers(): LibcUsers {
  const libc = koffi.load('libc.so.6');
  const getpwnam: (name: string) => bigint | null = libc.func('void *getpwnam(str name)');
  const getgrnam: (name: string) => bigint | null = libc.func('void *getgrnam(str name)');
  const prctl: (option: number, value: number, ...rest: readonly number[]) => number = libc.func(
    'int prctl(int option, unsigned long value, unsigned long c, unsigned long d, unsigned long e)',
  );
  const capset: (header: Buffer, data: Buffer) => number = libc.func(
    'int capset(void *header, void *data)',
  );
  const entryAt = (address: bigint | null): Buffer | undefined =>
    address === null ? undefined : copyMemory(address, ENTRY.octets);
  return {
    user: (name) => {
      const entry = entryAt(getpwnam(name));
      if (entry === undefined) return undefined;
      const groupId = entry.readUInt32LE(ENTRY.secondId);
      return { userId: entry.readUInt32LE(ENTRY.firstId), groupId };
    },
    group: (name) => entryAt(getgrnam(name))?.readUInt32LE(ENTRY.firstId),
    takeGroups: libc.func('int initgroups(str user, uint32_t group)'),
    setUsers: libc.func('int setresuid(uint32_t real, uint32_t effective, uint32_t saved)'),
    setGroups: libc.func('int setresgid(uint32_t real, uint32_t effective, uint32_t saved)'),
    keepCapabilities: (keeps) => prctl(PR_SET_KEEPCAPS, keeps ? 1 : 0, 0, 0, 0),
    setCapabilities: (bits) => {
      const header = Buffer.alloc(CAPABILITY_HEADER_OCTETS);
      header.writeUInt32LE(LINUX_CAPABILITY_VERSION_3);
      const data = Buffer.alloc(CAPABILITY_DATA.octets);
      const words = [Number(bits & 0xffffffffn), Number(bits >> 32n)];
      for (const [i, word] of words.entries()) {
        data.writeUInt32LE(word, i * CAPABILITY_DATA.next);
        data.writeUInt32LE(word, i * CAPABILITY_DATA.next + CAPABILITY_DATA.permitted);
      }
      return capset(header, data);
    },
  };
}
