// Address translation on the metered host: a listener can match a packet that is not for it. Behind
// the translation another process has it, or another host.
import { execFileSync, spawnSync } from 'node:child_process';
import { runGenerator, startGenerator } from '../../support/generators.js';
import type { Program, Report } from '../../support/program.js';
import { makeBeyond } from '../beyond.js';
import { TCP, UDP, type Case, type Scene, type SkipReason, type Truth } from '../case.js';
import { clientThere, serverThere, startHere } from '../peer.js';

const PROTOCOL = { tcp: TCP, udp: UDP } as const;
type Kind = keyof typeof PROTOCOL;
const KINDS = ['tcp', 'udp'] as const;

/** Where clients connect to, and where they end up. */
const PORT = 8080;
const INNER_PORT = 9090;
const TALK = { tcp: ['--read-echo', '--octets', 50_000], udp: ['--read-echo', '--count', 5] };

const HOOKS = { prerouting: 'dstnat', postrouting: 'srcnat' } as const;

function table(family: string, hook: keyof typeof HOOKS, rule: string): string {
  const type = `type nat hook ${hook} priority ${HOOKS[hook]};`;
  return `table ${family} translation { chain ${hook} { ${type}\n${rule}\n}\n}\n`;
}

function translationMissing(): SkipReason | undefined {
  const input = `${table('ip', 'postrouting', 'masquerade')}${table('ip6', 'prerouting', 'redirect')}`;
  const nft = ['--net', 'nft', '-f', '-'];
  const { status, stderr } = spawnSync('unshare', nft, { input, encoding: 'utf8' });
  if (status === 0) return undefined;
  if (/No such file|not supported/.test(stderr)) return 'translation';
  throw new Error(`asking for address translation: ${stderr}`);
}

/** @param rule begins behind the family's own "ip" or "ip6", with an address of the packet */
async function withTranslation(
  { family, here }: Scene,
  hook: keyof typeof HOOKS,
  rule: string,
  run: () => Promise<void>,
): Promise<void> {
  const ip = family === 'ipv4' ? 'ip' : 'ip6';
  const nft = ['netns', 'exec', here.namespace.name, 'nft'];
  execFileSync('ip', [...nft, '-f', '-'], { input: table(ip, hook, `${ip} ${rule}`) });
  try {
    await run();
  } finally {
    execFileSync('ip', [...nft, 'delete', 'table', ip, 'translation']);
  }
}

function inBrackets(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}

function toPort(scene: Scene, kind: Kind, address: string): string {
  const to = `${inBrackets(address)}:${INNER_PORT}`;
  return `daddr ${scene.hereAddress} ${kind} dport ${PORT} dnat to ${to}`;
}

/** A process on the metered host that listens on a port of all its addresses. */
async function listenHere(
  scene: Scene,
  kind: Kind,
  role: string,
  port: number,
): Promise<{ readonly program: Program; readonly who: Report }> {
  const any = scene.family === 'ipv4' ? '0.0.0.0' : '::';
  const options = ['--echo', '--address', any, '--port', port, '--count', 1000];
  const program = startHere(scene, `${kind}-server`, role, ...options);
  return { program, who: await program.report('ready') };
}

function ofKind(kind: Kind): Truth['owns'] {
  return ({ protocol }) => protocol === PROTOCOL[kind];
}

/** As a service mesh does it. */
function proxied(kind: Kind): Case {
  return {
    name: `the proxy to which ${kind.toUpperCase()} for a port with another listener is redirected`,
    missing: translationMissing,
    run: async (scene) => {
      const listener = await listenHere(scene, kind, 'listener', PORT);
      const proxy = await listenHere(scene, kind, 'proxy', INNER_PORT);
      const rule = toPort(scene, kind, scene.hereAddress);
      await withTranslation(scene, 'prerouting', rule, async () => {
        await clientThere(scene, `${kind}-client`, PORT, ...TALK[kind]);
      });
      for (const { program } of [listener, proxy]) await program.stop('SIGKILL');
      const methods = ['socket', 'reverseFlow', 'listener'] as const;
      return [{ who: proxy.who, owns: ofKind(kind), methods }];
    },
  };
}

/** As container engines publish a port: their own proxy listens on it, for clients on this host. */
function published(kind: Kind): Case {
  return {
    name: `${kind.toUpperCase()} to a port that is published for another host, with a listener: forwarded`,
    missing: translationMissing,
    atSockets: 'not seen',
    run: async (scene) => {
      const beyond = await makeBeyond(scene);
      try {
        const listener = await listenHere(scene, kind, 'listener', PORT);
        const role = ['--echo', '--address', beyond.address, '--port', INNER_PORT, '--count', 1000];
        const server = startGenerator(scene.t, beyond.place, `${kind}-server`, ...role);
        await server.report('ready');
        const rule = toPort(scene, kind, beyond.address);
        await withTranslation(scene, 'prerouting', rule, async () => {
          await clientThere(scene, `${kind}-client`, PORT, ...TALK[kind]);
        });
        for (const program of [listener.program, server]) await program.stop('SIGKILL');
      } finally {
        beyond.close();
      }
      return [{ who: 'forwarded', owns: ofKind(kind) }];
    },
  };
}

function masqueraded(kind: Kind): Case {
  return {
    name: `${kind.toUpperCase()} of another host behind this one’s address: forwarded`,
    missing: translationMissing,
    atSockets: 'not seen',
    run: async (scene) => {
      const beyond = await makeBeyond(scene);
      try {
        const { to } = await serverThere(scene, `${kind}-server`, '--echo');
        const rule = `saddr ${beyond.address} masquerade`;
        await withTranslation(scene, 'postrouting', rule, async () => {
          await runGenerator(scene.t, beyond.place, `${kind}-client`, ...to, ...TALK[kind]);
        });
      } finally {
        beyond.close();
      }
      return [{ who: 'forwarded', owns: ofKind(kind) }];
    },
  };
}

export const TRANSLATION_CASES: readonly Case[] = KINDS.flatMap((kind) => [
  proxied(kind),
  published(kind),
  masqueraded(kind),
]);
