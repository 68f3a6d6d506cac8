"""`python -m benchmarks._load`: a load generator that costs little; reads jobs from stdin, a JSON object a line.

A job is `{"port", "headers", "tokens", "count", "connections"}`: make `count` requests for `/me`, each with the next of
`tokens`, over kept-alive connections. A connection sends its next request when it has the answer to its last one.
The answer is `{"seconds", "cpu"}`: the time they took, and the CPU time of the server, by its own account.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

__all__ = ["main"]

TIMEOUT = 60


def main() -> None:
    """Work until stdin ends."""
    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


def _run(job: Mapping[str, Any]) -> dict[str, float]:
    port, count, connections = job["port"], job["count"], job["connections"]
    head = "".join(f"{name}: {value}\r\n" for name, value in job["headers"].items())
    requests = [
        f"GET /me HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{head}x-stack-access-token: {token}\r\n\r\n".encode()
        for token in job["tokens"]
    ]
    cpu = _cpu(port)
    sockets = [_connect(port) for _ in range(min(connections, count))]
    begin = time.perf_counter()
    for number, one in enumerate(sockets):
        one.sendall(requests[number % len(requests)])
    sent = len(sockets)
    for number in range(count):
        one = sockets[number % len(sockets)]
        _receive(one)
        if sent < count:
            one.sendall(requests[sent % len(requests)])
            sent += 1
    seconds = time.perf_counter() - begin
    for one in sockets:
        one.close()
    return {"seconds": seconds, "cpu": _cpu(port) - cpu}


def _connect(port: int) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), TIMEOUT)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one


def _cpu(port: int) -> float:
    with _connect(port) as one:
        one.sendall(f"GET /cpu HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        return float(_receive(one))


def _receive(one: socket.socket) -> bytes:
    """The body of one answer, which must be a success with a length.

    Raises:
        RuntimeError: it is none.
    """
    data = one.recv(65536)
    while data and (end := data.find(b"\r\n\r\n")) < 0:
        data += one.recv(65536)
    if not data.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"The server answered {data[:40]!r}")
    lowered = data[:end].lower()
    start = lowered.index(b"content-length:") + 15
    length = int(lowered[start:].partition(b"\r\n")[0])
    missing = length - (len(data) - end - 4)
    while missing > 0:
        more = one.recv(65536)
        if not more:
            raise RuntimeError("The server cut an answer short")
        data += more
        missing -= len(more)
    return data[end + 4 :]


if __name__ == "__main__":
    main()
