#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads /etc/greengrass/config.yaml with libyaml, as Greengrass nucleus lite does, and prints its values as lines of
shell.

A name that the nucleus's sample configuration does not have is an error, and so is one that is missing.
"""

import shlex
import sys

import yaml

import schema

thing, host = sys.argv[1:]
with open("/etc/greengrass/config.yaml", encoding="utf-8") as file:
    config = yaml.load(file, Loader=yaml.CSafeLoader)
schema.demand(config, schema.GREENGRASS_LITE)
system = config["system"]
nucleus = config["services"]["aws.greengrass.NucleusLite"]["configuration"]
assert (system["thingName"], nucleus["iotDataEndpoint"]) == (thing, host), config
assert (nucleus["awsRegion"], nucleus["iotRoleAlias"]) == ("eu-central-1", "Exchange"), nucleus
for name, key in {
    "KEY": "privateKeyPath",
    "CERTIFICATE": "certificateFilePath",
    "ROOT_CA": "rootCaPath",
    "THING": "thingName",
}.items():
    print(f"{name}={shlex.quote(system[key])}")
