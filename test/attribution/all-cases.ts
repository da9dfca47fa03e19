// Every case of the table, in its order: one file a theme.
import type { Case } from './case.js';
import { CLIENT_CASES } from './cases/clients.js';
import { EARLY_CASES } from './cases/early.js';

export const ALL_CASES: readonly Case[] = [...EARLY_CASES, ...CLIENT_CASES];
