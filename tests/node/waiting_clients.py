"""Opens N connections to a node's socket, each waiting for the result of workflow g, and counts the answers."""

import resource
import selectors
import socket
import sys

path, count = sys.argv[1], int(sys.argv[2])
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

request = b"GET /v1/workflows/g/result?wait_ms=600000 HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"
selector = selectors.DefaultSelector()
for _ in range(count):
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(request)
    selector.register(client, selectors.EVENT_READ, bytearray())

answers = 0
while selector.get_map():
    ready = selector.select(60)
    if not ready:
        break
    for key, _ in ready:
        part = key.fileobj.recv(65536)
        if part:
            key.data.extend(part)
            continue
        if key.data.startswith(b"HTTP/1.1 200 ") and b'"result":2' in key.data:
            answers += 1
        selector.unregister(key.fileobj)
        key.fileobj.close()
print(answers, "answers")
