// What user space adds to a flow's process: what the flow record has no room for, and names that the
// kernel does not keep. Implemented in src/process, read by src/exporter and src/cli.
import type { FlowRecord, FlowSide } from './flow-record.js';

/**
 * What is known of a process beyond the flow record. Strings are empty and numbers 0 where it is not
 * known. Immutable: when more is learned, another object takes its place, so that an object can stand
 * for what was made of it.
 */
export interface ProcessIdentity {
  /** Path as executed, or as /proc/PID/exe has it. */
  readonly executable: string;
  /** Arguments joined by one space; unsanitised, bounded. */
  readonly commandLine: string;
  readonly parentPid: number;
  /** The parent's comm. */
  readonly parentName: string;
  /** In cgroup v2: "/system.slice/ssh.service". */
  readonly cgroupPath: string;
  /** The systemd unit: "ssh.service". */
  readonly unit: string;
  /** 64 hex digits, or the name where the runtime has only that (lxc, nspawn). */
  readonly containerId: string;
  /** docker, podman, containerd, cri-o, lxc, nspawn. */
  readonly containerRuntime: string;
  /** Kubernetes pod, with dashes. */
  readonly podUid: string;
}

export interface ProcessDirectory {
  /** Login name of a user id as UTF-8, or the number in digits when the id has no name. */
  userName(uid: number): string;
  /** The same as bytes; the buffer is shared and must not be changed. */
  userNameBytes(uid: number): Uint8Array;
  /**
   * The process at this side of the record, by pid, start and count of execs. Never throws; undefined
   * where nothing is known. The same process gives the same object until more is learned of it.
   */
  identity(record: FlowRecord, side: FlowSide): ProcessIdentity | undefined;
}

/** How well the directory knows its processes; all but `known` only grow. */
export interface ProcessStatistics {
  /** Programs of processes that are remembered now, of those that have ended too. */
  readonly known: number;
  /** Forgotten for want of room. */
  readonly evicted: number;
  /** No event had told of them; /proc did, when a record asked. */
  readonly healed: number;
  /** Neither did /proc: they had ended. */
  readonly notFound: number;
  /** Times that a record got no answer because looking would have taken too long. */
  readonly postponed: number;
  /** Reads of the kernel's events or of its list of processes that failed. */
  readonly failedReads: number;
}
