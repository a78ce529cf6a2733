# SPDX-License-Identifier: MIT OR Apache-2.0
"""The schemas of configurations that AWS's programs read, as AWS documents them: the keys, their types, and which are
required.

A table is a dictionary from a key to a type, or to another table. A key that ends with "!" must be there, and not be empty.
"""

# config-template.json, docs/CONFIG.md and source/config/Config.h of awslabs/aws-iot-device-client (January 2026). "key" must
# be there only without a secure element.
DEVICE_CLIENT = {
    "endpoint!": str,
    "cert!": str,
    "key": str,
    "root-ca": str,
    "thing-name!": str,
    "clean-session": bool,
    "logging": {
        "level": str,
        "type": str,
        "file": str,
        "enable-sdk-logging": bool,
        "sdk-log-level": str,
        "sdk-log-file": str,
    },
    "jobs": {"enabled": bool, "handler-directory": str},
    "tunneling": {"enabled": bool},
    "device-defender": {"enabled": bool, "interval": int},
    "fleet-provisioning": {
        "enabled": bool,
        "template-name": str,
        "template-parameters": str,
        "csr-file": str,
        "device-key": str,
    },
    "samples": {
        "pub-sub": {
            "enabled": bool,
            "publish-topic": str,
            "publish-file": str,
            "subscribe-topic": str,
            "subscribe-file": str,
            "publish-on-change": bool,
        }
    },
    "config-shadow": {"enabled": bool},
    "sample-shadow": {"enabled": bool, "shadow-name": str, "shadow-input-file": str, "shadow-output-file": str},
    "secure-element!": {
        "enabled!": bool,
        "pkcs11-lib!": str,
        "secure-element-pin!": str,
        "secure-element-key-label": str,
        "secure-element-slot-id": int,
        "secure-element-token-label": str,
    },
}

# "Install AWS IoT Greengrass Core software with manual resource provisioning" and "PKCS#11 provider" of the Greengrass v2
# developer guide: of the keys that there are, those for a core device whose key and certificate are in an HSM.
GREENGRASS = {
    "system!": {
        "certificateFilePath!": str,
        "privateKeyPath!": str,
        "rootCaPath!": str,
        "rootpath!": str,
        "thingName!": str,
    },
    "services!": {
        "aws.greengrass.Nucleus!": {
            "componentType": str,
            "version": str,
            "configuration!": {
                "awsRegion!": str,
                "iotRoleAlias!": str,
                "iotDataEndpoint!": str,
                "iotCredEndpoint!": str,
                "mqtt": dict,
                "greengrassDataPlanePort": int,
                "networkProxy": dict,
                "runWithDefault": dict,
            },
        },
        "aws.greengrass.crypto.Pkcs11Provider!": {
            "configuration!": {"name!": str, "library!": str, "slot!": int, "userPin!": str},
        },
    },
}

# docs/examples/sample_nucleus_config.yaml of aws-greengrass/aws-greengrass-lite 2.6.0. A port is a text there.
GREENGRASS_LITE = {
    "system!": {
        "privateKeyPath!": str,
        "certificateFilePath!": str,
        "rootCaPath!": str,
        "rootPath!": str,
        "thingName!": str,
    },
    "services!": {
        "aws.greengrass.NucleusLite!": {
            "componentType!": str,
            "configuration!": {
                "awsRegion!": str,
                "iotCredEndpoint!": str,
                "iotDataEndpoint!": str,
                "iotRoleAlias!": str,
                "runWithDefault!": {"posixUser!": str},
                "greengrassDataPlanePort": str,
                "platformOverride": dict,
                "fleetStatus": dict,
            },
        },
    },
}


def faults(config, table, path=""):
    """What is wrong with this configuration, a line each."""
    if not isinstance(config, dict):
        return [f"{path or 'all of it'} is no object"]
    known = {key.rstrip("!"): kind for key, kind in table.items()}
    found = [f"{path}{key} is missing" for key in (key[:-1] for key in table if key.endswith("!")) if key not in config]
    for key, value in config.items():
        if key not in known:
            found.append(f"{path}{key} is not a key that AWS documents")
        elif isinstance(known[key], dict):
            found += faults(value, known[key], f"{path}{key}.")
        # In Python a truth value is an integer; there it is not.
        elif type(value) is not known[key]:
            found.append(f"{path}{key} is {value!r}, and should be of type {known[key].__name__}")
        elif value == "" and key + "!" in table:
            found.append(f"{path}{key} is empty")
    return found


def spoilt(config, path=""):
    """Copies of a configuration, each with one thing wrong: each key by another name, each value of another type."""
    for key, value in config.items():
        yield f"{path}{key} misspelt", {name + "x" * (name == key): value for name, value in config.items()}
        yield f"{path}{key} of another type", {**config, key: [value]}
        if isinstance(value, dict):
            for what, inner in spoilt(value, f"{path}{key}."):
                yield what, {**config, key: inner}


def demand(config, table):
    """The configuration is right, and the table would detect errors."""
    found = faults(config, table)
    assert not found, "\n".join(found)
    for what, wrong in spoilt(config):
        assert faults(wrong, table), f"not noticed: {what}"
