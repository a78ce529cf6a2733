#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A TLS server that simulates a bad MQTT broker, for tests/clients/aws-claim.sh.

    bad_broker.py MODE --port PORT --cert PEM --key PEM

    silent      accepts the connection and sends nothing, not even TLS
    mute        TLS, and nothing after it
    garbage     TLS, and HTML
    huge        TLS, and a packet that claims 256 MiB
    drip        TLS, and a packet that comes a byte in a third of a second
    close       TLS, and closes after CONNECT, as AWS IoT does
    refused     TLS, and CONNACK with "not authorized"
    denied      refuses the first subscription
    forbidden   closes after the first SUBSCRIBE, as AWS IoT does
"""

import argparse
import socket
import ssl
import time


def serve(mode, connection, context):
    if mode == "silent":
        connection.recv(1 << 16)
        time.sleep(30)
        return
    with context.wrap_socket(connection, server_side=True) as tls:
        tls.recv(1 << 16)
        if mode == "mute":
            time.sleep(30)
        elif mode == "garbage":
            tls.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>this is a web server</html>" * 9)
        elif mode == "huge":
            tls.sendall(b"\x30\xff\xff\xff\x7f" + bytes(1000))
        elif mode == "drip":
            for byte in b"\x30\xff\x01" + bytes(90):
                tls.sendall(bytes([byte]))
                time.sleep(0.3)
        elif mode == "refused":
            tls.sendall(b"\x20\x02\x00\x05")
        elif mode in ("denied", "forbidden"):
            tls.sendall(b"\x20\x02\x00\x00")
            # Shorter than 128 bytes: its length is one byte, and its identifier the next two.
            subscribe = tls.recv(1 << 16)
            if mode == "denied":
                tls.sendall(b"\x90\x04" + subscribe[2:4] + b"\x01\x80")
                tls.recv(1 << 16)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    arguments = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.cert, arguments.key)
    with socket.create_server(("127.0.0.1", arguments.port)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                try:
                    serve(arguments.mode, connection, context)
                except OSError as error:
                    print(error, flush=True)


if __name__ == "__main__":
    main()
