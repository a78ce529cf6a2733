#!/usr/bin/env python3
"""What programs on AWS's SDKs do with a PKCS#11 key, one way of working per call.

    mqtt.py WAY MODULE TOKEN KEY CERTIFICATE CA PORT

WAY is one of the functions below that are decorated with @way. Exits with 0 if it worked.
"""

import os
import queue
import sys
from concurrent.futures import Future

from awscrt import io, mqtt, mqtt5
from awsiot import mqtt_connection_builder

SECONDS = 20
# Connections at once in one process.
MANY = 8
AT_LEAST_ONCE = mqtt.QoS.AT_LEAST_ONCE

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


def mqtt3(context, name, **options):
    return mqtt.Connection(
        mqtt.Client(bootstrap(), context), host_name="localhost", port=PORT, client_id=name, clean_session=True, **options
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
    """As the IoT Device Client: a context that is dropped before a second one is used, and no C_Finalize at the end."""
    lib = library(io.Pkcs11Lib.InitializeFinalizeBehavior.DEFAULT)
    first = tls_context(lib, alpn_list=["x-amzn-mqtt-ca"])
    second = tls_context(lib, alpn_list=["x-amzn-mqtt-ca"])
    del first
    connection = mqtt3(second, "device-client")
    connection.connect().result(SECONDS)
    exchange(connection, "t/device-client")
    connection.disconnect().result(SECONDS)
    # The module is still initialised, with a session: the process ends, and nobody tells it.
    sys.stdout.flush()
    os._exit(0)


@way
def initialised_by_another():
    """As Greengrass: somebody in this process (Java there) has the module initialised already, and uses it afterwards."""
    import ctypes

    other = ctypes.CDLL(MODULE)
    assert other.C_Initialize(None) == 0
    connection = mqtt3(tls_context(library(io.Pkcs11Lib.InitializeFinalizeBehavior.DEFAULT)), "second")
    connection.connect().result(SECONDS)
    exchange(connection, "t/second")
    connection.disconnect().result(SECONDS)
    count = ctypes.c_ulong()
    assert other.C_GetSlotList(b"\1", None, ctypes.byref(count)) == 0 and count.value == 1


if __name__ == "__main__":
    WAYS[sys.argv[1]]()
    print(f"{sys.argv[1]}: done")
