// What the path of a cgroup says about the processes in it: the systemd unit, the container, the pod.
// Every runtime has its own convention, and each has two: one for cgroups that systemd makes, one for
// those that the runtime makes itself ("cgroupfs").

export interface CgroupMembership {
  readonly unit: string;
  readonly containerId: string;
  readonly containerRuntime: string;
  readonly podUid: string;
}

interface Container {
  readonly id: string;
  readonly runtime: string;
}

const ID = '[0-9a-f]{64}';
/** What stands before a container's id, in the name of its cgroup, and the runtime that writes it. */
const PREFIXES: ReadonlyMap<string, string> = new Map([
  ['docker', 'docker'],
  ['libpod', 'podman'],
  ['libpod-payload', 'podman'],
  ['cri-containerd', 'containerd'],
  ['containerd', 'containerd'],
  ['nerdctl', 'containerd'],
  ['crio', 'cri-o'],
]);
/** "docker-ID.scope", "crio-ID", "kubepods-podUID.slice:cri-containerd:ID". A monitor is not inside. */
const NAMED = new RegExp(`^(?:[^:]*:)?([a-z-]+)[-:](${ID})(?:\\.scope)?$`);
const BARE = new RegExp(`^${ID}$`);
/** The directory in which a runtime makes cgroups that are named by the id alone. */
const PARENTS: ReadonlyMap<string, string> = new Map([
  ['docker', 'docker'],
  ['ecs', 'docker'],
  ['k8s.io', 'containerd'],
  ['default', 'containerd'],
]);
/** A uid with dashes; systemd's slices have "_" for them. A static pod's is a hash. */
const POD =
  /(?:^|-)pod([0-9a-f]{8}([-_])[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{4}\2[0-9a-f]{12}|[0-9a-f]{32})(?:\.slice|$|:)/;
const UNIT = /^[^.].*\.(?:service|scope|socket|mount|swap)$/;
const USER_MANAGER = /^user@\d+\.service$/;

/** @param path below the cgroup mount: "/system.slice/ssh.service" */
export function readCgroupPath(path: string): CgroupMembership {
  const parts = path.split('/').filter((part) => part !== '');
  const container = containerOf(parts);
  return {
    unit: unitOf(parts),
    containerId: container?.id ?? '',
    containerRuntime: container?.runtime ?? '',
    podUid: podOf(parts),
  };
}

/**
 * The first unit below the slices, because what is inside of it is its own affair (a container can have
 * a systemd too). Of a user's manager it is the user's unit.
 */
function unitOf(parts: readonly string[]): string {
  const names = parts.map((part) => (part.startsWith('_') ? part.slice(1) : part));
  const first = names.findIndex((name) => !name.endsWith('.slice'));
  const unit = names[first] ?? '';
  if (!UNIT.test(unit)) return '';
  if (!USER_MANAGER.test(unit)) return unit;
  const inner = names.slice(first + 1).find((name) => !name.endsWith('.slice')) ?? '';
  return UNIT.test(inner) ? inner : unit;
}

/** The innermost one. */
function containerOf(parts: readonly string[]): Container | undefined {
  for (let at = parts.length - 1; at >= 0; at--) {
    const container = containerAt(parts, at);
    if (container !== undefined) return container;
  }
  return undefined;
}

function containerAt(parts: readonly string[], at: number): Container | undefined {
  const part = parts[at] ?? '';
  const [, prefix = '', id = ''] = NAMED.exec(part) ?? [];
  const runtime = PREFIXES.get(prefix);
  if (runtime !== undefined) return { id, runtime };
  // The directory above says whose it is; with ECS that of the task is in between.
  if (BARE.test(part)) {
    const above = [parts[at - 1], parts[at - 2]].map((name = '') => PARENTS.get(name));
    return { id: part, runtime: above.find((name) => name !== undefined) ?? '' };
  }
  return namedContainer(parts, at);
}

/** Runtimes whose containers have a name and no id. */
function namedContainer(parts: readonly string[], at: number): Container | undefined {
  const part = parts[at] ?? '';
  if (part.startsWith('lxc.payload.')) {
    return { id: part.slice('lxc.payload.'.length), runtime: 'lxc' };
  }
  if (at === 1 && parts[0] === 'lxc') return { id: part, runtime: 'lxc' };
  if (parts[at + 1] === 'supervisor') return undefined; // nspawn itself
  const [, nspawn] = /^systemd-nspawn@(.+)\.service$/.exec(part) ?? [];
  if (nspawn !== undefined) return { id: unescapeUnit(nspawn), runtime: 'nspawn' };
  // Registered with machined, as virtual machines are; only a container's has a payload inside.
  const [, machine] = /^machine-(.+)\.scope$/.exec(part) ?? [];
  if (machine !== undefined && parts[at + 1] === 'payload') {
    return { id: unescapeUnit(machine), runtime: 'nspawn' };
  }
  return undefined;
}

function podOf(parts: readonly string[]): string {
  for (const part of [...parts].reverse()) {
    const [, uid] = POD.exec(part) ?? [];
    if (uid !== undefined) return uid.replaceAll('_', '-');
  }
  return '';
}

/** systemd.unit(5): "\x2d" stands for "-". */
function unescapeUnit(name: string): string {
  return name.replaceAll(/\\x([0-9a-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
