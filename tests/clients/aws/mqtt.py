#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ways in which programs on AWS's SDKs use a PKCS#11 key, one per call.

    mqtt.py WAY MODULE TOKEN KEY CERTIFICATE CA PORT

WAY is one of the functions below that are decorated with @way. Exits with 0 if it worked.
"""

import ctypes
import gc
import os
import queue
import socket
import subprocess
import sys
import time
from concurrent.futures import Future

from awscrt import io, mqtt, mqtt5
from awsiot import mqtt_connection_builder

SECONDS = 20
# Connections at once in one process.
MANY = 8
AT_LEAST_ONCE = mqtt.QoS.AT_LEAST_ONCE

ALPN = ["x-amzn-mqtt-ca"]
SDK_LOG = f"sdk-{os.getpid()}.log"

WAYS = {}
MODULE, TOKEN, KEY, CERTIFICATE, CA = sys.argv[2:7] if len(sys.argv) == 8 else sys.exit(__doc__)
PORT = int(sys.argv[7])


def way(function):
    WAYS[function.__name__] = function
    return function


def library(behavior):
    return io.Pkcs11Lib(file=MODULE, behavior=behavior)


def tls_context(lib, **options):
    """A context with the key on the token, as TlsContextOptions makes it for every SDK."""
    tls = io.TlsContextOptions.create_client_with_mtls_pkcs11(
        pkcs11_lib=lib, user_pin="1234", token_label=TOKEN, private_key_label=KEY, cert_file_path=CERTIFICATE
    )
    tls.override_default_trust_store_from_path(None, CA)
    for name, value in options.items():
        setattr(tls, name, value)
    return io.ClientTlsContext(tls)


def bootstrap():
    loop = io.EventLoopGroup(2)
    return io.ClientBootstrap(loop, io.DefaultHostResolver(loop))


def mqtt3(context, name, port=PORT, **options):
    return mqtt.Connection(
        mqtt.Client(bootstrap(), context), host_name="localhost", port=port, client_id=name, clean_session=True, **options
    )


def exchange(connection, topic):
    """One message, there and back again."""
    arrived = queue.Queue()
    subscribed, _ = connection.subscribe(topic, AT_LEAST_ONCE, lambda topic, payload, **_: arrived.put(payload))
    subscribed.result(SECONDS)
    connection.publish(topic, topic.encode(), AT_LEAST_ONCE)[0].result(SECONDS)
    assert arrived.get(timeout=SECONDS) == topic.encode()


@way
def sdk():
    """The AWS IoT Device SDK's own builder."""
    connection = mqtt_connection_builder.mtls_with_pkcs11(
        pkcs11_lib=library(io.Pkcs11Lib.InitializeFinalizeBehavior.STRICT),
        user_pin="1234",
        token_label=TOKEN,
        private_key_label=KEY,
        cert_filepath=CERTIFICATE,
        ca_filepath=CA,
        endpoint="localhost",
        port=PORT,
        client_id="sdk",
        clean_session=True,
    )
    connection.connect().result(SECONDS)
    exchange(connection, "t/sdk")
    connection.disconnect().result(SECONDS)


@way
def version_5():
    """MQTT 5."""
    ready, arrived, stopped = Future(), queue.Queue(), Future()
    client = mqtt5.Client(
        mqtt5.ClientOptions(
            host_name="localhost",
            port=PORT,
            bootstrap=bootstrap(),
            tls_ctx=tls_context(library(io.Pkcs11Lib.InitializeFinalizeBehavior.STRICT)),
            connect_options=mqtt5.ConnectPacket(client_id="five"),
            on_publish_callback_fn=lambda data: arrived.put(data.publish_packet.payload),
            on_lifecycle_event_connection_success_fn=ready.set_result,
            on_lifecycle_event_stopped_fn=stopped.set_result,
        )
    )
    client.start()
    ready.result(SECONDS)
    topic = mqtt5.Subscription(topic_filter="t/5", qos=mqtt5.QoS.AT_LEAST_ONCE)
    client.subscribe(mqtt5.SubscribePacket(subscriptions=[topic])).result(SECONDS)
    client.publish(mqtt5.PublishPacket(topic="t/5", payload=b"five", qos=mqtt5.QoS.AT_LEAST_ONCE)).result(SECONDS)
    assert arrived.get(timeout=SECONDS) == b"five"
    client.stop()
    stopped.result(SECONDS)


@way
def at_once():
    """Several connections in one process, all of whose handshakes begin at the same moment."""
    lib = library(io.Pkcs11Lib.InitializeFinalizeBehavior.STRICT)
    shared = tls_context(lib)
    contexts = [shared if number % 2 else tls_context(lib) for number in range(MANY)]
    connections = [mqtt3(context, f"many-{number}") for number, context in enumerate(contexts)]
    for connecting in [connection.connect() for connection in connections]:
        connecting.result(SECONDS)
    for number, connection in enumerate(connections):
        exchange(connection, f"t/many/{number}")
    for leaving in [connection.disconnect() for connection in connections]:
        leaving.result(SECONDS)


@way
def again():
    """Connected until the broker goes (its process id is in the environment), and once more when it is back."""
    resumed = Future()
    connection = mqtt3(
        tls_context(library(io.Pkcs11Lib.InitializeFinalizeBehavior.STRICT)),
        "again",
        reconnect_min_timeout_secs=1,
        reconnect_max_timeout_secs=1,
        on_connection_resumed=lambda **_: resumed.set_result(None),
    )
    connection.connect().result(SECONDS)
    exchange(connection, "t/before")
    # The test, which waits for this line, starts the broker again.
    print("connected", flush=True)
    resumed.result(2 * SECONDS)
    exchange(connection, "t/after")
    connection.disconnect().result(SECONDS)


@way
def device_client():
    """As the IoT Device Client: a first connection that fails, a second one beside it, and dlclose without C_Finalize."""
    behavior = io.Pkcs11Lib.InitializeFinalizeBehavior
    io.init_logging(io.LogLevel.Debug, SDK_LOG)
    old = mqtt3(tls_context(library(behavior.DEFAULT), alpn_list=ALPN), "device-client", port=closed_port())
    assert old.connect().exception(SECONDS) is not None, "connected to a closed port"
    # The old one stays while the new one is made: STRICT reports the resulting error of C_Initialize, DEFAULT accepts
    # it.
    try:
        library(behavior.STRICT)
        raise AssertionError("initialised twice")
    except RuntimeError as error:
        assert "CKR_CRYPTOKI_ALREADY_INITIALIZED" in str(error), error
    new = mqtt3(tls_context(library(behavior.DEFAULT), alpn_list=ALPN), "device-client")
    assert logged("Session closed") == 0
    del old
    until("the old session is closed", lambda: logged("Session closed") == 1)
    connect_and_exchange(new)
    del new
    until("the module is unloaded", lambda: not mapped())

    # Loaded once more into the same process.
    third = mqtt3(tls_context(library(behavior.DEFAULT), alpn_list=ALPN), "device-client")
    connect_and_exchange(third)
    listed_by_another()
    del third
    until("the module is unloaded again", lambda: not mapped())
    listed_by_another()
    # The refused library is unloaded as well.
    until("the log is whole", lambda: logged("Unloading PKCS#11") == 4)
    assert logged("C_Finalize:omit") == 4
    assert (logged("User logged in"), logged("User was already logged in")) == (2, 1)


def connect_and_exchange(connection):
    connection.connect().result(SECONDS)
    exchange(connection, "t/device-client")
    connection.disconnect().result(SECONDS)


def closed_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def until(what, holds):
    """The SDK's threads release resources, and write the log, after the last object is dropped."""
    last = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < last, f"not in {SECONDS} s: {what}"
        gc.collect()
        time.sleep(0.05)


def mapped():
    """Is the module loaded in this process?"""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return os.path.realpath(MODULE) in maps.read()


def logged(text):
    """How often the SDK has logged this, with what is still in the C library's buffers."""
    ctypes.CDLL(None).fflush(None)
    with open(SDK_LOG, encoding="utf-8") as log:
        return log.read().count(text)


def listed_by_another():
    """The bus is free: another process lists the token's keys."""
    command = ["pkcs11-tool", "--module", MODULE, "--token-label", TOKEN, "--list-objects", "--type", "privkey"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    assert KEY in listed.stdout, listed.stdout


@way
def initialised_by_another():
    """As in Greengrass: other code in this process (Java there) has initialised the module, opened a session and logged
    in."""
    io.init_logging(io.LogLevel.Debug, SDK_LOG)
    other = ctypes.CDLL(MODULE)
    slot, count, session = ctypes.c_ulong(), ctypes.c_ulong(1), ctypes.c_ulong()
    assert other.C_Initialize(None) == 0
    assert other.C_GetSlotList(b"\1", ctypes.byref(slot), ctypes.byref(count)) == 0 and count.value == 1
    serial_session, user = ctypes.c_ulong(4), ctypes.c_ulong(1)
    assert other.C_OpenSession(slot, serial_session, None, None, ctypes.byref(session)) == 0
    assert other.C_Login(session, user, b"1234", ctypes.c_ulong(4)) == 0

    connection = mqtt3(tls_context(library(io.Pkcs11Lib.InitializeFinalizeBehavior.DEFAULT)), "second")
    connection.connect().result(SECONDS)
    exchange(connection, "t/second")
    connection.disconnect().result(SECONDS)
    del connection
    until("the SDK's session is closed", lambda: logged("Unloading PKCS#11") == 1)
    assert (logged("C_Finalize:omit"), logged("User was already logged in")) == (1, 1)

    # The other one is as before: slotID, state (a read-only session of the user's), flags, ulDeviceError.
    info = (ctypes.c_ulong * 4)()
    assert other.C_GetSessionInfo(session, ctypes.byref(info)) == 0
    assert list(info)[:3] == [slot.value, 1, 4], list(info)
    assert other.C_Finalize(None) == 0


if __name__ == "__main__":
    WAYS[sys.argv[1]]()
    print(f"{sys.argv[1]}: done")
