"""A relay before S3 that breaks a connection in the middle of an upload, as a tunnel or a lift does."""

import contextlib
import socket
import struct
import threading
from urllib.parse import urlsplit

_BLOCK = 64 * 1024


class Relay:
    """Passes bytes on, both ways, on the loopback.

    Attributes
    ----------
    cuts : how many connections were broken so far.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._limit: int | None = None
        self._left = 0
        self.cuts = 0
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, byte_count: int, times: int = 1) -> None:
        """Resets the next `times` connections that send more than `byte_count` bytes."""
        with self._lock:
            self._limit, self._left = byte_count, times

    def close(self) -> None:
        """Takes no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._upstream)
                threading.Thread(target=self._pass, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while block := source.recv(_BLOCK):
                passed += len(block)
                if counted and self._cuts(passed):
                    # No farewell: an RST, as from a middlebox that has forgotten the connection.
                    source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                target.sendall(block)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _cuts(self, passed: int) -> bool:
        with self._lock:
            if self._limit is None or not self._left or passed <= self._limit:
                return False
            self._left -= 1
            self.cuts += 1
            return True
