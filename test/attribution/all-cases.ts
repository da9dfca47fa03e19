// Every case of the table, in its order: one file a theme.
import type { Case } from './case.js';
import { CLIENT_CASES } from './cases/clients.js';
import { EARLY_CASES } from './cases/early.js';
import { FORWARDED_CASES } from './cases/forwarded.js';
import { FRAME_CASES } from './cases/frames.js';
import { HANDED_ON_CASES } from './cases/handed-on.js';
import { IDENTITY_CASES } from './cases/identities.js';
import { KERNEL_CASES } from './cases/kernel.js';
import { LOOPBACK_CASES } from './cases/loopback.js';
import { SERVER_CASES } from './cases/servers.js';
import { SHORT_LIVED_CASES } from './cases/short-lived.js';
import { PROGRAM_CASES } from './cases/programs.js';
import { PROTOCOL_CASES } from './cases/protocols.js';
import { TRANSLATION_CASES } from './cases/translations.js';
import { IO_CASES } from './cases/ways-of-io.js';

export const ALL_CASES: readonly Case[] = [
  ...EARLY_CASES,
  ...CLIENT_CASES,
  ...SERVER_CASES,
  ...HANDED_ON_CASES,
  ...SHORT_LIVED_CASES,
  ...IO_CASES,
  ...FRAME_CASES,
  ...IDENTITY_CASES,
  ...LOOPBACK_CASES,
  ...PROGRAM_CASES,
  ...PROTOCOL_CASES,
  ...KERNEL_CASES,
  ...FORWARDED_CASES,
  ...TRANSLATION_CASES,
];
