"""A gRPC client without any protocol file: grpc_client.py ADDRESS:PORT SCENARIO

Prints what came of each call: code, details, metadata, and the messages by length and hash."""

import hashlib
import queue
import sys

import grpc

channel = grpc.insecure_channel(sys.argv[1], options=[("grpc.primary_user_agent", "peers")])
MORE = (("x-text", "a value"), ("x-twice", "1"), ("x-twice", "2"), ("x-some-bin", bytes(range(256))))
SCENARIOS = {}


def scenario(function):
    SCENARIOS[function.__name__] = function
    return function


def hashed(message):
    return f"{len(message)} {hashlib.sha256(message).hexdigest()[:16]}"


def told(call, messages):
    code = call.code()
    print(code.name, repr(call.details()), *map(hashed, messages))
    for name, metadata in (("early", call.initial_metadata()), ("late", call.trailing_metadata())):
        print(" ", name, sorted((key, value) for key, value in metadata or ()))


def unary(method, message=b"a message", **how):
    try:
        answer, call = channel.unary_unary(f"/peers.Echo/{method}").with_call(message, **how)
        told(call, [answer])
    except grpc.RpcError as error:
        told(error, [])


@scenario
def one():
    unary("Unary")
    unary("Unary", b"")
    unary("Unary", metadata=MORE)


@scenario
def large():
    """Exactly the 4 MiB that are allowed, and one byte more, which the server refuses."""
    unary("Unary", bytes(4 << 20))
    unary("Unary", bytes((4 << 20) + 1))


@scenario
def compressed():
    unary("Unary", b"the same again " * 10_000, compression=grpc.Compression.Gzip)


@scenario
def upload():
    messages = (bytes([number % 256]) * number * 10 for number in range(300))
    answer, call = channel.stream_unary("/peers.Echo/Upload").with_call(messages, metadata=MORE)
    told(call, [answer])


@scenario
def upload_large():
    answer, call = channel.stream_unary("/peers.Echo/Upload").with_call(iter([bytes(4 << 20)] * 3))
    told(call, [answer])


@scenario
def download():
    call = channel.unary_stream("/peers.Echo/Download")(b"500")
    told(call, list(call))


@scenario
def chat():
    """Each message waits for the answer to the one before."""
    messages = queue.Queue()
    call = channel.stream_stream("/peers.Echo/Chat")(iter(messages.get, None), metadata=MORE)
    answers = []
    for number in range(100):
        messages.put(b"%d " % number * number)
        answers.append(next(call))
    messages.put(None)
    answers += call
    told(call, answers)


@scenario
def empty_chat():
    call = channel.stream_stream("/peers.Echo/Chat")(iter(()))
    told(call, list(call))


@scenario
def errors():
    unary("Fail")
    unary("Missing")


@scenario
def deadline_kept():
    unary("Unary", timeout=60)


@scenario
def deadline_exceeded():
    unary("Never", timeout=1)


@scenario
def cancelled():
    """By the client, after the first answer of many."""
    call = channel.unary_stream("/peers.Echo/Forever")(b"begin")
    first = next(call)
    call.cancel()
    told(call, [first])


@scenario
def upload_cancelled():
    messages = queue.Queue()
    call = channel.stream_stream("/peers.Echo/Chat")(iter(messages.get, None))
    messages.put(b"half of it")
    first = next(call)
    call.cancel()
    messages.put(None)
    told(call, [first])


@scenario
def many():
    calls = [channel.unary_unary("/peers.Echo/Unary").future(b"%d" % number) for number in range(100)]
    print(*[hashed(call.result()) for call in calls])


SCENARIOS[sys.argv[2]]()
channel.close()
