// --user: as whom procflow runs when it is set up.
import { findGroup, findUser, type ProcessUser } from '../bpf-loader/process-user.js';
import { ConfigError } from './config-error.js';

export type { ProcessUser };

const NUMBER = /^\d{1,10}$/;
/** 2^32 - 1 is no user: "none" in system calls. */
const MAX_ID = 2 ** 32 - 2;

/**
 * @param text "name", "name:group"; each can be a number
 * @throws ConfigError when there is no such user or group, or this process cannot become it
 */
export function readUser(text: string, effectiveUserId = process.geteuid?.() ?? 0): ProcessUser {
  const setting = `--user ${text}`;
  const [name = '', groupName, ...rest] = text.split(':');
  if (name === '' || groupName === '' || rest.length > 0) {
    throw new ConfigError(setting, 'is not a user', 'give NAME or NAME:GROUP, or their numbers');
  }
  const user = NUMBER.test(name) ? { userId: Number(name), groupId: Number(name) } : findUser(name);
  if (user === undefined) {
    const advice = `make it: useradd --system ${name}; or give another`;
    throw new ConfigError(setting, `there is no user ${name}`, advice);
  }
  const groupId = groupName === undefined ? user.groupId : readGroup(setting, groupName);
  if (user.userId > MAX_ID || groupId > MAX_ID) {
    throw new ConfigError(setting, 'there are no such numbers', `give at most ${MAX_ID}`);
  }
  if (user.userId === 0) {
    throw new ConfigError(setting, 'is root', 'give a user without rights, or leave it out');
  }
  if (effectiveUserId !== 0) {
    const reason = 'only root can become another user';
    const advice = 'start it as that user, with capabilities; the README says which';
    throw new ConfigError(setting, reason, advice);
  }
  return { name, userId: user.userId, groupId };
}

function readGroup(setting: string, name: string): number {
  if (NUMBER.test(name)) return Number(name);
  const found = findGroup(name);
  if (found === undefined) {
    throw new ConfigError(
      setting,
      `there is no group ${name}`,
      `make it: groupadd --system ${name}`,
    );
  }
  return found;
}
