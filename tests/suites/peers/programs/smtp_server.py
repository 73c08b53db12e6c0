"""A mail server, which speaks first: smtp_server.py PORT

It answers each message with its hash."""

import asyncio
import hashlib
import sys


async def serve(reader, writer):
    try:
        await talk(reader, writer)
    except ConnectionError:
        pass  # The client is gone, as the one is that finds out whether we listen.
    writer.close()


async def talk(reader, writer):
    def say(line):
        writer.write(line.encode() + b"\r\n")

    say("220 peers.test at your service")
    while line := await reader.readline():
        verb = line[:4].upper()
        if verb == b"EHLO":
            say("250-peers.test")
            say("250 8BITMIME")
        elif verb == b"DATA":
            say("354 go on")
            text = await reader.readuntil(b"\r\n.\r\n")
            say(f"250 {len(text)} bytes, {hashlib.sha256(text).hexdigest()}")
        elif verb == b"QUIT":
            say("221 good bye")
            break
        else:
            say("250 fine")


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]), limit=1 << 24)
    await server.serve_forever()


asyncio.run(main())
