# A TCP client on asyncio: sends 5000 octets to an address and a port and reads what comes back.
import asyncio
import json
import sys


async def main(address, port):
    reader, writer = await asyncio.open_connection(address, port)
    local_port = writer.get_extra_info("sockname")[1]
    writer.write(b"x" * 5000)
    writer.write_eof()
    while await reader.read(65536):
        pass
    writer.close()
    print(json.dumps({"event": "done", "port": local_port}), flush=True)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
