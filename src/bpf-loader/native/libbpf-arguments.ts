// Structures that libbpf's functions take, and how they are filled.
import koffi from 'koffi';

// Structures of libbpf's interface. Each begins with its own size, so that an older or newer
// library reads only what both know.
export const openOptions = koffi.struct('bpf_object_open_opts', {
  sz: 'size_t',
  object_name: 'str',
  relaxed_maps: 'bool',
  pin_root_path: 'str',
  reserved: 'uint32_t',
  kconfig: 'str',
  btf_custom_path: 'str',
  kernel_log_buf: 'uint64_t',
  kernel_log_size: 'size_t',
  kernel_log_level: 'uint32_t',
});
export const iterateOptions = koffi.struct('bpf_iter_attach_opts', {
  sz: 'size_t',
  link_info: 'uint64_t',
  link_info_len: 'uint32_t',
});
export const tcHook = koffi.struct('bpf_tc_hook', {
  sz: 'size_t',
  ifindex: 'int',
  attach_point: 'int',
  parent: 'uint32_t',
});
export const tcOptions = koffi.struct('bpf_tc_opts', {
  sz: 'size_t',
  prog_fd: 'int',
  flags: 'uint32_t',
  prog_id: 'uint32_t',
  handle: 'uint32_t',
  priority: 'uint32_t',
});
export const programOptions = koffi.struct('bpf_prog_load_opts', {
  sz: 'size_t',
  attempts: 'int',
  expected_attach_type: 'int',
  prog_btf_fd: 'uint32_t',
  prog_flags: 'uint32_t',
  prog_ifindex: 'uint32_t',
  kern_version: 'uint32_t',
  attach_btf_id: 'uint32_t',
  attach_prog_fd: 'uint32_t',
  attach_btf_obj_fd: 'uint32_t',
  fd_array: 'uint64_t',
  func_info: 'uint64_t',
  func_info_cnt: 'uint32_t',
  func_info_rec_size: 'uint32_t',
  line_info: 'uint64_t',
  line_info_cnt: 'uint32_t',
  line_info_rec_size: 'uint32_t',
  log_level: 'uint32_t',
  log_size: 'uint32_t',
  log_buf: 'uint64_t',
});
export const testRunOptions = koffi.struct('bpf_test_run_opts', {
  sz: 'size_t',
  data_in: 'uint64_t',
  data_out: 'uint64_t',
  data_size_in: 'uint32_t',
  data_size_out: 'uint32_t',
  ctx_in: 'uint64_t',
  ctx_out: 'uint64_t',
  ctx_size_in: 'uint32_t',
  ctx_size_out: 'uint32_t',
  retval: 'uint32_t',
  repeat: 'int',
  duration: 'uint32_t',
  flags: 'uint32_t',
  cpu: 'uint32_t',
  batch_size: 'uint32_t',
});

export interface TcHook {
  readonly ifindex: number;
  /** 1 ingress, 2 egress, 3 both. */
  readonly attachPoint: number;
}
interface TcFilter {
  readonly programFd: number;
  readonly flags: number;
  readonly handle: number;
  readonly priority: number;
}

export function tcHookArgument(hook: TcHook): object {
  return {
    sz: koffi.sizeof(tcHook),
    ifindex: hook.ifindex,
    attach_point: hook.attachPoint,
    parent: 0,
  };
}

export function tcFilterArgument(filter: TcFilter): object {
  return {
    sz: koffi.sizeof(tcOptions),
    prog_fd: filter.programFd,
    flags: filter.flags,
    prog_id: 0,
    handle: filter.handle,
    priority: filter.priority,
  };
}

/**
 * Buffers of which an argument holds only the address: as long as the argument is in use, so are
 * they, and the garbage collector lets them be.
 */
const HELD = Symbol('held');

/** @param log where the kernel writes the verifier's log of a program that it refuses */
export function openArgument(log: Buffer): object {
  return {
    sz: koffi.sizeof(openOptions),
    object_name: null,
    relaxed_maps: false,
    pin_root_path: null,
    reserved: 0,
    kconfig: null,
    btf_custom_path: null,
    kernel_log_buf: koffi.address(log),
    kernel_log_size: log.length,
    kernel_log_level: 0,
    [HELD]: log,
  };
}

/**
 * @param log where the kernel writes the verifier's log of a program that it refuses; where it is too
 *   short, the kernel says so (ENOSPC) in the place of why it refused
 */
export function programArgument(attachType: number, log?: Buffer): object {
  return {
    sz: koffi.sizeof(programOptions),
    attempts: 0,
    expected_attach_type: attachType,
    prog_btf_fd: 0,
    prog_flags: 0,
    prog_ifindex: 0,
    kern_version: 0,
    attach_btf_id: 0,
    attach_prog_fd: 0,
    attach_btf_obj_fd: 0,
    fd_array: 0,
    func_info: 0,
    func_info_cnt: 0,
    func_info_rec_size: 0,
    line_info: 0,
    line_info_cnt: 0,
    line_info_rec_size: 0,
    log_level: 0,
    log_size: log?.length ?? 0,
    log_buf: log === undefined ? 0 : koffi.address(log),
    [HELD]: log,
  };
}

/** @param linkInfo union bpf_iter_link_info */
export function iteratorArgument(linkInfo: Buffer): object {
  return {
    sz: koffi.sizeof(iterateOptions),
    link_info: koffi.address(linkInfo),
    link_info_len: linkInfo.length,
    [HELD]: linkInfo,
  };
}

interface TestRun {
  readonly packet: Buffer;
  /** struct __sk_buff; only some of its fields may be set. */
  readonly context: Buffer;
  readonly repeat: number;
}

/** What bpf_prog_test_run_opts takes, and into which it writes retval and duration. */
export function testRunArgument(run: TestRun): { retval: number; duration: number } {
  const argument = {
    sz: koffi.sizeof(testRunOptions),
    data_in: koffi.address(run.packet),
    data_out: 0,
    data_size_in: run.packet.length,
    data_size_out: 0,
    ctx_in: koffi.address(run.context),
    ctx_out: 0,
    ctx_size_in: run.context.length,
    ctx_size_out: 0,
    retval: 0,
    repeat: run.repeat,
    duration: 0,
    flags: 0,
    cpu: 0,
    batch_size: 0,
    [HELD]: run,
  };
  return argument;
}

/** What bpf_prog_test_run_opts takes, in memory, for calls that differ in little. */
export interface PreparedTestRun {
  readonly options: Buffer;
  /** @param packetOctets of the packet's buffer, from its beginning */
  readonly set: (packetOctets: number, repeat: number) => void;
}

export function prepareTestRun(packet: Buffer, context: Buffer): PreparedTestRun {
  const options = Buffer.alloc(koffi.sizeof(testRunOptions));
  koffi.encode(options, testRunOptions, testRunArgument({ packet, context, repeat: 1 }));
  const octetsAt = koffi.offsetof(testRunOptions, 'data_size_in');
  const outOctetsAt = koffi.offsetof(testRunOptions, 'data_size_out');
  const repeatAt = koffi.offsetof(testRunOptions, 'repeat');
  const prepared = {
    options,
    set: (packetOctets: number, repeat: number): void => {
      options.writeUInt32LE(packetOctets, octetsAt);
      // The last call has left there what it had, and this one would not do with less.
      options.writeUInt32LE(0, outOctetsAt);
      options.writeInt32LE(repeat, repeatAt);
    },
    [HELD]: { packet, context },
  };
  return prepared;
}
