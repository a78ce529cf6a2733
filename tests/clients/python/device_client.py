#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads a configuration as AWS IoT Device Client does, makes its demands on files, and connects with the SDK that it is built on.

A stand-in: the client itself is C++ and is built from source with its own SDK. Its checks are those of its docs/PERMISSIONS.md; its
connection is awscrt's, with ALPN and the first TLS context dropped before the second is used (seen with the real client).
"""

import argparse
import json
import os
import stat

from awscrt import io, mqtt

import schema

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("file")
parser.add_argument("--host", required=True)
parser.add_argument("--port", type=int, required=True)
arguments = parser.parse_args()

# As source/config/Config.h has it.
MAX_CONFIG_SIZE = 5000

with open(arguments.file, encoding="utf-8") as file:
    text = file.read()
assert len(text.encode()) <= MAX_CONFIG_SIZE, "larger than the client reads"
config = json.loads(text)
schema.demand(config, schema.DEVICE_CLIENT)
assert config["logging"]["level"] in ("DEBUG", "INFO", "WARN", "ERROR") and config["logging"]["type"] in ("FILE", "STDOUT")
element = config["secure-element"]
assert element["enabled"] is True
# A slot id of 0 is ignored: the token is found by its label, and the key as well.
assert element["secure-element-token-label"] and element["secure-element-key-label"]


def demand(path, mode):
    found = os.stat(path)
    assert stat.S_IMODE(found.st_mode) == mode, f"{path}: {stat.S_IMODE(found.st_mode):o}, demanded {mode:o}"
    assert found.st_uid == os.geteuid(), f"{path}: another owner"


for path, mode in [(config["cert"], 0o644), (config["root-ca"], 0o644), (element["pkcs11-lib"], 0o640)]:
    assert os.path.isabs(path)
    demand(path, mode)
    demand(os.path.dirname(path), 0o700)


def context(library):
    options = io.TlsContextOptions.create_client_with_mtls_pkcs11(
        pkcs11_lib=library,
        user_pin=element["secure-element-pin"],
        token_label=element["secure-element-token-label"],
        private_key_label=element["secure-element-key-label"],
        cert_file_path=config["cert"],
    )
    options.override_default_trust_store_from_path(None, config["root-ca"])
    options.alpn_list = ["x-amzn-mqtt-ca"]
    return io.ClientTlsContext(options)


library = io.Pkcs11Lib(file=element["pkcs11-lib"], behavior=io.Pkcs11Lib.InitializeFinalizeBehavior.DEFAULT)
context(library)
loop = io.EventLoopGroup(1)
connection = mqtt.Connection(
    mqtt.Client(io.ClientBootstrap(loop, io.DefaultHostResolver(loop)), context(library)),
    host_name=arguments.host,
    port=arguments.port,
    client_id=config["thing-name"],
    clean_session=True,
    keep_alive_secs=30,
)
connection.connect().result(15)
connection.disconnect().result(10)
print("connected as", config["thing-name"], "with", element["pkcs11-lib"])
