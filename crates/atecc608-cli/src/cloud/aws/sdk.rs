// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program for the AWS IoT Device SDK for Python (awscrt): connects as the thing, publishes and receives one message.
//! It runs unchanged, as a starting point for an application.

use super::device_client::{Connection, CERTIFICATE, ROOT_CA};
use crate::cloud::folder::Folder;
use crate::cloud::identity::PIN_TO_ENTER;
use crate::cloud::literal::quoted;

/// The file.
pub const FILE: &str = "sdk_connect.py";
/// Its mode: it never contains a PIN.
pub const MODE: u32 = 0o644;

/// Returns the program. `config` is the configuration of the module, if it is not the default one; the PIN is taken
/// from the variable TOKEN_PIN if the token has one.
pub fn program(folder: &Folder, connection: &Connection<'_>, module: &str, config: Option<&str>) -> String {
    let path = |name: &str| quoted(&folder.file(name).display().to_string());
    let environment = config.map_or_else(String::new, |config| {
        format!("os.environ.setdefault(\"ATECC608_PKCS11_CONF\", {})\n", quoted(config))
    });
    let pin = if connection.has_pin {
        format!("os.environ.get(\"TOKEN_PIN\", {})", quoted(PIN_TO_ENTER))
    } else {
        "None".to_owned()
    };
    let thing = quoted(connection.thing);
    format!(
        r#"#!/usr/bin/env python3
"""Connect to AWS IoT as the thing {name}, whose private key is in the chip: pip install awscrt

Publishes to {name}/hello, waits until the message comes back, and ends. --host and --port name another broker.
"""

import argparse
import os
import queue

from awscrt import io, mqtt

{environment}THING = {thing}
TOPIC = THING + "/hello"

parser = argparse.ArgumentParser()
parser.add_argument("--host", default={endpoint})
parser.add_argument("--port", type=int, default=8883)
arguments = parser.parse_args()

# One per process: it loads the module and initialises it.
library = io.Pkcs11Lib(file={module}, behavior=io.Pkcs11Lib.InitializeFinalizeBehavior.STRICT)
options = io.TlsContextOptions.create_client_with_mtls_pkcs11(
    pkcs11_lib=library,
    user_pin={pin},
    token_label={token},
    private_key_label={key},
    cert_file_path={certificate},
)
options.override_default_trust_store_from_path(None, {root_ca})
loop = io.EventLoopGroup(1)
connection = mqtt.Connection(
    mqtt.Client(io.ClientBootstrap(loop, io.DefaultHostResolver(loop)), io.ClientTlsContext(options)),
    host_name=arguments.host,
    port=arguments.port,
    client_id=THING,
    clean_session=True,
    keep_alive_secs=30,
)
connection.connect().result(15)
arrived = queue.Queue()
connection.subscribe(TOPIC, mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: arrived.put(payload))[0].result(10)
connection.publish(TOPIC, b"hello", mqtt.QoS.AT_LEAST_ONCE)[0].result(10)
print("connected to", arguments.host, "as", THING, "and received", arrived.get(timeout=10).decode())
connection.disconnect().result(10)
"#,
        name = connection.thing,
        endpoint = quoted(connection.endpoint),
        module = quoted(module),
        token = quoted(connection.token),
        key = quoted(connection.key),
        certificate = path(CERTIFICATE),
        root_ca = path(ROOT_CA),
    )
}
