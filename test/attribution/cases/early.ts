// Sockets that were open before procflow started belong to the processes that hold them.
import { runGenerator, startGenerator } from '../../support/generators.js';
import { counted, lastReport, ofPort, TCP, UDP, type Case } from '../case.js';

export const EARLY_CASES: readonly Case[] = [
  {
    name: 'a UDP client with a socket from before the start',
    isEarly: true,
    run: async ({ t, here, there, thereAddress, comm, metering }) => {
      const server = startGenerator(t, there, 'udp-server', '--echo');
      const { port } = await server.report('ready');
      const to = ['--to', thereAddress, '--port', Number(port), '--connected', '--read-echo'];
      const client = startGenerator(t, here, ['udp-client', comm('early-uc')], ...to, '--wait');
      await client.report('ready');
      await metering();
      client.write('\n');
      const who = await lastReport(client);
      const count = counted(who);
      const owns = ofPort(UDP, who.port);
      return [{ who, owns, sent: count, received: count, methods: ['snapshot', 'socket'] }];
    },
  },
  {
    name: 'a TCP server that listened before the start',
    isEarly: true,
    run: async ({ t, here, there, hereAddress, comm, metering }) => {
      const server = startGenerator(t, here, ['tcp-server', comm('early-ts')], '--echo');
      const who = await server.report('ready');
      await metering();
      const to = ['--to', hereAddress, '--port', Number(who.port), '--octets', 5000];
      await runGenerator(t, there, 'tcp-client', ...to, '--read-echo');
      await server.success();
      return [{ who, owns: ofPort(TCP, who.port), methods: ['snapshot', 'socket'] }];
    },
  },
];
