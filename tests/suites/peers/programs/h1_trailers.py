"""A request in HTTP/1.1 with trailers, which curl cannot send: h1_trailers.py ADDRESS:PORT [none]"""

import http.client
import sys

whole = sys.argv[2:] != ["none"]
connection = http.client.HTTPConnection(sys.argv[1])
connection.putrequest("POST", "/upload?a=%20b", skip_host=True)
connection.putheader("Host", "peers.test")
connection.putheader("X-Note", "chunks" if whole else "none")
if whole:
    connection.putheader("Cookie", "a=1; b=2")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    for number in range(300):
        connection.send(b"3e8;name=value\r\n" + bytes([number % 256]) * 1000 + b"\r\n")
    connection.send(b"0\r\nX-Checksum: abc\r\nX-Again: 1\r\nx-again: 2\r\n\r\n")
else:
    connection.putheader("Content-Length", "0")
    connection.endheaders()
answer = connection.getresponse()
print(answer.status, answer.read())
