// What few hosts need is loaded when it is needed: the verifier takes long for each packet program.
import { readdirSync, readlinkSync } from 'node:fs';
import t from 'tap';
import { BpfObject } from '../../src/bpf-loader/bpf-object.js';
import { cannotLoadPrograms } from '../support/packet-lab.js';

function descriptors(kind: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === `anon_inode:${kind}`;
    } catch {
      return false; // the descriptor of the directory itself is gone by now
    }
  }).length;
}

t.test(
  'programs for interfaces without a link layer are loaded when they are asked for',
  { skip: cannotLoadPrograms() },
  async (t) => {
    const [noPrograms, noMaps] = [descriptors('bpf-prog'), descriptors('bpf-map')];
    const object = BpfObject.load({ maxEntries: { flows_v4: 16, flows_v6: 16 } });
    const programs = descriptors('bpf-prog');
    t.ok(object.programFd('flow_ingress') > 0);
    t.equal(descriptors('bpf-prog'), programs);
    t.ok(object.programFd('flow_ingress_ip') > 0);
    t.ok(object.programFd('flow_egress_ip') > 0);
    t.equal(descriptors('bpf-prog'), programs + 2, 'these two and no others, once');
    object.close();
    t.equal(descriptors('bpf-prog'), noPrograms);
    t.equal(descriptors('bpf-map'), noMaps, 'also what the late ones shared is closed');
  },
);
