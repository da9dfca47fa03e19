// The other side of a case: servers and clients on the peer, whose names do not matter.
import { runGenerator, startGenerator, type GeneratorName } from '../support/generators.js';
import type { Program, Report } from '../support/program.js';
import type { Scene } from './case.js';

export type Arguments = readonly (string | number)[];

export interface Peer {
  readonly program: Program;
  readonly port: number;
  /** The options that lead a client to it. */
  readonly to: Arguments;
}

/** A server on the peer; one of UDP goes on receiving, so that no client meets a closed port. */
export async function serverThere(
  { t, there, thereAddress }: Scene,
  kind: 'tcp-server' | 'udp-server',
  ...options: Arguments
): Promise<Peer> {
  const role = [
    '--address',
    thereAddress,
    ...(kind === 'udp-server' ? ['--count', 1_000_000] : []),
  ];
  const program = startGenerator(t, there, kind, ...role, ...options);
  const port = Number((await program.report('ready')).port);
  return { program, port, to: ['--to', thereAddress, '--port', port] };
}

/** A client on the peer that talks to a port of the metered host, to its end. */
export async function clientThere(
  { t, there, hereAddress }: Scene,
  kind: 'tcp-client' | 'udp-client',
  port: unknown,
  ...options: Arguments
): Promise<Report> {
  return runGenerator(t, there, kind, '--to', hereAddress, '--port', Number(port), ...options);
}

/** A generator on the metered host under a name of its own. */
export function startHere(
  { t, here, comm }: Scene,
  kind: GeneratorName,
  role: string,
  ...options: Arguments
): Program {
  return startGenerator(t, here, [kind, comm(role)], ...options);
}
