// When a load can go on with the maps of another.
import t from 'tap';
import { METER_SETTINGS } from '../../../src/flow/flow-contract.gen.js';
import {
  isSameLoad,
  outlivesLoad,
  withSeedOf,
} from '../../../src/bpf-loader/state/load-description.js';

const LOAD = { layout: { flows_v4: '1 36 152 66536 1 key value', contract: '{}' }, settings: '00' };

t.test('in whatever order maps are told', async (t) => {
  const { flows_v4, contract } = LOAD.layout;
  t.ok(isSameLoad(LOAD, { ...LOAD, layout: { contract, flows_v4 } }));
});

for (const [title, other] of [
  ['another size', { ...LOAD.layout, flows_v4: '1 36 160 66536 1 key value' }],
  ['a map more', { ...LOAD.layout, added: '' }],
  ['a map less', { contract: '{}' }],
  ['another contract', { ...LOAD.layout, contract: '{"CONTRACT_VERSION":3}' }],
] as const) {
  t.test(`not with ${title}`, async (t) => {
    t.notOk(isSameLoad(LOAD, { ...LOAD, layout: other }));
  });
}

t.test('not with other settings, but for the seed, which is taken over', async (t) => {
  t.notOk(isSameLoad(LOAD, { ...LOAD, settings: '01' }));
  const { offset, size } = METER_SETTINGS.fields.hash_seed;
  const settings = Buffer.alloc(METER_SETTINGS.size, 1);
  const former = Buffer.alloc(METER_SETTINGS.size, 2);
  const merged = withSeedOf(settings, former.toString('hex'));
  t.same(merged.subarray(offset, offset + size), former.subarray(0, size));
  t.same(merged.subarray(0, offset), settings.subarray(0, offset));
  t.same(
    withSeedOf(settings, '0202'),
    settings,
    'not from settings that are laid out in another way',
  );
});

t.test('constants and what lasts for one run belong to one load', async (t) => {
  t.same(
    ['flows_v4', 'socket_owners', 'long_way', '.rodata.settings', 'expiry_settings'].map(
      outlivesLoad,
    ),
    [true, true, false, false, false],
  );
});
