#!/usr/bin/env python3
"""A small HTTP server that names itself, for the demo and for compose.

    GET /healthz    {"status":"ok"}
    GET /slow       the usual answer, after about three seconds
    anything else   {"backend":"...","method":"...","path":"..."}

The answer to a URL is always as long: ab counts another length as a failure.

It listens where --host, --port and --name, or BACKEND_HOST, BACKEND_PORT and
BACKEND_NAME, tell it.  SIGTERM and SIGINT finish the requests in flight.
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import sys

SLOW = 3.0          # seconds that /slow takes
GRACE = 30.0        # seconds that requests in flight have on SIGTERM
MAX_BODY = 1 << 20  # bytes of a request body that are read

REASONS = {200: "OK", 400: "Bad Request", 413: "Content Too Large"}


class Backend:
    """One listening server and its connections."""

    def __init__(self, name):
        self.name = name
        self.busy = set()       # connections with a request in flight
        self.idle = set()       # connections waiting for the next one
        self.stopping = False

    async def connection(self, reader, writer):
        """Serves one connection until either side has enough."""
        task = asyncio.current_task()
        try:
            while not self.stopping:
                self.idle.add(task)
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                finally:
                    self.idle.discard(task)

                self.busy.add(task)
                try:
                    keep = await self.exchange(head, reader, writer)
                finally:
                    self.busy.discard(task)

                if not keep:
                    break
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError,
                asyncio.CancelledError, ConnectionError, TimeoutError):
            pass
        finally:
            writer.close()

    async def exchange(self, head, reader, writer):
        """Answers one request; returns whether the connection goes on."""
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split()
        if len(words) != 3:
            return await self.answer(writer, 400, {"error": "bad request"},
                                     False, False)

        method, path, version = words
        headers = {}
        for line in lines[1:]:
            key, _, value = line.partition(":")
            headers[key.strip().lower()] = value.strip()

        connection = headers.get("connection", "").lower()
        keep = "close" not in connection and (
            version == "HTTP/1.1" or "keep-alive" in connection)

        if not await self.skip_body(headers, reader):
            return await self.answer(writer, 413, {"error": "body too large"},
                                     False, False)

        route = path.partition("?")[0]

        if route == "/healthz":
            body = {"status": "ok", "backend": self.name}
        else:
            if route == "/slow":
                await asyncio.sleep(SLOW)
            body = {"backend": self.name, "method": method, "path": path}

        return await self.answer(writer, 200, body, keep, method == "HEAD")

    @staticmethod
    async def skip_body(headers, reader):
        """Reads the request body away; False when there is too much of it."""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            total = 0
            while True:
                line = await reader.readuntil(b"\r\n")
                try:
                    size = int(line.split(b";")[0], 16)
                except ValueError:
                    return False
                total += size
                if total > MAX_BODY:
                    return False
                await reader.readexactly(size + 2)
                if size == 0:
                    return True

        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            return False
        await reader.readexactly(int(length))
        return True

    async def answer(self, writer, status, body, keep, head_only):
        """Sends a response in one write."""
        keep = keep and not self.stopping
        text = (json.dumps(body) + "\n").encode()
        head = (f"HTTP/1.1 {status} {REASONS[status]}\r\n"
                "Content-Type: application/json\r\n"
                f"Content-Length: {len(text)}\r\n"
                f"X-Backend: {self.name}\r\n"
                f"Connection: {'keep-alive' if keep else 'close'}\r\n"
                "\r\n").encode("latin-1", "replace")
        writer.write(head if head_only else head + text)
        await writer.drain()
        return keep

    async def run(self, host, port):
        """Serves until told to stop."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

        server = await asyncio.start_server(self.connection, host, port,
                                            backlog=4096)
        await stop.wait()

        # who is told twice must not come upon a loop that is closed

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)

        self.stopping = True
        server.close()
        for task in list(self.idle):
            task.cancel()
        if self.busy:
            await asyncio.wait(list(self.busy), timeout=GRACE)


def main():
    """Reads the settings and serves."""
    env = os.environ
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--host", default=env.get("BACKEND_HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int,
                        default=int(env.get("BACKEND_PORT", "9001")))
    parser.add_argument("--name", default=env.get("BACKEND_NAME"))
    args = parser.parse_args()

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    backend = Backend(args.name or f"backend-{args.port}")
    try:
        asyncio.run(backend.run(args.host, args.port))
    except OSError as error:
        sys.exit(f"{backend.name}: cannot listen on {args.host}:{args.port}: "
                 f"{error.strerror}")


if __name__ == "__main__":
    main()
