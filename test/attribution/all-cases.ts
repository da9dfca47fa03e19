// Every case of the table, in its order: one file a theme.
import type { Case } from './case.js';
import { CLIENT_CASES } from './cases/clients.js';
import { EARLY_CASES } from './cases/early.js';
import { FRAME_CASES } from './cases/frames.js';
import { IDENTITY_CASES } from './cases/identities.js';
import { IO_CASES } from './cases/ways-of-io.js';

export const ALL_CASES: readonly Case[] = [
  ...EARLY_CASES,
  ...CLIENT_CASES,
  ...IO_CASES,
  ...FRAME_CASES,
  ...IDENTITY_CASES,
];
