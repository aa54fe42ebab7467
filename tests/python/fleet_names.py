"""A service's addresses, for test_fleet.py: run in a network and a mount namespace of its own, where this is the DNS
server, on UDP and TCP, and says what the steps below have it say."""

import contextlib
import fcntl
import logging
import socket
import struct
import subprocess
import tempfile
import threading
import time

import weirpool
from support import until

NAME = "pods.shop.test"
A, AAAA = 1, 28
NXDOMAIN, SERVFAIL = 3, 2


class Server:
    """Answers with so many addresses of each kind, with an error, or not at all."""

    def __init__(self):
        self.fours = self.sixes = self.error = 0
        self.silent = False
        self.asked = self.by_tcp = 0
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket()
        for at in (self.udp, self.tcp):
            at.bind(("127.0.0.1", 53))
        self.tcp.listen(20)
        for run in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=run, daemon=True).start()

    def answer(self, query):
        self.asked += 1
        end = query.index(0, 12) + 5
        (kind,) = struct.unpack(">H", query[end - 4 : end - 2])
        records = [] if self.error else range({A: self.fours, AAAA: self.sixes}.get(kind, 0))
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | self.error, 1, len(records), 0, 0)
        body = b"".join(
            b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, 4 if kind == A else 16) + self.address(kind, n)
            for n in records
        )
        return head + query[12:end] + body

    @staticmethod
    def address(kind, n):
        return bytes([10, 0, n >> 8, n & 255]) if kind == A else b"\xfd" + bytes(13) + bytes([n >> 8, n & 255])

    def serve_udp(self):
        while True:
            query, peer = self.udp.recvfrom(4096)
            if self.silent:
                continue
            answer = self.answer(query)
            if len(answer) > 512:  # cut off: to be asked for by TCP
                answer = answer[:2] + struct.pack(">HHHHH", 0x8380, 1, 0, 0, 0) + query[12 : query.index(0, 12) + 5]
            self.udp.sendto(answer, peer)

    def serve_tcp(self):
        while True:
            peer, _ = self.tcp.accept()
            threading.Thread(target=self.serve_peer, args=(peer,), daemon=True).start()

    def serve_peer(self, peer):
        with peer, contextlib.suppress(struct.error):
            while True:
                (size,) = struct.unpack(">H", peer.recv(2, socket.MSG_WAITALL))
                answer = self.answer(peer.recv(size, socket.MSG_WAITALL))
                self.by_tcp += 1
                peer.sendall(struct.pack(">H", len(answer)) + answer)


class Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())

    def count(self, text):
        return sum(text in line for line in self.lines)


def main():
    with socket.socket() as any_socket:  # lo comes up
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x41))
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        file.flush()
        subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)
        steps(Server())


def steps(server):
    log = Lines()
    logging.getLogger("weirpool").addHandler(log)
    logging.getLogger("weirpool").setLevel(logging.INFO)
    options = {"connection_budget": 20, "pod_source": "dns", "pod_service": NAME, "pod_refresh": 0.03}
    server.fours = 4
    with weirpool.create_pool_sync("sqlite://", **options) as pool:
        assert pool.snapshot()["share"] == 1  # nobody knows yet

        def comes_to(pods, share):
            until(lambda: [pool.snapshot()[name] for name in ("pods", "share")] == [pods, share])

        def looks(count):
            seen = server.asked
            until(lambda: server.asked >= seen + 2 * count)

        comes_to(4, 4)
        server.fours = 8
        comes_to(8, 2)
        server.fours = 2
        comes_to(2, 9)
        for server.error in (NXDOMAIN, SERVFAIL):
            looks(3)
        comes_to(2, 9)
        server.error = 0
        until(lambda: pool.snapshot() and log.count("can be counted again") == 1)
        server.fours = 0  # the name is there, and no pod is ready
        looks(3)
        comes_to(2, 9)
        server.fours = 200
        comes_to(200, 1)
        assert server.by_tcp > 0
        server.fours = server.sixes = 3  # each has both
        comes_to(3, 6)
        server.silent = True
        failed = log.count("cannot be counted")
        until(lambda: pool.snapshot() and log.count("cannot be counted") == failed + 1)
        comes_to(3, 6)
        server.silent = False
        server.sixes = 4
        comes_to(4, 4)
    assert log.count("pods cannot be counted") == 3, log.lines  # each once
    assert log.count(f"pod_service={NAME}: ") == 3, log.lines

    server.silent = True
    with weirpool.create_pool_sync("sqlite://", pod_count=5, **options) as pool:
        assert pool.snapshot()["pods"] == 5  # until something is known
        assert pool.snapshot()["share"] == 4
        closing = time.monotonic()
    assert time.monotonic() - closing < 0.5  # which waits for no name


main()
