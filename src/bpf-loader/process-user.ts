// As whom this process runs: users by their names, and how it becomes one after the set-up. Node changes the
// user of all threads; capabilities belong to a single one, and only the main thread may keep any.
import { readFileSync, readdirSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { BpfError } from './bpf-error.js';
import { capabilityBits, effectiveCapabilities, type Capability } from './capabilities.js';
import { loadLibcUsers } from './native/libc-users.js';
import { lastErrno } from './native/memory.js';

export interface ProcessUser {
  /** As it was given: a name or a number. */
  readonly name: string;
  readonly userId: number;
  readonly groupId: number;
}

const ROOT = 0;

/** @returns undefined when there is no such user */
export function findUser(name: string): Omit<ProcessUser, 'name'> | undefined {
  return loadLibcUsers().user(name);
}

/** @returns undefined when there is no such group */
export function findGroup(name: string): number | undefined {
  return loadLibcUsers().group(name);
}

/**
 * Runs `act` as this user, and as root again after it. For what shall need no more rights now than it has
 * later.
 * @throws BpfError, or what `act` throws
 */
export async function actAs<Result>(
  user: ProcessUser,
  act: () => Promise<Result>,
): Promise<Result> {
  const { userId, groupId } = user;
  takeGroups(user);
  const { setUsers, setGroups } = loadLibcUsers();
  check(setGroups(groupId, groupId, ROOT), user);
  // Not the effective one alone: access(2) asks for the real one.
  check(setUsers(userId, userId, ROOT), user);
  try {
    return await act();
  } finally {
    check(setUsers(ROOT, ROOT, ROOT), user);
    check(setGroups(ROOT, ROOT, ROOT), user);
  }
}

/**
 * Becomes this user for good, with these capabilities and no others.
 * @throws BpfError when it cannot, or not wholly
 */
export function becomeUser(user: ProcessUser, kept: readonly Capability[]): void {
  const { userId, groupId } = user;
  const { setUsers, setGroups, keepCapabilities, setCapabilities } = loadLibcUsers();
  takeGroups(user);
  check(setGroups(groupId, groupId, groupId), user);
  if (kept.length > 0) check(keepCapabilities(true), user);
  check(setUsers(userId, userId, userId), user);
  check(setCapabilities(capabilityBits(kept)), user);
  checkThreads(user, capabilityBits(kept));
}

/** Those of the user, if it has a name. */
function takeGroups(user: ProcessUser): void {
  if (/^\d+$/.test(user.name)) process.setgroups?.([]);
  else check(loadLibcUsers().takeGroups(user.name, user.groupId), user);
}

function check(result: number, { name }: ProcessUser): void {
  if (result === 0) return;
  throw new BpfError(getSystemErrorName(-lastErrno()), `become user ${name}`, '');
}

/** Security bits that somebody has set before can keep capabilities. */
function checkThreads({ name }: ProcessUser, kept: bigint): void {
  for (const thread of readdirSync('/proc/self/task')) {
    const status = readFileSync(`/proc/self/task/${thread}/status`, 'utf8');
    const allowed = thread === String(process.pid) ? kept : 0n;
    if ((effectiveCapabilities(status) & ~allowed) === 0n) continue;
    const advice = 'a thread has kept its capabilities: start without changed security bits';
    throw new BpfError('EPERM', `become user ${name}`, advice);
  }
}
