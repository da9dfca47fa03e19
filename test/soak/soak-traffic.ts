// What goes over the wire while the soak lasts: connections and datagrams of short-lived processes, many
// flows of one packet, and frames without a socket.
import { setTimeout as delay } from 'node:timers/promises';
import { runGenerator, type Place } from '../support/generators.js';
import type { NamespacePair } from '../support/network-namespace.js';
import type { Teardown } from '../support/program.js';
import { converse } from '../support/socket-capture.js';

/** Nobody has it: what is sent there is answered by none. */
export const STRANGER = { ipv4: '10.99.0.99', mac: '02:00:00:00:00:42' };

export interface Scene {
  readonly pair: NamespacePair;
  readonly a: Place;
  readonly b: Place;
}

type Act = (t: Teardown, scene: Scene) => Promise<unknown>;

const PAUSE_MS = 20;
const FLOOD_PAUSE_MS = 500;

const talk =
  (kind: 'tcp' | 'udp', family: 'ipv4' | 'ipv6'): Act =>
  (t, { pair, a, b }) =>
    converse(t, kind, [a, b], pair.b[family]);

const ACTS: readonly (readonly [Act, pauseMs: number])[] = [
  [talk('tcp', 'ipv4'), PAUSE_MS],
  [talk('tcp', 'ipv6'), PAUSE_MS],
  [talk('udp', 'ipv4'), PAUSE_MS],
  [talk('udp', 'ipv6'), PAUSE_MS],
  [
    (t, { a }) => {
      const to = ['--to', STRANGER.ipv4, '--port', 1024, '--ports', 500, '--count', 1000];
      return runGenerator(t, a, ['udp-client', 'many-ports'], ...to);
    },
    FLOOD_PAUSE_MS,
  ],
  [
    (t, { a, pair }) => {
      const link = ['--interface', pair.a.interfaceName, '--destination-mac', STRANGER.mac];
      const ends = ['--source', pair.a.ipv6, '--to', pair.b.ipv6, '--port', 7];
      return runGenerator(t, a, 'frame-sender', ...link, ...ends, '--count', 5000, '--flows', 50);
    },
    FLOOD_PAUSE_MS,
  ],
];

/** Each act over and over until the signal is aborted. @returns how many were done */
export async function makeTraffic(scene: Scene, signal: AbortSignal): Promise<number> {
  let done = 0;
  const repeat = async ([act, pauseMs]: (typeof ACTS)[number]): Promise<void> => {
    while (!signal.aborted) {
      await once(scene, act);
      done++;
      await delay(pauseMs);
    }
  };
  await Promise.all(ACTS.map(repeat));
  return done;
}

/** What an act opened is released at its end: there are thousands of them. */
async function once(scene: Scene, act: Act): Promise<void> {
  const releases: (() => void | Promise<void>)[] = [];
  try {
    await act({ teardown: (release) => void releases.push(release) }, scene);
  } finally {
    for (const release of releases.reverse()) await release();
  }
}
