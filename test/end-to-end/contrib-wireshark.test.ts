// contrib/wireshark: its directory as a configuration profile, and the command lines of its README.
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { startExportCapture } from '../support/export-capture.js';
import { exportProgram } from '../support/exported-program.js';
import type { Teardown } from '../support/program.js';
import { PROJECT_ROOT, missingRequirement } from '../support/requirements.js';

const skip = missingRequirement();

/** A port that is there, and read by nobody. */
async function boundPort(t: Teardown): Promise<number> {
  const socket = createSocket('udp4');
  t.teardown(() => void socket.close());
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket.address().port;
}

/** As ~/.config/wireshark, with nothing in it but the profile "procflow". */
function configurationWithProfile(t: Teardown): string {
  const directory = mkdtempSync(join(tmpdir(), 'procflow-wireshark-'));
  t.teardown(() => {
    rmSync(directory, { recursive: true });
  });
  mkdirSync(join(directory, 'profiles'));
  symlinkSync(join(PROJECT_ROOT, 'contrib/wireshark'), join(directory, 'profiles/procflow'));
  return directory;
}

for (const version of [9, 10] as const) {
  t.test(`tshark -C procflow shows name and id, version ${version}`, { skip }, async (t) => {
    const port = await boundPort(t);
    const capture = await startExportCapture(t, port);
    const exported = await exportProgram(t, { version, port });
    await capture.stop();
    const env = { ...process.env, WIRESHARK_CONFIG_DIR: configurationWithProfile(t) };
    const tshark = (...args: readonly string[]): string =>
      execFileSync('tshark', ['-r', capture.path, '-d', `udp.port==${port},cflow`, ...args], {
        env,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
    const rows = tshark('-C', 'procflow').split('\n');
    // Source, port, destination, port, octets, pid and name at the source
    const { pid, name, octets } = exported;
    const row = new RegExp(`${exported.port}\\b.* ${octets}\\b.* ${pid}\\b.* ${name}\\b`);
    t.ok(
      rows.some((line) => row.test(line)),
      rows.join('\n'),
    );
    const filter = `cflow.pie.ntop.src_proc_name == "${name}"`;
    const fields = ['src_proc_id', 'src_proc_name'].flatMap((f) => ['-e', `cflow.pie.ntop.${f}`]);
    const values = tshark('-Y', filter, '-T', 'fields', ...fields).trim();
    t.equal(values.split(/[\t,]/)[0], String(pid));
    t.ok(values.includes(name));
  });
}
