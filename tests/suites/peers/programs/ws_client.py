"""A WebSocket client: ws_client.py ADDRESS:PORT MESSAGES [deflate]

Sends messages of text and of bytes, short and long, and prints a hash of all that came back."""

import asyncio
import hashlib
import sys

from websockets.asyncio.client import connect


def message(number):
    length = 70_000 if number % 1000 == 0 else number % 200
    return "ä" * length if number % 2 else bytes([number % 256]) * length


async def main(address, count, deflate):
    async with connect(f"ws://{address}/echo", compression="deflate" if deflate else None) as connection:
        async def send():
            for number in range(count):
                await connection.send(message(number))

        sending = asyncio.create_task(send())
        seen = hashlib.sha256()
        for number in range(count):
            echoed = await connection.recv()
            assert echoed == message(number), number
            seen.update(echoed.encode() if isinstance(echoed, str) else echoed)
        await sending
        await (await connection.ping(b"still there?"))
    print(connection.response.status_code, connection.close_code, count, seen.hexdigest())


asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["deflate"]))
