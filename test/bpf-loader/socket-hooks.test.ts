import t from 'tap';
import { findCgroup2Mount } from '../../src/bpf-loader/socket-hooks.js';

void t.test('cgroup v2 is found in mountinfo', async (t) => {
  const CASES = [
    {
      name: 'the unified layout',
      mountinfo: '24 30 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n',
      expected: '/sys/fs/cgroup',
    },
    {
      name: 'the hybrid layout',
      mountinfo:
        '33 32 0:27 / /sys/fs/cgroup/cpu rw shared:14 - cgroup cgroup rw,cpu\n' +
        '42 32 0:36 / /sys/fs/cgroup/unified rw shared:23 - cgroup2 cgroup2 rw\n',
      expected: '/sys/fs/cgroup/unified',
    },
    {
      name: 'a path with a blank, as the kernel writes it',
      mountinfo: '24 30 0:22 / /mnt/a\\040b\\134c rw - cgroup2 cgroup2 rw\n',
      expected: '/mnt/a b\\c',
    },
    { name: 'no cgroup v2', mountinfo: '1 0 0:1 / / rw - ext4 /dev/vda rw\n', expected: undefined },
  ];
  for (const { name, mountinfo, expected } of CASES) {
    t.equal(findCgroup2Mount(mountinfo), expected, name);
  }
});
