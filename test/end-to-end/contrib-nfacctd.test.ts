// contrib/nfacctd: nfacctd with exactly those files, its port from the command line.
import t from 'tap';
import { exportProgram } from '../support/exported-program.js';
import { startNfacctd } from '../support/nfacctd.js';
import { missingRequirement } from '../support/requirements.js';

const skip = missingRequirement('nfacctd');
// Each waits ten seconds until nfacctd prints.
t.jobs = 2;

for (const [version, contributed] of [
  [9, 'nfacctd-netflow9.conf'],
  [10, 'nfacctd.conf'],
] as const) {
  t.test(
    `contrib/nfacctd/${contributed} shows process name and id`,
    { skip, buffered: true },
    async (t) => {
      const nfacctd = await startNfacctd(t, { version, contributed });
      const { name, pid, port } = await exportProgram(t, { version, port: nfacctd.port });
      t.match(await nfacctd.printed('port_dst', port), {
        ip_proto: 'udp',
        packets: 5,
        src_process_id: String(pid),
        src_process_name: name,
        src_process_user_name: 'root',
        dst_process_id: '0',
        dst_process_name: '',
        dst_process_user_name: '',
      });
      await nfacctd.stop();
    },
  );
}
