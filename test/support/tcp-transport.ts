// The transport over TCP as the daemon makes it.
import { loadExportSockets } from '../../src/bpf-loader/export-sockets.js';
import type { MessageTransport } from '../../src/exporter/delivery/message-transport.js';
import { createTcpTransport } from '../../src/exporter/transports/tcp-transport.js';
import type { TcpTransportOptions } from '../../src/exporter/transports/tcp-transport.js';

export type TcpOptions = Omit<TcpTransportOptions, 'openSendQueue'>;

export function tcpTransport(options: TcpOptions): MessageTransport {
  return createTcpTransport({ ...options, openSendQueue: loadExportSockets().openSendQueue });
}
