// The default Observation Domain id. "An Observation Domain is the largest set of Observation Points
// for which Flow information can be aggregated" (RFC 7011 §2): so it follows from what is metered, the
// same after each start (but for a network namespace that is made anew), and different for exporters of
// one host that meter different places. Where they meter the same, the later one moves on by one.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { hostname } from 'node:os';

export interface ObservationDomain {
  readonly id: number;
  /** Lets another exporter have the id. */
  readonly close: () => void;
}

const WORD = 2 ** 32;
/** So many exporters with the same settings on one host. */
const ATTEMPTS = 64;

/** @param place what is metered, in any words that say the same for the same */
export async function claimObservationDomain(place: unknown): Promise<ObservationDomain> {
  const words = `${machineId()} ${JSON.stringify(place)}`;
  const first = createHash('sha256').update(words).digest().readUInt32BE(0);
  for (let i = 0; i < ATTEMPTS; i++) {
    // 0 means that it does not matter (RFC 7011 §3.1).
    const id = (first + i) % WORD || 1;
    const claim = await claimName(`\0procflow-observation-domain-${id}`);
    if (claim !== undefined) {
      return { id, close: () => void claim.close() };
    }
  }
  return { id: first, close: () => undefined };
}

/** A name in the kernel's table of Unix sockets: it is gone with its process, however that ends. */
async function claimName(name: string): Promise<Server | undefined> {
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen(name);
    await once(server, 'listening');
  } catch {
    return undefined;
  }
  server.unref();
  return server;
}

/** Hosts that are set up alike are told apart by their addresses too, but not behind a NAT. */
function machineId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim();
  } catch {
    return hostname();
  }
}
