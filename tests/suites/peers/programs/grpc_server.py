"""A gRPC server without any protocol file, messages being plain bytes: grpc_server.py PORT [hasty]

Writes a line of JSON for each call that it got whole."""

import hashlib
import json
import os
import sys
import threading
from concurrent import futures

import grpc


class Calls(grpc.GenericRpcHandler):
    """What a method does depends on its name; all of them may be called in any kind of streaming."""

    def service(self, details):
        method = details.method.rpartition("/")[2]
        kinds = {
            "Unary": (grpc.unary_unary_rpc_method_handler, unary),
            "Upload": (grpc.stream_unary_rpc_method_handler, upload),
            "Download": (grpc.unary_stream_rpc_method_handler, download),
            "Chat": (grpc.stream_stream_rpc_method_handler, chat),
            "Fail": (grpc.unary_unary_rpc_method_handler, fail),
            "Never": (grpc.unary_unary_rpc_method_handler, never),
            "Forever": (grpc.unary_stream_rpc_method_handler, forever),
        }
        if method not in kinds:
            return None
        kind, behaviour = kinds[method]
        metadata = details.invocation_metadata
        return kind(lambda request, context: behaviour(Call(method, metadata), request, context))


class Call:
    def __init__(self, method, metadata):
        self.method, self.messages = method, []
        self.metadata = [(name, value.hex() if isinstance(value, bytes) else value) for name, value in metadata]

    def got(self, message):
        self.messages.append([len(message), hashlib.sha256(message).hexdigest()])
        return message

    def whole(self, context):
        remaining = context.time_remaining()
        fields = [field for field in self.metadata if field[0] != "x-umbra-shadow"]
        record = json.dumps({
            "method": self.method, "metadata": sorted(fields), "messages": self.messages,
            "deadline": remaining is not None and remaining < 1e6, "marked": dict(self.metadata).get("x-umbra-shadow", ""),
        })
        # In one piece: many calls end at once.
        os.write(1, record.encode() + b"\n")


def unary(call, request, context):
    call.got(request)
    context.send_initial_metadata((("x-early", "1"), ("x-early-bin", b"\0\xff")))
    context.set_trailing_metadata((("x-late", "2"), ("x-late-bin", b"\1\xfe")))
    call.whole(context)
    return request[::-1]


def upload(call, requests, context):
    length = sum(len(call.got(request)) for request in requests)
    call.whole(context)
    return str(length).encode()


def download(call, request, context):
    call.got(request)
    call.whole(context)
    for number in range(int(request)):
        yield b"%d" % number * (number % 1000)


def chat(call, requests, context):
    """A call cancelled half way may look here as if its messages had just ended: its client says beforehand."""
    request = b""
    for request in requests:
        yield call.got(request)[::-1]
    if request != b"half of it":
        call.whole(context)


def fail(call, request, context):
    call.got(request)
    call.whole(context)
    context.set_trailing_metadata((("x-why", "for a reason"), ("grpc-status-details-bin", b"\x08\x05\x12\x04more")))
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: 100 % \u00fcber")


def never(call, request, context):
    """Answers when its call is over; a hasty server at once, so that its answer and the deadline do not race."""
    call.got(request)
    call.whole(context)
    if sys.argv[2:] != ["hasty"]:
        wait_for_end(context)
    return b""


def forever(call, request, context):
    """A hasty server does not say that it was called: a call cancelled this early need not reach it."""
    call.got(request)
    if sys.argv[2:] != ["hasty"]:
        call.whole(context)
    yield b"the first of many"
    wait_for_end(context)


def wait_for_end(context):
    over = threading.Event()
    if context.add_callback(over.set):
        over.wait()


server = grpc.server(futures.ThreadPoolExecutor(16), handlers=[Calls()], compression=grpc.Compression.NoCompression)
server.add_insecure_port(f"0.0.0.0:{sys.argv[1]}")
server.start()
server.wait_for_termination()
