// Sockets in the current network namespace that have a process as their owner, as if the meter's hooks
// had seen it receive.
import { closeSync } from 'node:fs';
import { loadExportSockets } from '../../src/bpf-loader/export-sockets.js';
import { ATTRIBUTION_METHOD, OWNER_FLAG, PROCESS_OWNER } from '../../src/flow/flow-contract.gen.js';
import type { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import type { Teardown } from '../../test/support/program.js';

const OWNER_AT = 16; // in struct guarded_owner: cookie, sequence, netns
const KEY_OCTETS = 4;

/** @returns their descriptors */
export function openReceivers(
  t: Teardown,
  addresses: readonly string[],
  port: number,
): readonly number[] {
  const sockets = loadExportSockets();
  return addresses.map((address) => {
    const family = address.includes(':') ? 6 : 4;
    const fd = sockets.openUdpSocket({ family, source: { address, port }, multicastHops: 1 });
    t.teardown(() => {
      closeSync(fd);
    });
    return fd;
  });
}
/** @throws BpfError */
export function giveOwner(object: BpfObject, socketFd: number): void {
  const key = Buffer.alloc(KEY_OCTETS);
  key.writeInt32LE(socketFd);
  const value = Buffer.alloc(OWNER_AT + PROCESS_OWNER.size);
  const { fields } = PROCESS_OWNER;
  value.writeBigUInt64LE(1n, OWNER_AT + fields.start_ns.offset);
  value.writeUInt32LE(process.pid, OWNER_AT + fields.pid.offset);
  value.writeUInt8(ATTRIBUTION_METHOD.ATTRIBUTION_SOCKET, OWNER_AT + fields.method.offset);
  value.writeUInt8(OWNER_FLAG.OWNER_USED, OWNER_AT + fields.flags.offset);
  value.write('receiver', OWNER_AT + fields.comm.offset);
  const result = object.libbpf.update(object.mapFd('socket_owners'), key, value, 0);
  if (result < 0) throw object.error(-result, `give socket ${socketFd} an owner`);
}
