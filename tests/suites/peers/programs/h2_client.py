"""HTTP/2 as no tidy client writes it, but legal: h2_client.py ADDRESS:PORT SCENARIO

Prints, as JSON, what came back on each stream. h2 and hpack keep the state; the frames are cut, padded, mixed and sent
as each scenario says."""

import hashlib
import json
import socket
import sys

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated, DataReceived, InformationalResponseReceived, PingAckReceived, PushedStreamReceived,
    RemoteSettingsChanged, ResponseReceived, SettingsAcknowledged, StreamEnded, StreamReset, TrailersReceived,
)
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame, DataFrame, ExtensionFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame,
    RstStreamFrame, SettingsFrame, WindowUpdateFrame,
)


class Client:
    def __init__(self, address, acknowledge=True):
        host, port = address.split(":")
        self.authority, self.acknowledge = address, acknowledge
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        self.conn = H2Connection(config)
        self.streams, self.counts = {}, {}

    def begin(self):
        self.conn.initiate_connection()
        self.flush()
        return self

    def headers(self, path, method="GET", more=()):
        head = [(":method", method), (":scheme", "http"), (":authority", self.authority), (":path", path)]
        return head + list(more)

    def request(self, stream, path, method="GET", more=(), body=None, **how):
        """Asks by h2's own means."""
        self.conn.send_headers(stream, self.headers(path, method, more), end_stream=body is None, **how)
        if body is not None:
            self.conn.send_data(stream, body, end_stream=True)
        self.flush()

    def frames(self):
        """The frames that h2 wants to send, to be changed and sent by `send`."""
        data, frames = memoryview(self.conn.data_to_send()), []
        while data:
            frame, length = Frame.parse_frame_header(data[:9])
            frame.parse_body(data[9:9 + length])
            frames.append(frame)
            data = data[9 + length:]
        return frames

    def send(self, *frames):
        self.socket.sendall(b"".join(frame.serialize() for frame in frames))

    def flush(self):
        self.socket.sendall(self.conn.data_to_send())

    def until(self, *streams, true=None):
        """Reads until these streams are over, or until something is true."""
        over = lambda: all(self.streams.get(stream, {}).get("over") for stream in streams)
        while not (true() if true else over()):
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(f"the server closed: {self.streams}")
            for event in self.conn.receive_data(data):
                self.event(event)
            self.flush()

    def event(self, event):
        seen = self.streams.setdefault(getattr(event, "stream_id", None) or 0, {})
        kind = type(event).__name__
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if isinstance(event, InformationalResponseReceived):
            seen.setdefault("interim", []).append(sorted(map(list, event.headers)))
        elif isinstance(event, ResponseReceived):
            seen["headers"] = sorted(map(list, event.headers))
        elif isinstance(event, DataReceived):
            seen["body"] = seen.get("body", b"") + event.data
            if self.acknowledge and event.flow_controlled_length:
                self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, TrailersReceived):
            seen["trailers"] = sorted(map(list, event.headers))
        elif isinstance(event, StreamReset):
            seen["reset"], seen["over"] = int(event.error_code), True
        elif isinstance(event, PushedStreamReceived):
            self.streams[event.pushed_stream_id] = {"promised": sorted(map(list, event.headers))}
        elif isinstance(event, ConnectionTerminated):
            seen["goaway"] = int(event.error_code)
        elif isinstance(event, StreamEnded):
            seen["over"] = True

    def end(self):
        self.socket.shutdown(socket.SHUT_WR)
        while self.socket.recv(65536):
            pass
        for stream, seen in sorted(self.streams.items()):
            body = seen.pop("body", b"")
            seen["length"] = len(body)
            seen["sha256"] = hashlib.sha256(body).hexdigest()
            print(stream, json.dumps(seen, sort_keys=True))


NOISE = hashlib.shake_256(b"noise").digest(1_000_000)
SCENARIOS = {}


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


@scenario
def padding(client):
    """HEADERS and DATA with the longest padding, with none, and DATA that is nothing but padding."""
    client.conn.send_headers(1, client.headers("/padded", "POST"))
    client.conn.send_data(1, b"a body", pad_length=255)
    client.conn.send_data(1, b"", pad_length=100)
    client.conn.send_data(1, b"of several", pad_length=0)
    client.conn.send_data(1, b" frames", end_stream=True)
    head, *data = client.frames()
    head.flags.add("PADDED")
    head.pad_length = 255
    client.send(head, *data)
    client.until(1)


@scenario
def continuation(client):
    """Heads and trailers cut to pieces of one byte and of none, and one of 10 KB. h2 takes no more than 64 pieces."""
    for stream, size, fields in ((1, 1, 0), (3, 500, 100)):
        more = [(f"x-long-{number}", hashlib.sha512(bytes([number])).hexdigest()) for number in range(fields)]
        client.conn.send_headers(stream, client.headers("/", "POST", more))
        client.conn.send_data(stream, b"and a body")
        client.conn.send_headers(stream, [("x-checksum", "abc"), ("x-more", "def")], end_stream=True)
        for frame in client.frames():
            client.send(*cut(frame, size))
    client.until(1, 3)


def cut(frame, size):
    if not isinstance(frame, HeadersFrame):
        return [frame]
    block = frame.data
    pieces = [block[at:at + size] for at in range(0, len(block), size)]
    pieces[1:1] = [b"", b""]
    first = HeadersFrame(frame.stream_id, pieces[0], flags=[flag for flag in frame.flags if flag != "END_HEADERS"])
    rest = [ContinuationFrame(frame.stream_id, piece) for piece in pieces[1:]]
    rest[-1].flags.add("END_HEADERS")
    return [first, *rest]


@scenario
def priorities(client):
    """PRIORITY before, on and after streams, and in HEADERS."""
    for stream in (1, 3, 5, 7, 101):
        client.send(PriorityFrame(stream, depends_on=0, stream_weight=stream % 255, exclusive=stream == 5))
    for stream in (1, 3, 5):
        client.request(stream, f"/{stream}", priority_weight=stream, priority_depends_on=stream - 1 and stream - 2,
                       priority_exclusive=True)
    client.until(1, 3, 5)
    client.send(PriorityFrame(1, depends_on=5, stream_weight=9))
    client.request(9, "/echo", "POST", body=b"after")
    client.until(9)


@scenario
def interleaved(client):
    """The bodies of many streams, mixed in small pieces; ended out of order."""
    streams = range(1, 32, 2)
    for stream in streams:
        client.conn.send_headers(stream, client.headers("/echo", "POST", [("x-stream", str(stream))]))
    client.flush()
    for piece in range(20):
        for stream in streams if piece % 2 else reversed(streams):
            at = stream * 100 + piece * 37
            client.conn.send_data(stream, NOISE[at:at + 37 + stream])
        client.flush()
    for stream in reversed(streams):
        client.conn.end_stream(stream)
    client.flush()
    client.until(*streams)


@scenario
def strangers(client):
    """PINGs, frames and settings that nobody knows, and flags without a meaning, between and within messages."""
    def noise():
        client.send(PingFrame(0, b"whatever"), stranger(0), SettingsFrame(0, {0x4a4a: 7}))
    noise()
    client.conn.send_headers(1, client.headers("/echo", "POST"))
    client.flush()
    noise()
    client.conn.send_data(1, b"in two ")
    client.flush()
    for _ in range(200):
        client.send(PingFrame(0, b"are you?"))
    client.send(stranger(1))
    client.conn.send_data(1, b"pieces", end_stream=True)
    client.flush()
    client.until(1)
    client.until(true=lambda: client.conn_pings == 202)


def stranger(stream):
    frame = ExtensionFrame(0xf7, stream, 0xff, b"what is this")
    frame.body_len = len(frame.body)  # hyperframe takes it from what was parsed only
    return frame


@scenario
def empty_data(client):
    """DATA without data, before, within and at the end."""
    client.conn.send_headers(1, client.headers("/echo", "POST"))
    for _ in range(50):
        client.conn.send_data(1, b"")
    client.conn.send_data(1, b"something")
    for _ in range(50):
        client.conn.send_data(1, b"")
    client.conn.send_data(1, b"", end_stream=True)
    client.flush()
    client.conn.send_headers(3, client.headers("/nothing", "POST"))
    client.conn.send_data(3, b"", end_stream=True)
    client.flush()
    client.until(1, 3)


@scenario
def trailers(client):
    """After a body, without a body, and in the answer."""
    client.conn.send_headers(1, client.headers("/trailers", "POST", [("te", "trailers"), ("trailer", "x-checksum")]))
    client.conn.send_data(1, NOISE[:30_000][:16_000])
    client.conn.send_headers(1, [("x-checksum", "1"), ("x-bin", "AAECAw==")], end_stream=True)
    client.conn.send_headers(3, client.headers("/trailers", "POST"))
    client.conn.send_headers(3, [("x-checksum", "2")], end_stream=True)
    client.flush()
    client.until(1, 3)


@scenario
def tables(client):
    """Header compression with tables of no size, of a large one and of the usual one, while requests go on."""
    stream = 1
    for size in (0, 65536, 100, 4096):
        # Theirs for our headers, by what we ask of the server ...
        more = [("x-table", str(size))] + [(f"x-again-{number}", "the same value" * 3) for number in range(20)]
        client.request(stream, "/settings", more=more)
        client.until(stream)
        client.request(stream + 2, "/after", more=more)
        # ... and ours for the server's.
        acknowledged = client.counts.get("SettingsAcknowledged", 0)
        client.conn.update_settings({SettingCodes.HEADER_TABLE_SIZE: size, SettingCodes.MAX_FRAME_SIZE: 1 << 20})
        client.flush()
        client.until(stream + 2)
        client.until(true=lambda: client.counts.get("SettingsAcknowledged", 0) > acknowledged)
        client.request(stream + 4, "/again", more=more)
        client.until(stream + 4)
        stream += 6


@scenario
def literals(client):
    """Fields without Huffman's code, never to be indexed, and repeated."""
    client.conn.encoder.huffman = False
    block = client.conn.encoder.encode(
        [(*field, field[0].startswith("x-secret")) for field in
         client.headers("/literals", more=[("x-secret", "s3cret"), ("x-twice", "1"), ("x-twice", "2"), ("x-empty", "")])],
        huffman=False,
    )
    client.conn.send_headers(1, client.headers("/literals"), end_stream=True)
    frame, = client.frames()
    frame.data = block
    client.send(frame)
    client.until(1)


@scenario
def tiny_window(client):
    """The answer comes a byte at a time, as the window lets it."""
    client.acknowledge = False
    client.conn.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1})
    client.flush()
    client.until(true=lambda: client.counts.get("SettingsAcknowledged", 0) >= 2)
    client.request(1, "/small", "POST", body=b"x")
    while not client.streams.get(1, {}).get("over"):
        before = client.counts.get("DataReceived", 0)
        client.until(true=lambda: client.counts.get("DataReceived", 0) > before or client.streams.get(1, {}).get("over"))
        if not client.streams.get(1, {}).get("over"):
            client.conn.increment_flow_control_window(1, 1)
            client.flush()
    # A window that shrinks below nothing, and opens again.
    client.acknowledge = True
    client.conn.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65535})
    client.request(3, "/big")
    client.until(3)


@scenario
def interim(client):
    client.request(1, "/interim", "POST", body=b"x")
    client.until(1)


@scenario
def server_goes_away(client):
    """The server says it takes no more streams, and goes on with the open one."""
    client.conn.send_headers(1, client.headers("/echo", "POST"))
    client.flush()
    client.request(3, "/goaway")
    read_past_goaway(client, 3)
    client.socket.sendall(DataFrame(1, b"still open", flags=["END_STREAM"]).serialize())
    read_past_goaway(client, 1)


def read_past_goaway(client, stream):
    """h2 takes no data after GOAWAY, so frames are read by hand until the stream ends."""
    raw = getattr(client, "raw", b"")
    seen = client.streams.setdefault(stream, {"body": b""})
    while not seen.get("over"):
        while len(raw) < 9 or len(raw) < 9 + int.from_bytes(raw[:3], "big"):
            data = client.socket.recv(65536)
            if not data:
                raise EOFError("the server closed")
            raw += data
        frame, length = Frame.parse_frame_header(memoryview(raw[:9]))
        frame.parse_body(memoryview(raw[9:9 + length]))
        raw = raw[9 + length:]
        if isinstance(frame, GoAwayFrame):
            seen["goaway"] = frame.last_stream_id
        if frame.stream_id == stream and isinstance(frame, DataFrame):
            seen["body"] += bytes(frame.data)
        if frame.stream_id == stream and "END_STREAM" in frame.flags:
            seen["over"] = True
    client.raw = raw


@scenario
def client_goes_away(client):
    """The client takes no more pushes, and goes on with what is open."""
    client.conn.send_headers(1, client.headers("/upload", "POST"))
    client.flush()
    client.send(GoAwayFrame(0, last_stream_id=0, error_code=0, additional_data=b"bye"))
    client.conn.send_data(1, b"still open", end_stream=True)
    client.flush()
    read_past_goaway(client, 1)


@scenario
def resets(client):
    """The client breaks off an upload; the other streams go on."""
    client.conn.send_headers(1, client.headers("/echo", "POST"))
    client.conn.send_data(1, b"half of it")
    client.flush()
    client.request(3, "/echo", "POST", body=b"beside it")
    client.until(3)
    client.conn.reset_stream(1, 8)
    client.flush()
    client.request(5, "/echo", "POST", body=b"after it")
    client.until(5)


@scenario
def server_resets(client):
    """A stream is refused before its body, another one answered and ended before its body is whole."""
    client.conn.send_headers(1, client.headers("/refuse", "POST"))
    client.flush()
    client.until(1)
    client.conn.send_headers(3, client.headers("/early", "POST"))
    client.flush()
    client.until(true=lambda: "reset" in client.streams.get(3, {}))
    # On its way when the reset came.
    client.send(DataFrame(3, b"too late"), WindowUpdateFrame(3, window_increment=9))
    client.request(5, "/echo", "POST", body=b"goes on")
    client.until(5)


@scenario
def push(client):
    client.request(1, "/push")
    client.until(1, 2)


@scenario
def no_push(client):
    client.conn.update_settings({SettingCodes.ENABLE_PUSH: 0})
    client.flush()
    client.until(true=lambda: client.counts.get("SettingsAcknowledged", 0) >= 2)
    client.request(1, "/push")
    client.until(1)


@scenario
def connect(client):
    """A tunnel, and a request beside it."""
    client.conn.send_headers(1, [(":method", "CONNECT"), (":authority", "elsewhere.test:443")])
    client.conn.send_data(1, b"GET /smuggled HTTP/1.1\r\n\r\n", end_stream=True)
    client.flush()
    client.request(3, "/echo", "POST", body=b"beside it")
    client.until(1, 3)


@scenario
def shapes(client):
    """HEAD, a Host instead of an authority, crumbs of a cookie, and a length told beforehand."""
    client.request(1, "/", "HEAD")
    head = [(":method", "GET"), (":scheme", "http"), (":path", "/host"), ("host", "shop.test:80")]
    client.conn.send_headers(5, head, end_stream=True)
    client.request(7, "/?q=%20", more=[("cookie", "a=1"), ("x-between", "1"), ("cookie", "b=2")])
    client.request(9, "/echo", "PUT", more=[("content-length", "5")], body=b"12345")
    client.until(1, 5, 7, 9)


@scenario
def asterisk(client):
    """The server itself is asked, not one of its resources."""
    client.request(1, "*", "OPTIONS")
    client.until(1)


@scenario
def drops(client):
    """Every byte in a packet of its own."""
    client.conn.send_headers(1, client.headers("/echo", "POST", [("x-note", "drop by drop")]))
    client.conn.send_data(1, NOISE[:500], pad_length=9)
    client.conn.send_headers(1, [("x-checksum", "abc")], end_stream=True)
    for byte in client.conn.data_to_send():
        client.socket.sendall(bytes([byte]))
    client.until(1)


@scenario
def large(client):
    """4 MB up and 1 MB down, through the usual windows."""
    client.conn.send_headers(1, client.headers("/large", "POST"))
    body = NOISE * 4
    while body:
        client.until(true=lambda: client.conn.local_flow_control_window(1) > 0)
        room = min(client.conn.local_flow_control_window(1), client.conn.max_outbound_frame_size, len(body))
        client.conn.send_data(1, body[:room])
        client.flush()
        body = body[room:]
    client.conn.end_stream(1)
    client.flush()
    client.until(1)
    client.request(3, "/big")
    client.until(3)


address, name = sys.argv[1:]
client = Client(address)
Client.conn_pings = property(lambda self: self.counts.get("PingAckReceived", 0))
SCENARIOS[name](client.begin())
client.end()
