"""A proxy for the PostgreSQL protocol that does harm on purpose.

A Network is a thread with any number of proxies in it. A proxy takes connections on a port of 127.0.0.1, or
on a Unix socket, passes them on to a server, keeps what was said, and does to each what its Fault says.

    with Network() as network:
        proxy = network.proxy(("127.0.0.1", 5432))
        proxy.faults.append(Fault(cut=(SERVER, 100), how="rst"))    # for the next connection, and no other
        … connect to proxy.port …
        proxy.conversations[0].messages()
"""

import asyncio
import contextlib
import dataclasses
import socket
import struct
import threading
from collections import deque

CLIENT, SERVER = "client", "server"
CANCEL_REQUEST, SSL_REQUEST, GSS_REQUEST = 80877102, 80877103, 80877104
LINGER_NONE = struct.pack("ii", 1, 0)


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is done to one connection; by default nothing."""

    slice: int = 0
    """Pass on so many bytes at a time, both ways."""
    cut: tuple[str, int] | None = None
    """The connection ends when exactly so many bytes of that side's have been passed on."""
    how: str = "fin"
    """How it ends: "fin", "rst", or "vanish": from then on nothing arrives, and nobody is told."""
    flip: tuple[str, int, int] | None = None
    """(side, offset, mask): exclusive-or of that byte of that side's."""
    delay: float = 0
    """Seconds that each piece of the server's is held."""
    silent: bool = False
    """Accepted, and then nothing."""


class Conversation:
    """What was passed on in one connection."""

    def __init__(self, fault):
        self.fault = fault
        self.pieces = []  # (side, bytes), in the order in which they were passed on
        self.passed = {CLIENT: 0, SERVER: 0}
        self.cut = False
        self.over = False

    def messages(self, first=0):
        """(side, type, body) of each message, from that piece on; the type of those that have none is ""."""
        rest = {CLIENT: b"", SERVER: b""}
        questions = 0  # single-byte answers to come
        for number, (side, data) in enumerate(self.pieces):
            rest[side] += data
            while True:
                data, typed = rest[side], True
                if side == SERVER and questions and data:
                    questions -= 1
                    rest[side], message = data[1:], (side, data[:1].decode(), b"")
                else:
                    typed = not (side == CLIENT and data[:1] == b"\0")
                    if len(data) < 4 + typed:
                        break
                    size = struct.unpack_from("!i", data, typed)[0] + typed
                    if size < 4 + typed or len(data) < size:
                        break
                    message = (side, data[:1].decode("latin-1") if typed else "", data[4 + typed : size])
                    rest[side] = data[size:]
                    if not typed and struct.unpack_from("!i", message[2])[0] in (SSL_REQUEST, GSS_REQUEST):
                        questions += 1
                if number >= first:
                    yield message

    def trips(self, first=0):
        """How many times the client spoke and waited for the server, from that piece on."""
        sides = [side for side, _ in self.pieces[first:]]
        return sum(a == CLIENT and b == SERVER for a, b in zip(sides, sides[1:], strict=False))


class Proxy:
    def __init__(self, network, upstream, path=None):
        self.network, self.upstream, self.path = network, upstream, path
        self.faults = deque()
        """For the connections to come, one each; when there are no more: `otherwise`."""
        self.otherwise = Fault()
        self.cancels = "pass"
        """What becomes of cancel requests: "pass", "drop" (closed unread), "vanish" (never answered)."""
        self.cancel_delay = 0.0
        self.conversations = []
        self.cancels_seen = 0
        self.open = 0
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.bind(path or ("127.0.0.1", 0))
        self.listener.listen(128)
        self.listener.setblocking(False)
        self.port = None if path else self.listener.getsockname()[1]
        self.flowing = asyncio.Event()
        self.flowing.set()

    def hold(self):
        """Keeps back all that servers say until `flow`."""
        self.network.call(self.flowing.clear)

    def flow(self):
        self.network.call(self.flowing.set)

    def vanish(self):
        """From now on nothing arrives in the connections that there are, and nobody is told."""

        def cut():
            for conversation in self.conversations:
                conversation.fault, conversation.cut = Fault(how="vanish"), True

        self.network.call(cut)

    def trips(self):
        return sum(conversation.trips() for conversation in self.conversations)

    def accept(self):
        """Somebody may have come. Not by sock_accept: one that is cancelled just then fails, and keeps the client."""
        with contextlib.suppress(BlockingIOError):
            client, _ = self.listener.accept()
            self.network.spawn(self.connection(client)).add_done_callback(lambda _: client.close())

    async def connection(self, client):
        server = None
        self.open += 1
        try:
            prepare(client)
            loop = asyncio.get_running_loop()
            head = b""
            while len(head) < 8:
                data = await loop.sock_recv(client, 8 - len(head))
                if not data:
                    return
                head += data
            if asks_to_cancel(head):
                if not await self.passes_cancel(client):
                    return
                fault, conversation = Fault(), Conversation(Fault())
            else:
                fault = self.faults.popleft() if self.faults else self.otherwise
                conversation = Conversation(fault)
                self.conversations.append(conversation)
            if fault.silent:
                while await loop.sock_recv(client, 65536):
                    pass
                return
            server = await self.connect()
            await Link(self, conversation, client, server).run(head)
        except OSError:
            pass
        finally:
            if server:
                server.close()
            self.open -= 1

    async def passes_cancel(self, client):
        """One has come: whether it goes on to the server."""
        self.cancels_seen += 1
        if self.cancel_delay:
            await asyncio.sleep(self.cancel_delay)
        while self.cancels == "vanish" and await asyncio.get_running_loop().sock_recv(client, 4096):
            pass
        return self.cancels == "pass"

    async def connect(self):
        server = socket.socket(socket.AF_UNIX if isinstance(self.upstream, str) else socket.AF_INET)
        try:
            prepare(server)
            await asyncio.get_running_loop().sock_connect(server, self.upstream)
        except BaseException:
            server.close()
            raise
        return server


def asks_to_cancel(head):
    return len(head) >= 8 and struct.unpack_from("!i", head, 4)[0] == CANCEL_REQUEST


def prepare(end):
    end.setblocking(False)
    if end.family == socket.AF_INET:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Link:
    """One connection that is passed on."""

    def __init__(self, proxy, conversation, client, server):
        self.proxy, self.conversation = proxy, conversation
        self.ends = {CLIENT: client, SERVER: server}

    async def run(self, head):
        tasks = [
            asyncio.ensure_future(self.pump(CLIENT, head)),
            asyncio.ensure_future(self.pump(SERVER, b"")),
        ]
        try:
            await asyncio.gather(*tasks)
        except OSError:
            self.reset()
        finally:
            self.conversation.over = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def pump(self, side, data):
        """Passes on what the side says, to its end."""
        loop, conversation = asyncio.get_running_loop(), self.conversation
        source, target = self.ends[side], self.ends[SERVER if side == CLIENT else CLIENT]
        while data or (data := await loop.sock_recv(source, 65536)):
            if not conversation.cut:
                await self.forward(side, target, data)
            data = b""
        if conversation.cut and conversation.fault.how == "vanish" and side == CLIENT:
            raise ConnectionResetError  # nobody is left whom it could be kept from
        if not conversation.cut:
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)

    async def forward(self, side, target, data):
        conversation, fault = self.conversation, self.conversation.fault
        if side == CLIENT and conversation.passed[CLIENT] in (8, 16) and asks_to_cancel(data):
            await self.cancel(target, data)
            return
        if side == SERVER:
            if fault.delay:
                await asyncio.sleep(fault.delay)
            await self.proxy.flowing.wait()
        data = self.flipped(side, data)
        if fault.cut and fault.cut[0] == side:
            room = fault.cut[1] - conversation.passed[side]
            await self.send(side, target, data[:room])
            if len(data) >= room:
                self.end()
        else:
            await self.send(side, target, data)

    async def cancel(self, target, data):
        """From libpq 17 on a request to cancel comes behind a question for encryption, or two."""
        self.conversation.fault = Fault()
        self.proxy.conversations.remove(self.conversation)
        if await self.proxy.passes_cancel(self.ends[CLIENT]):
            await self.send(CLIENT, target, data)
        else:
            self.end()

    async def send(self, side, target, data):
        conversation, loop = self.conversation, asyncio.get_running_loop()
        step = conversation.fault.slice or len(data)
        for at in range(0, len(data), step or 1):
            if conversation.cut:
                return
            piece = data[at : at + step]
            conversation.passed[side] += len(piece)
            conversation.pieces.append((side, piece))
            await loop.sock_sendall(target, piece)
            if conversation.fault.slice:
                await asyncio.sleep(0)  # the reader's turn

    def flipped(self, side, data):
        whose, offset, mask = self.conversation.fault.flip or (None, 0, 0)
        at = offset - self.conversation.passed[side]
        if side != whose or not 0 <= at < len(data):
            return data
        return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]

    def end(self):
        self.conversation.cut = True
        if self.conversation.fault.how == "rst":
            raise ConnectionResetError
        if self.conversation.fault.how == "fin":
            for end in self.ends.values():
                end.shutdown(socket.SHUT_WR)  # closing at once would be a RST if anything is unread

    def reset(self):
        for end in self.ends.values():
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)


class Network:
    """The thread that proxies run in."""

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.tasks, self.proxies = set(), []
        self.thread = threading.Thread(target=self.loop.run_forever, name="proxy")
        self.thread.start()
        return self

    def __exit__(self, *exception):
        async def end():
            for proxy in self.proxies:
                self.loop.remove_reader(proxy.listener)
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        for proxy in self.proxies:
            proxy.listener.close()

    def proxy(self, upstream, path=None):
        """upstream: (host, port), or the path of a Unix socket."""
        proxy = Proxy(self, upstream, path)
        self.proxies.append(proxy)
        self.call(lambda: self.loop.add_reader(proxy.listener, proxy.accept))
        return proxy

    def call(self, function):
        """Calls it in the thread, and waits until that is done."""

        async def call():
            function()

        asyncio.run_coroutine_threadsafe(call(), self.loop).result()

    def spawn(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task
