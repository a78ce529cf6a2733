#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Prints the values that Azure's key service reads from a configuration of IoT Edge, as lines of shell: MODULE_PATH,
TOKEN, KEY, PIN.

    edge_config.py FILE

It reads the file as `aziotctl config apply` does (Azure/iot-identity-service, super_config.rs), and the URI as the service's crate
`pkcs11` does: of the path `object` and `token`, of the query `pin-value`, percent-decoded, and nothing else.
"""

import shlex
import sys
import tomllib
from urllib.parse import unquote, urlsplit

KNOWN = {
    "manual": {"source", "iothub_hostname", "device_id", "authentication"},
    "dps": {"source", "global_endpoint", "id_scope", "attestation"},
}
IDENTITY = {"manual": {"method", "identity_cert", "identity_pk"}, "dps": {"method", "registration_id", "identity_cert", "identity_pk"}}


def parameters(text, separator):
    return dict(part.split("=", 1) for part in text.split(separator) if part)


def main():
    with open(sys.argv[1], "rb") as file:
        config = tomllib.load(file)
    assert set(config) == {"provisioning", "aziot_keys"}, config.keys()
    provisioning = config["provisioning"]
    source = provisioning["source"]
    assert set(provisioning) == KNOWN[source], provisioning
    identity = provisioning["authentication" if source == "manual" else "attestation"]
    assert set(identity) == IDENTITY[source] and identity["method"] == "x509", identity
    certificate = urlsplit(identity["identity_cert"])
    assert certificate.scheme == "file" and certificate.path.startswith("/"), certificate
    # With a base slot the service generates keys of its own in the chip.
    assert set(config["aziot_keys"]) == {"pkcs11_lib_path"}, config["aziot_keys"]

    scheme, _, rest = identity["identity_pk"].partition(":")
    assert scheme == "pkcs11", scheme
    path, _, query = rest.partition("?")
    path, query = parameters(path, ";"), parameters(query, "&")
    values = {
        "MODULE_PATH": config["aziot_keys"]["pkcs11_lib_path"],
        "TOKEN": unquote(path["token"]),
        "KEY": unquote(path["object"]),
        "PIN": unquote(query.get("pin-value", "")),
    }
    for name, value in values.items():
        print(f"{name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
