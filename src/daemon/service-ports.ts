// Ports by name, as services(5) lists them: "netflow" in the place of 2055.
import { readFileSync } from 'node:fs';

const SERVICES = '/etc/services';

/** Undefined where there is no such service, or no such file. */
export function servicePort(name: string, protocol: 'udp' | 'tcp'): number | undefined {
  let text: string;
  try {
    text = readFileSync(SERVICES, 'utf8');
  } catch {
    return undefined;
  }
  return findServicePort(text, name, protocol);
}

/** In lines of "name  port/protocol  alias ...  # comment". */
export function findServicePort(
  text: string,
  name: string,
  protocol: 'udp' | 'tcp',
): number | undefined {
  for (const line of text.split('\n')) {
    const [service = '', place = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (service !== name && !aliases.includes(name)) continue;
    const [, port] = /^(\d+)\/(\w+)$/.exec(place) ?? [];
    if (port !== undefined && place.endsWith(`/${protocol}`)) return Number(port);
  }
  return undefined;
}
