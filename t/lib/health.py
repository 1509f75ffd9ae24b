#!/usr/bin/python3
"""t/lib/health.py PORT FILE [CERT KEY]

A gRPC server with the health service: FILE has a line "SERVICE STATUS" for
each service that it knows ("-" is the server itself), read at each request.
What it was asked, and with which metadata, goes to FILE.asked.
"""

import sys
from concurrent import futures

import grpc

port, path = sys.argv[1], sys.argv[2]


def check(request, context):
    service = request[2:].decode() if request else "-"

    with open(path + ".asked", "a", encoding="ascii") as out:
        metadata = " ".join(f"{k}={v}" for k, v in context.invocation_metadata())
        out.write(f"{service} {metadata}\n")

    with open(path, encoding="ascii") as known:
        states = dict(line.split() for line in known)

    if service not in states:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")

    context.set_trailing_metadata((("x-a", "b" * 100),))
    return bytes([8, int(states[service])])


server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
    "grpc.health.v1.Health",
    {"Check": grpc.unary_unary_rpc_method_handler(
        check, lambda data: data, lambda data: data)}),))

if len(sys.argv) > 3:
    with open(sys.argv[3], "rb") as cert, open(sys.argv[4], "rb") as key:
        credentials = grpc.ssl_server_credentials(((key.read(), cert.read()),))
    server.add_secure_port(f"127.0.0.1:{port}", credentials)
else:
    server.add_insecure_port(f"127.0.0.1:{port}")

server.start()
server.wait_for_termination()
