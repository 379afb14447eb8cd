"""A wire to a server that is cut where a test says so."""

from __future__ import annotations

import contextlib
import socket
import threading


class Wire:
    """Passes bytes between clients and a server on loopback, until it is told to cut at a word.

    ``cut_at(word, answered)``: the next time a client says the word, its connection is closed; with ``answered`` the
    server has received it and has answered, but the client never hears of it.
    """

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self._word, self._answered = b"", False
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        # A blocking accept is not woken by close.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._hang_up(*self._sockets)
        for thread in self._threads:
            thread.join(10)

    def cut_at(self, word: bytes, answered: bool) -> None:
        """Cut once."""
        self._word, self._answered = word, answered

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                for target, ends in ((self._to_server, (client, server)), (self._to_client, (server, client))):
                    thread = threading.Thread(target=target, args=ends)
                    self._threads.append(thread)
                    thread.start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self._word and self._word in data:
                    self._cut(client, server, data)
                    return
                server.sendall(data)
        self._hang_up(client, server)

    def _cut(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        self._word, self.cuts = b"", self.cuts + 1
        if self._answered:
            client.shutdown(socket.SHUT_WR)  # the answer finds nobody
            server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        self._hang_up(client)
        if not self._answered:
            self._hang_up(server)

    def _to_client(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                with contextlib.suppress(OSError):
                    client.sendall(data)
        self._hang_up(client, server)

    def _hang_up(self, *ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
