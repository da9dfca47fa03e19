// Flow records of this version are translated to themselves; of BTF without them nothing is guessed.
import t from 'tap';
import { BpfObject } from '../../../src/bpf-loader/bpf-object.js';
import { recordTranslator } from '../../../src/bpf-loader/state/translate-records.js';
import { FLOW_RECORD } from '../../../src/flow/flow-contract.gen.js';
import { cannotLoadPrograms } from '../../support/packet-lab.js';

// Those of another version: test/end-to-end/upgrade.test.ts.
t.test('all members find their place', { skip: cannotLoadPrograms() }, async (t) => {
  const object = BpfObject.load({ maxEntries: { flows_v4: 16, flows_v6: 16 }, hooks: false });
  t.teardown(() => {
    object.close();
  });
  const { recordOctets, translate } = recordTranslator(object.btf());
  t.equal(recordOctets, FLOW_RECORD.size);
  const records = Buffer.from(Array.from({ length: 2 * recordOctets }, (_, i) => 1 + (i % 255)));
  t.same(translate(records), records);
});

t.test('what says nothing of flow records is refused', async (t) => {
  // magic, version 1, flags, 24 octets of header; types and strings of no and of one octet
  const header = '9feb 01 00 18000000' + '00000000 00000000' + '00000000 01000000';
  const btf = Buffer.from(`${header} 00`.replaceAll(' ', ''), 'hex');
  t.throws(() => recordTranslator(btf), { code: 'EPROTO' });
});
