#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Publish and receive one MQTT message with the AWS SDK's client, whose TLS key stays on a PKCS#11 token.

This is what the AWS IoT Device SDK for Python does underneath: awscrt opens the module itself (no OpenSSL, no
configuration file), logs in, finds the private key by its label and signs the TLS handshake with it.
"""

import argparse
import queue
import sys

import awscrt
from awscrt import io, mqtt

TOPIC = "demo/hello"
MESSAGE = b"hello from a key that never left the chip"
SECONDS = 10


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--module", required=True, help="the PKCS#11 module")
    parser.add_argument("--token", required=True, help="label of the token")
    parser.add_argument("--key", required=True, help="label of the private key")
    parser.add_argument("--cert", required=True, help="the device certificate, a PEM file")
    parser.add_argument("--ca", required=True, help="the CA that the broker must be certified by, a PEM file")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8883)
    return parser.parse_args()


def connect(args):
    # STRICT: no other code may have initialised the module; it is finalised when the library object is released.
    library = io.Pkcs11Lib(file=args.module, behavior=io.Pkcs11Lib.InitializeFinalizeBehavior.STRICT)
    options = io.TlsContextOptions.create_client_with_mtls_pkcs11(
        pkcs11_lib=library,
        user_pin=None,
        token_label=args.token,
        private_key_label=args.key,
        cert_file_path=args.cert,
    )
    options.override_default_trust_store_from_path(None, args.ca)
    loop = io.EventLoopGroup(1)
    bootstrap = io.ClientBootstrap(loop, io.DefaultHostResolver(loop))
    connection = mqtt.Connection(
        mqtt.Client(bootstrap, io.ClientTlsContext(options)),
        host_name=args.host,
        port=args.port,
        client_id="atecc608-demo",
        clean_session=True,
        keep_alive_secs=30,
    )
    connection.connect().result(SECONDS)
    return connection


def main():
    args = arguments()
    print(f"awscrt {awscrt.__version__}, Pkcs11Lib {args.module}, token {args.token}, key {args.key}")
    connection = connect(args)
    print(f"connected to {args.host}:{args.port}, mutual TLS done")

    arrived = queue.Queue()
    subscribed, _ = connection.subscribe(
        TOPIC, mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: arrived.put((topic, payload))
    )
    subscribed.result(SECONDS)
    published, _ = connection.publish(TOPIC, MESSAGE, mqtt.QoS.AT_LEAST_ONCE)
    published.result(SECONDS)
    topic, payload = arrived.get(timeout=SECONDS)
    connection.disconnect().result(SECONDS)

    print(f"received on {topic}: {payload.decode()}")
    return 0 if payload == MESSAGE else 1


if __name__ == "__main__":
    sys.exit(main())
