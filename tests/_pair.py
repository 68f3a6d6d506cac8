"""Two Redis servers behind one address, of which the first can be demoted: a fail-over as applications see it."""

from __future__ import annotations

import socket
import threading

import redis

from ._services import Redis

__all__ = ["Forwarder", "Pair", "port_of"]


class Forwarder:
    """An address that leads to one server and later to another, as a name in the DNS does."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:  # nobody is there: hang up, as a name that leads nowhere would
                client.close()
                continue
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            each.close()


class Pair:
    """Two servers and the address of whichever is the primary."""

    def __init__(self, old: Redis, new: Redis) -> None:
        self._old, self._new = old, new
        self.address = Forwarder(port_of(old))

    def fail_over(self, is_switched: bool = True) -> None:
        """Demote the old primary, which keeps its connections, and let the address lead to the new one."""
        if is_switched:
            self.address.target = port_of(self._new)
        with redis.Redis.from_url(self._old.url) as admin:
            admin.execute_command("REPLICAOF", "127.0.0.1", str(port_of(self._new)))


def port_of(server: Redis) -> int:
    """The port of a server."""
    return int(server.url.rpartition(":")[2].partition("/")[0])
