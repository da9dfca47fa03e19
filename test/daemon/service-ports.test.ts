import t from 'tap';
import { findServicePort } from '../../src/daemon/service-ports.js';

const SERVICES = `# Network services, Internet style
domain\t\t53/tcp\t\t\t\t# Domain Name Server
domain\t\t53/udp
ipfix           4739/tcp
ipfix           4739/udp   flows  netflow-ng # IP Flow Information Export
#old            99/udp
`;

const rows: readonly { name: string; protocol: 'udp' | 'tcp'; port: number | undefined }[] = [
  { name: 'domain', protocol: 'udp', port: 53 },
  { name: 'ipfix', protocol: 'tcp', port: 4739 },
  { name: 'netflow-ng', protocol: 'udp', port: 4739 },
  { name: 'flows', protocol: 'tcp', port: undefined },
  { name: 'old', protocol: 'udp', port: undefined },
  { name: '53/udp', protocol: 'udp', port: undefined },
];

t.test('a service has the port that services(5) gives it', async (t) => {
  for (const { name, protocol, port } of rows) {
    t.equal(findServicePort(SERVICES, name, protocol), port, `${name} over ${protocol}`);
  }
});
