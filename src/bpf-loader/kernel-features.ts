// What the kernel and the machine offer, found by trying: for `procflow doctor`.
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { BpfError } from './bpf-error.js';
import { BpfObject, openLibbpf } from './bpf-object.js';
import { missingCapabilities } from './capabilities.js';
import { probeAttachMode } from './interface-attachment.js';
import { isAtLeast, MINIMUM_KERNEL, missingRequirements } from './kernel-requirements.js';
import { loadLibc } from './native/libc.js';
import { readKernelNames } from './program-choice.js';
import { findCgroup2Mount } from './socket-hooks.js';
import { findLeftFilters, findLeftState } from './state/left-behind.js';

export interface KernelFeature {
  readonly name: string;
  readonly found: boolean;
  /** The exporter cannot run without it. */
  readonly required: boolean;
  /** What was seen: a version, a path, an error. */
  readonly detail: string;
  /** What its absence costs, or how to mend it. */
  readonly consequence: string;
}

const SMALLEST_CACHE = { maxEntries: { flows_v4: 16, flows_v6: 16 } };

/** Never throws: what fails is a feature that was not found. */
export function probeKernelFeatures(): readonly KernelFeature[] {
  return [
    kernelRelease(),
    libbpf(),
    kernelTypes(),
    kernelParts(),
    capabilities(),
    ...programs(),
    socketCapture(),
    cgroup(),
    lockdown(),
    leftBehind(),
  ];
}

function kernelRelease(): KernelFeature {
  return {
    name: `kernel ${MINIMUM_KERNEL} or later`,
    found: isAtLeast(release(), MINIMUM_KERNEL),
    required: false,
    detail: release(),
    consequence: 'no older one is tested',
  };
}

function kernelParts(): KernelFeature {
  const feature = {
    name: 'what programs need of the kernel',
    required: true,
    consequence: `use Linux ${MINIMUM_KERNEL} or later`,
  };
  try {
    const missing = missingRequirements(readKernelNames());
    const detail = missing.length === 0 ? 'all of it' : `lacks ${missing.join(', ')}`;
    return { ...feature, found: missing.length === 0, detail };
  } catch (error) {
    return { ...feature, found: false, detail: messageOf(error) };
  }
}

function libbpf(): KernelFeature {
  const feature = {
    name: 'libbpf 1.0 or later',
    required: true,
    consequence: 'install it: apt-get install libbpf1',
  };
  try {
    return { ...feature, found: true, detail: openLibbpf().versionString() };
  } catch (error) {
    return { ...feature, found: false, detail: messageOf(error) };
  }
}

function kernelTypes(): KernelFeature {
  const path = '/sys/kernel/btf/vmlinux';
  const found = existsSync(path);
  return {
    name: 'kernel type information (BTF)',
    found,
    required: true,
    detail: found ? path : `no ${path}`,
    consequence: 'use a kernel built with CONFIG_DEBUG_INFO_BTF',
  };
}

function capabilities(): KernelFeature {
  const missing = missingCapabilities();
  return {
    name: 'capabilities',
    found: missing.length === 0,
    required: true,
    detail: missing.length === 0 ? 'BPF, PERFMON, NET_ADMIN' : `missing: ${missing.join(', ')}`,
    consequence: 'run as root, or with these, outside of containers',
  };
}

/** Loads the programs, and asks the loaded ones what cannot be known otherwise. */
function programs(): KernelFeature[] {
  const load = {
    name: 'BPF programs load',
    required: true,
    consequence: 'procflow --debug live prints the reason in full',
  };
  let object: BpfObject;
  try {
    object = BpfObject.load(SMALLEST_CACHE);
  } catch (error) {
    return [{ ...load, found: false, detail: messageOf(error) }];
  }
  try {
    const mode = probeAttachMode(object, loadLibc());
    return [
      { ...load, found: true, detail: 'packets, sockets, expiry' },
      {
        name: 'TCX links',
        found: mode === 'tcx',
        required: false,
        detail: mode === 'tcx' ? 'attached to lo and detached' : 'not in this kernel (6.6)',
        consequence: 'clsact filters are used; after a crash they stay until the next start',
      },
      sendAndReceiveHooks(object.unavailable),
    ];
  } finally {
    object.close();
  }
}

/** Loads the programs of the other way of capturing packets. */
function socketCapture(): KernelFeature {
  const feature = {
    name: 'capture at sockets',
    required: false,
    consequence: 'no --capture sockets; interfaces are metered without it',
  };
  try {
    const object = BpfObject.load({ ...SMALLEST_CACHE, capture: 'sockets' });
    object.close();
    return { ...feature, found: true, detail: 'cgroup_skb' };
  } catch (error) {
    return { ...feature, found: false, detail: messageOf(error) };
  }
}

function sendAndReceiveHooks(unavailable: ReadonlySet<string>): KernelFeature {
  const feature = {
    name: 'hooks at send and receive',
    required: false,
    consequence: 'a socket shared by processes stays with its creator; no AF_PACKET senders',
  };
  if (!unavailable.has('socket_sent')) {
    return { ...feature, found: true, detail: 'tracepoints sock_send_length, sock_recv_length' };
  }
  if (!unavailable.has('socket_sends')) {
    return { ...feature, found: true, detail: 'fentry on security_socket_sendmsg, recvmsg' };
  }
  const detail = 'no tracepoints (6.3), and fentry is not there or not allowed';
  return { ...feature, found: false, detail };
}

function cgroup(): KernelFeature {
  const mount = findCgroup2Mount(readFileSync('/proc/self/mountinfo', 'utf8'));
  return {
    name: 'cgroup v2',
    found: mount !== undefined,
    required: false,
    detail: mount ?? 'not mounted',
    consequence: 'a socket has an owner only from its first use on',
  };
}

function lockdown(): KernelFeature {
  let mode = 'none';
  try {
    mode = /\[(\w+)\]/.exec(readFileSync('/sys/kernel/security/lockdown', 'utf8'))?.[1] ?? mode;
  } catch {
    mode = 'cannot be read (securityfs is not mounted)';
  }
  return {
    name: 'lockdown',
    found: true,
    required: false,
    detail: mode,
    consequence: 'nothing: no program needs more than lockdown "confidentiality" allows',
  };
}

function leftBehind(): KernelFeature {
  const feature = { name: 'nothing left behind', required: false };
  try {
    const states = findLeftState();
    const filters = findLeftFilters();
    const detail = [
      ...states.map((path) => `${path} is kept by no procflow that runs`),
      ...filters.map((name) => `clsact filters at ${name}`),
    ].join('; ');
    const commands = [
      ...states.map((path) => `procflow detach --state ${path}`),
      ...(filters.length > 0 ? ['procflow detach'] : []),
    ];
    const consequence =
      states.length > 0
        ? `metering goes on in the kernel until the next start with it, or: ${commands.join('; ')}`
        : `packets run through them in vain; remove them: ${commands.join('; ')}`;
    return { ...feature, found: detail === '', detail, consequence };
  } catch (error) {
    return { ...feature, found: false, detail: messageOf(error), consequence: '' };
  }
}

function messageOf(error: unknown): string {
  if (error instanceof BpfError) return error.message;
  return error instanceof Error ? error.message : String(error);
}
