// Login names for the user ids that the kernel puts into flow records, from /etc/passwd.
import { readFileSync, statSync } from 'node:fs';

interface UserNamesOptions {
  readonly path?: string;
  /** Milliseconds of any clock that does not step. */
  readonly nowMs?: () => number;
}

interface Name {
  readonly text: string;
  readonly bytes: Uint8Array;
}

/** A change of the file is seen this much later at most. */
const CHECK_INTERVAL_MS = 1000;
/** Far more than a host has local users; beyond it a file is not read, and users are digits. */
const MAX_FILE_OCTETS = 16 * 1024 * 1024;
/** Ids without a name (containers bring many) are forgotten together once there are this many. */
const MAX_NAMES = 16_384;

/** Users that are only in LDAP or the like are shown as digits: no flow waits for a network. */
export class UserNames {
  readonly #path: string;
  readonly #nowMs: () => number;
  #checkedMs = -Infinity;
  /** What distinguishes this version of the file; undefined before the first one is read. */
  #version: string | undefined;
  #passwd: ReadonlyMap<number, string> = new Map();
  readonly #names = new Map<number, Name>();

  constructor(options: UserNamesOptions = {}) {
    this.#path = options.path ?? '/etc/passwd';
    this.#nowMs = options.nowMs ?? (() => performance.now());
  }

  userName(uid: number): string {
    return this.#name(uid).text;
  }

  userNameBytes(uid: number): Uint8Array {
    return this.#name(uid).bytes;
  }

  #name(uid: number): Name {
    this.#rereadWhenChanged();
    const known = this.#names.get(uid);
    if (known !== undefined) return known;
    const text = this.#passwd.get(uid) ?? uid.toString();
    const name = { text, bytes: Buffer.from(text, 'utf8') };
    if (this.#names.size >= MAX_NAMES) this.#names.clear();
    this.#names.set(uid, name);
    return name;
  }

  #rereadWhenChanged(): void {
    const now = this.#nowMs();
    if (now - this.#checkedMs < CHECK_INTERVAL_MS) return;
    this.#checkedMs = now;
    try {
      const { ino, size, mtimeMs } = statSync(this.#path);
      const version = `${ino} ${size} ${mtimeMs}`;
      if (version === this.#version) return;
      if (size > MAX_FILE_OCTETS) throw new RangeError(`${this.#path} has ${size} octets`);
      this.#passwd = parsePasswd(readFileSync(this.#path, 'utf8'));
      this.#version = version;
      this.#names.clear();
    } catch {
      // While the file is being replaced, or where there is none, what is known stays: a flow
      // with digits for its user is still a good flow.
    }
  }
}

/** passwd(5): name:password:uid:gid:comment:directory:shell. The first entry of an id counts. */
export function parsePasswd(text: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name = '', , uidText = ''] = line.split(':');
    const uid = Number(uidText);
    // "+" and "-" begin NIS entries, which name nobody here.
    if (name === '' || /^[#+-]/.test(name) || !/^\d{1,10}$/.test(uidText)) continue;
    if (uid <= 0xffffffff && !names.has(uid)) names.set(uid, name);
  }
  return names;
}
