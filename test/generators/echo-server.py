# A TCP and a UDP echo server on asyncio, on the address that it is given, until it is killed.
import asyncio
import json
import sys


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        self.transport.sendto(data, peer)


async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


async def main(address):
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(serve, address, 0)
    transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=(address, 0))
    ports = {
        "tcp": server.sockets[0].getsockname()[1],
        "udp": transport.get_extra_info("sockname")[1],
    }
    print(json.dumps({"event": "ready", **ports}), flush=True)
    await server.serve_forever()


asyncio.run(main(sys.argv[1]))
