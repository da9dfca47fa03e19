// What is said on the control socket: softflowd's commands answered in softflowd's words, so that
// softflowctl works, and more of them; "json" before a command gives the answer as JSON.
import type { MeterControl } from '../daemon/control/meter-control.js';
import type { ControlProtocol } from '../daemon/run-meter.js';
import { flowJsonPieces, flowTextPieces } from './control-flows.js';
import { printable, printableJson } from './printable.js';
import {
  interfacesText,
  processesText,
  statisticsText,
  templatesText,
  timeoutsText,
} from './control-text.js';

type Pieces = AsyncIterable<string> | Iterable<string>;

interface Answer {
  /** Behind "procflow[123]: ". */
  readonly text: string;
  /** What follows it. */
  readonly more?: () => Pieces;
  readonly json: object | (() => Pieces);
}

type Command = (control: MeterControl, argument: string | undefined) => Answer | Promise<Answer>;

const DEFAULT_TOP = 10;
const MAX_TOP = 10_000;
const LATER = 'when the collectors have taken what they are sent now';

export const CONTROL_COMMANDS = {
  statistics: (control) => {
    const statistics = control.statistics();
    return { ...statisticsText(statistics), json: statistics };
  },
  timeouts: (control) => {
    const { timeouts, sweepIntervalMs } = control.timeouts();
    return {
      ...timeoutsText(timeouts, sweepIntervalMs),
      // In seconds, because JSON has no Infinity.
      json: { ...inSeconds(timeouts), expint: sweepIntervalMs / 1000 },
    };
  },
  'dump-flows': (control) => {
    const flows = control.flows();
    return {
      text: 'Dumping flow data:',
      more: () => flowTextPieces(flows),
      json: () => flowJsonPieces(flows),
    };
  },
  'expire-all': async (control) => {
    const flows = await control.expireAll();
    const text = flows === undefined ? `Flows expire ${LATER}.` : `Expired ${flows} flows.`;
    return { text, json: { flows: flows ?? null } };
  },
  'delete-all': async (control) => {
    const deleted = await control.deleteAll();
    const { records: flows = null, packets = null, octets = null } = deleted ?? {};
    const text = flows === null ? `Flows are deleted ${LATER}.` : `Deleted ${flows} flows.`;
    return { text, json: { flows, packets, octets } };
  },
  'stop-gather': (control) => {
    control.stopGather();
    return { text: 'Data collection stopped.', json: { isGathering: false } };
  },
  'start-gather': (control) => {
    control.startGather();
    return { text: 'Data collection resumed.', json: { isGathering: true } };
  },
  'send-template': (control) => {
    const templates = control.sendTemplates();
    return { ...templatesText(templates), json: { templates } };
  },
  'debug+': (control) => debugAnswer('increased', control.changeDebugLevel(1)),
  'debug-': (control) => debugAnswer('decreased', control.changeDebugLevel(-1)),
  shutdown: (control) => {
    control.shutdown();
    return { text: 'Shutting down gracefully...', json: { ending: 'shutdown' } };
  },
  exit: (control) => {
    control.exit();
    return { text: 'Exiting now...', json: { ending: 'exit' } };
  },
  interfaces: (control) => {
    const interfaces = control.interfaces();
    return { ...interfacesText(interfaces), json: { interfaces } };
  },
  top: async (control, argument) => {
    const processes = await control.topProcesses(readCount(argument));
    return { ...processesText(processes), json: { processes } };
  },
  reload: (control) => {
    const { destinations, templates } = control.reload();
    const what = `Interfaces and the names of ${destinations.length} collectors are looked up again.`;
    const { text, more } = templatesText(templates);
    return {
      text: `${what} There is no configuration file to read.`,
      more: () => [`${text}\n`, ...more()],
      json: { destinations, templates },
    };
  },
} as const satisfies Readonly<Record<string, Command>>;

/** Those of them that take an argument. */
const WITH_ARGUMENT: ReadonlySet<string> = new Set(['top']);

/** @param programName as which it was started: "procflow", or "softflowd" */
export function controlProtocol(programName: string): ControlProtocol {
  const prefix = `${programName}[${process.pid}]: `;
  return {
    answer: (control, request) => answerPieces(control, request, prefix),
    errorText: (reason) => `${prefix}error: ${printable(reason)}\n`,
  };
}

async function* answerPieces(
  control: MeterControl,
  request: string,
  prefix: string,
): AsyncGenerator<string> {
  const isJson = request.startsWith('json ');
  const line = isJson ? request.slice('json '.length) : request;
  const command = findCommand(line);
  if (command === undefined) {
    const text = `Unknown control command "${printable(line)}"`;
    yield isJson ? `${JSON.stringify({ error: text })}\n` : `${text}\n`;
    return;
  }
  if (!isJson) {
    const { text, more } = await command(control);
    yield `${prefix}${text}\n`;
    if (more !== undefined) yield* more();
    return;
  }
  try {
    const { json } = await command(control);
    if (typeof json === 'function') yield* json();
    else yield `${printableJson(json)}\n`;
  } catch (error) {
    yield `${printableJson({ error: error instanceof Error ? error.message : String(error) })}\n`;
  }
}

function findCommand(
  line: string,
): ((control: MeterControl) => Answer | Promise<Answer>) | undefined {
  const whole = commandOf(line);
  if (whole !== undefined) return (control) => whole(control, undefined);
  const [name = '', argument, ...rest] = line.split(' ');
  const command = commandOf(name);
  if (command === undefined || rest.length > 0 || !WITH_ARGUMENT.has(name)) return undefined;
  return (control) => command(control, argument);
}

function commandOf(name: string): Command | undefined {
  if (!Object.hasOwn(CONTROL_COMMANDS, name)) return undefined;
  return CONTROL_COMMANDS[name as keyof typeof CONTROL_COMMANDS];
}

function debugAnswer(what: string, level: number): Answer {
  return { text: `Debug level ${what}.`, json: { level } };
}

function readCount(argument: string | undefined): number {
  if (argument === undefined) return DEFAULT_TOP;
  const count = /^\d{1,5}$/.test(argument) ? Number(argument) : 0;
  if (count >= 1 && count <= MAX_TOP) return count;
  throw new Error(`top ${argument}: give a number of processes from 1 to ${MAX_TOP}`);
}

function inSeconds(timeouts: Readonly<Record<string, number>> | object): Record<string, number> {
  const entries = Object.entries(timeouts) as [string, number][];
  // softflowd's 0 of maxlife: never
  return Object.fromEntries(
    entries.map(([name, ms]) => [name, Number.isFinite(ms) ? ms / 1000 : 0]),
  );
}
