"""An HTTP/2 server made with the h2 library, by prior knowledge or `Upgrade: h2c`: h2_server.py PORT

Writes a line of JSON for each request that it got whole. What it answers depends on the path."""

import asyncio
import hashlib
import json
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived, RemoteSettingsChanged, RequestReceived, StreamEnded, StreamReset,
    TrailersReceived, WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes


class Request:
    def __init__(self, headers):
        self.headers, self.body, self.trailers = headers, bytearray(), []

    def __getitem__(self, name):
        return next((value for key, value in self.headers if key == name), "")

    def record(self):
        apart = (":authority", "host", "cookie", "x-umbra-shadow")
        fields = [[name, value] for name, value in self.headers if name not in apart]
        crumbs = [value for name, value in self.headers if name == "cookie"]
        return {
            "host": self[":authority"] or self["host"], "headers": sorted(fields), "cookie": "; ".join(crumbs),
            "length": len(self.body),
            "body": hashlib.sha256(self.body).hexdigest(), "trailers": sorted(self.trailers),
            "marked": self["x-umbra-shadow"],
        }


class Server(asyncio.Protocol):
    def __init__(self):
        self.conn = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.requests, self.owed, self.early = {}, {}, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if self.early is not None:
            self.early += data
            if self.early.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
                self.conn.initiate_connection()
            elif b"\r\n\r\n" in self.early and not self.early.startswith(b"PRI"):
                self.upgrade()
            else:
                return
            data, self.early = self.early, None
        try:
            events = self.conn.receive_data(data)
        except ProtocolError as error:
            print("h2_server:", error, file=sys.stderr)
            self.flush()
            return self.transport.close()
        for event in events:
            self.event(event)
        self.flush()

    def upgrade(self):
        """RFC 7540 section 3.2."""
        head, _, self.early = self.early.partition(b"\r\n\r\n")
        line, *fields = head.decode().split("\r\n")
        fields = [(name.lower(), value.strip()) for name, value in (field.split(":", 1) for field in fields)]
        method, path, _ = line.split(" ")
        self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        self.conn.initiate_upgrade_connection(dict(fields)["http2-settings"].encode())
        ours = ("connection", "upgrade", "http2-settings", "host")
        # HTTP/1.1 names no scheme; the connection does (RFC 7540 3.2).
        authority = dict(fields)["host"]
        headers = [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority)]
        self.requests[1] = Request(headers + [field for field in fields if field[0] not in ours])
        self.ended(1)

    def event(self, event):
        stream = getattr(event, "stream_id", None)
        if isinstance(event, RequestReceived):
            request = self.requests[stream] = Request(event.headers)
            if request[":path"] == "/early":
                self.answer(stream, b"no more, please")
                self.conn.reset_stream(stream, ErrorCodes.NO_ERROR)
            elif request[":path"] == "/refuse":
                self.conn.reset_stream(stream, ErrorCodes.REFUSED_STREAM)
            elif request[":method"] == "CONNECT":
                self.conn.send_headers(stream, [(":status", "200")])
        elif isinstance(event, DataReceived):
            if event.flow_controlled_length:
                self.conn.acknowledge_received_data(event.flow_controlled_length, stream)
            if stream in self.requests:
                self.requests[stream].body += event.data
        elif isinstance(event, TrailersReceived):
            self.requests[stream].trailers = [[name, value] for name, value in event.headers]
        elif isinstance(event, StreamEnded):
            self.ended(stream)
        elif isinstance(event, StreamReset):
            self.requests.pop(stream, None)
            self.owed.pop(stream, None)
        elif isinstance(event, (WindowUpdated, RemoteSettingsChanged)):
            for stream in list(self.owed):
                self.pay(stream)

    def ended(self, stream):
        request = self.requests.pop(stream, None)
        if request is None or request[":path"] == "/early":
            return
        if request[":method"] == "CONNECT":
            self.conn.send_data(stream, bytes(request.body), end_stream=True)
            return
        record = request.record()
        print(json.dumps(record), flush=True)
        told = {name: value for name, value in record.items() if name != "marked"}
        path = request[":path"].partition("?")[0]
        if path == "/echo":
            self.answer(stream, bytes(request.body))
        elif path == "/big":
            self.answer(stream, bytes(range(256)) * 4096)
        elif path == "/small":
            self.answer(stream, b"one byte at a time")
        elif path == "/interim":
            for number in ("1", "2"):
                self.conn.send_headers(stream, [(":status", "103"), ("link", f"</{number}>; rel=preload")])
            self.answer(stream, b"in the end")
        elif path == "/trailers":
            self.answer(stream, b"followed by trailers", [("x-checksum", "abc"), ("grpc-status", "0")])
        elif path == "/padded":
            self.conn.send_headers(stream, [(":status", "200")])
            self.conn.send_data(stream, b"padded", pad_length=200)
            self.conn.send_data(stream, b"", end_stream=True, pad_length=0)
        elif path == "/push":
            try:
                authority = [(":authority", request[":authority"]), (":scheme", "http")]
                self.conn.push_stream(stream, 2, [(":method", "GET"), (":path", "/pushed")] + authority)
                self.answer(2, b"pushed")
            except ProtocolError:
                pass  # The client has said that it wants none.
            self.answer(stream, b"asked for")
        elif path == "/goaway":
            # The one that h2 knows ends the connection at once; a graceful one is only a frame.
            self.transport.write(self.conn.data_to_send() + goaway(stream))
            self.answer(stream, b"the last one")
        elif path == "/settings":
            self.conn.update_settings({
                SettingCodes.HEADER_TABLE_SIZE: int(request["x-table"] or 4096),
                SettingCodes.MAX_FRAME_SIZE: 1 << 20,
            })
            self.answer(stream, b"with other settings")
        elif request[":method"] == "HEAD":
            self.conn.send_headers(stream, [(":status", "200"), ("content-length", "12345")], end_stream=True)
        else:
            self.answer(stream, json.dumps(told).encode())

    def answer(self, stream, body, trailers=None):
        self.conn.send_headers(stream, [(":status", "200"), ("x-served-by", "h2")])
        self.owed[stream] = (body, trailers)
        self.pay(stream)

    def pay(self, stream):
        """As much as the windows allow."""
        body, trailers = self.owed[stream]
        while body:
            room = min(self.conn.local_flow_control_window(stream), self.conn.max_outbound_frame_size, len(body))
            if room <= 0:
                self.owed[stream] = (body, trailers)
                return
            self.conn.send_data(stream, body[:room])
            body = body[room:]
        del self.owed[stream]
        if trailers:
            self.conn.send_headers(stream, trailers, end_stream=True)
        else:
            self.conn.end_stream(stream)

    def flush(self):
        self.transport.write(self.conn.data_to_send())


def goaway(last):
    return b"\0\0\x08\x07\0\0\0\0\0" + last.to_bytes(4, "big") + b"\0\0\0\0"


async def main():
    server = await asyncio.get_running_loop().create_server(Server, "0.0.0.0", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
