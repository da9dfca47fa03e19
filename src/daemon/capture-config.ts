// Where packets are captured: at interfaces or at sockets; from the words of a command line.
import { ConfigError, alternatives } from './config-error.js';

export type CaptureConfig = InterfaceCapture | { readonly capture: 'sockets' };

interface InterfaceCapture {
  readonly capture: 'interface';
  readonly interfaces: readonly string[] | 'any';
  readonly netns?: string;
  readonly attach: AttachMode;
}

export interface CaptureSettings {
  readonly capture: string;
  /** Empty where none was given. */
  readonly interface: readonly string[];
  readonly attach: string;
  readonly netns?: string | undefined;
}

export const CAPTURE_MODES = ['interface', 'sockets'] as const;

export const ATTACH_MODES = ['auto', 'tcx', 'clsact'] as const;
export type AttachMode = (typeof ATTACH_MODES)[number];

/** Interface names have at most IFNAMSIZ - 1 octets. */
const MAX_INTERFACE_NAME_OCTETS = 15;

/** @throws ConfigError */
export function readCapture(settings: CaptureSettings): CaptureConfig {
  const mode = CAPTURE_MODES.find((known) => known === settings.capture);
  if (mode === undefined) {
    const advice = `give ${alternatives(CAPTURE_MODES)}`;
    throw new ConfigError(`--capture ${settings.capture}`, 'no such place', advice);
  }
  if (mode === 'sockets') {
    refuseInterfaceSettings(settings);
    return { capture: mode };
  }
  const { netns } = settings;
  if (netns === '') throw new ConfigError('--netns', 'is empty', 'give a name or a path');
  return {
    capture: mode,
    interfaces: readInterfaces(settings.interface),
    attach: readAttachMode(settings.attach),
    ...(netns !== undefined && { netns }),
  };
}

/** They would narrow what is metered, which a meter at the sockets cannot do by them. */
function refuseInterfaceSettings({ interface: names, netns, attach }: CaptureSettings): void {
  const advice = '--cgroup narrows it; or use --capture interface';
  const [name] = names;
  if (name !== undefined) {
    const reason = 'cannot be chosen with --capture sockets: packets of all interfaces are metered';
    throw new ConfigError(`-i ${name}`, reason, advice);
  }
  if (netns !== undefined) {
    const reason = 'cannot be chosen with --capture sockets: all network namespaces are metered';
    throw new ConfigError(`--netns ${netns}`, reason, advice);
  }
  if (readAttachMode(attach) !== 'auto') {
    const reason = 'is for interfaces: --capture sockets attaches to a cgroup';
    throw new ConfigError(`--attach ${attach}`, reason, 'leave it out');
  }
}

function readInterfaces(names: readonly string[]): readonly string[] | 'any' {
  const advice = '"ip link" lists them; "any" means all';
  if (names.length === 0) throw new ConfigError('-i', 'no interface given', advice);
  for (const name of names) {
    const setting = `-i ${name}`;
    if (name === '') throw new ConfigError('-i', 'an interface without a name', advice);
    if (Buffer.byteLength(name) > MAX_INTERFACE_NAME_OCTETS) {
      const reason = `interface names have at most ${MAX_INTERFACE_NAME_OCTETS} octets`;
      throw new ConfigError(setting, reason, advice);
    }
    if (/[\s/]/.test(name) || name === '.' || name === '..') {
      throw new ConfigError(setting, 'is not an interface name', advice);
    }
  }
  if (!names.includes('any')) return [...new Set(names)];
  if (names.some((name) => name !== 'any')) {
    throw new ConfigError('-i any', 'already means all interfaces', 'give either it or names');
  }
  return 'any';
}

function readAttachMode(text: string): AttachMode {
  const mode = ATTACH_MODES.find((known) => known === text);
  if (mode !== undefined) return mode;
  const advice = `give ${alternatives(ATTACH_MODES)}`;
  throw new ConfigError(`--attach ${text}`, 'no such way of attaching', advice);
}
