// Interfaces that come, carry some packets, and go, as those of containers do.
import { execFileSync } from 'node:child_process';
import { runGenerator, type Place } from '../support/generators.js';
import type { Namespace } from '../support/network-namespace.js';
import type { Teardown } from '../support/program.js';
import type { Sums } from './received.js';
import type { SoakDaemon } from './soak-daemon.js';

const AT_ONCE = 3;
const FRAMES = 10;

export class PassingInterfaces {
  /** What was sent through them while they were metered. */
  readonly sent: Sums = { packets: 0, octets: 0 };
  #rounds = 0;
  readonly #place: Place;
  /** Where their other ends are. */
  readonly #other: Namespace;

  /** Neither namespace sends anything by itself over a new interface. */
  constructor(place: Place, other: Namespace) {
    this.#place = place;
    this.#other = other;
    for (const { name } of [place.namespace, other]) {
      const sysctl = ['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1'];
      execFileSync('ip', ['netns', 'exec', name, ...sysctl]);
    }
  }

  get count(): number {
    return this.#rounds * AT_ONCE;
  }

  async pass(t: Teardown, daemon: SoakDaemon): Promise<void> {
    const round = ++this.#rounds;
    const names = Array.from({ length: AT_ONCE }, (_, i) => `s${round}-${i}`);
    this.#ip(
      names.flatMap((name) => [
        `link add ${name} type veth peer name ${name} netns ${this.#other.name}`,
        `link set ${name} up`,
      ]),
    );
    execFileSync('ip', ['-n', this.#other.name, '-batch', '-'], {
      input: names.map((name) => `link set ${name} up`).join('\n'),
    });
    for (const name of names) {
      await daemon.said(new RegExp(`interface ${name} appeared and is metered`), 1);
      const link = ['--interface', name, '--destination-mac', '02:00:00:00:00:42'];
      const ends = ['--source', '10.0.0.1', '--to', '10.0.0.2', '--count', FRAMES];
      const report = await runGenerator(t, this.#place, 'frame-sender', ...link, ...ends);
      this.sent.packets += Number(report.packets);
      this.sent.octets += Number(report.octets);
    }
    this.#ip(names.map((name) => `link del ${name}`));
    for (const name of names) await daemon.said(new RegExp(`interface ${name} is gone`), 1);
  }

  #ip(lines: readonly string[]): void {
    const { name } = this.#place.namespace;
    execFileSync('ip', ['-n', name, '-batch', '-'], { input: lines.join('\n') });
  }
}
