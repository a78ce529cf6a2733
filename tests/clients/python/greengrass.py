#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reads a Greengrass configuration with an independent YAML reader, and checks that the installer accepts it."""

import sys

import yaml

import schema

with open(sys.argv[1], encoding="utf-8") as file:
    config = yaml.safe_load(file)
schema.demand(config, schema.GREENGRASS)
system, services = config["system"], config["services"]
assert system["privateKeyPath"] == "pkcs11:object=core-1;type=private", system
assert system["certificateFilePath"] == "pkcs11:object=core-1;type=cert", system
assert system["thingName"] == "core-1"
nucleus = services["aws.greengrass.Nucleus"]["configuration"]
assert nucleus["awsRegion"] == "eu-central-1" and nucleus["iotRoleAlias"] == "Exchange", nucleus
assert "-ats.iot." in nucleus["iotDataEndpoint"] and ".credentials.iot." in nucleus["iotCredEndpoint"], nucleus
provider = services["aws.greengrass.crypto.Pkcs11Provider"]["configuration"]
assert provider["slot"] == 0, provider
assert provider["library"].endswith("/libatecc608_pkcs11.so"), provider
print("greengrass.yaml: as the installer takes it")
