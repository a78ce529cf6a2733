#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""AWS IoT's device provisioning MQTT API as far as a device sees it, behind a broker on loopback, for tests/clients/aws-claim.sh.

    provisioning.py --port PORT --ca CA.pem

Signs requests with a CA of its own (its certificate is written to CA.pem), and makes things of the template "fleet",
which requires the parameter SerialNumber. Each answer obeys the file "fault" in the working folder, if there is one:
"CALL MODE", where CALL is "certificate" or "registration":

    slow        the answer comes after two seconds
    never       no answer
    garbage     an answer that is no JSON
    rejected    a rejection, as AWS words it
    other-key   a certificate for a key of its own
    no-chain    a second certificate that did not sign the first
    odd-thing   a thing with a name that AWS gives nobody
    kill        no answer, and the process whose id is in the file "tool.pid" is killed

It prints a line for each call, and never an ownership token. Those begin with SECRET.
"""

import argparse
import datetime
import json
import os
import secrets
import signal
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CREATE = "$aws/certificates/create-from-csr/json"
REGISTER = "$aws/provisioning-templates/fleet/provision/json"
SECRET = "ownership-token-"
PEM = serialization.Encoding.PEM


class Authority:
    def __init__(self, name):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.pem = self.certify(self.name, self.key.public_key(), True)

    def certify(self, subject, public_key, is_ca=False):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
            .public_bytes(PEM)
            .decode()
        )


class Provisioning:
    def __init__(self, authority):
        self.authority = authority
        # Ownership tokens that nobody has used yet.
        self.tokens = set()

    def fault(self, call):
        try:
            name, mode = Path("fault").read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return None
        return mode if name == call else None

    def certificate(self, request, fault):
        if set(request) != {"certificateSigningRequest"}:
            return rejected(400, "InvalidPayload", "Invalid payload")
        csr = x509.load_pem_x509_csr(request["certificateSigningRequest"].encode())
        if not csr.is_signature_valid:
            return rejected(400, "InvalidCertificateSigningRequest", "Invalid certificate signing request")
        public_key = csr.public_key()
        if fault == "other-key":
            public_key = ec.generate_private_key(ec.SECP256R1()).public_key()
        pem = self.authority.certify(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS IoT Certificate")]), public_key)
        identifier = x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()
        if fault == "no-chain":
            pem += Authority("Another CA").pem
        token = SECRET + secrets.token_urlsafe(300)
        self.tokens.add(token)
        print("certificate", csr.subject.rfc4514_string(), identifier, flush=True)
        return "accepted", {"certificateId": identifier, "certificatePem": pem, "certificateOwnershipToken": token}

    def registration(self, request, fault):
        token, parameters = request["certificateOwnershipToken"], request["parameters"]
        if token not in self.tokens:
            return rejected(400, "InvalidCertificateOwnershipToken", "Invalid certificate ownership token")
        if "SerialNumber" not in parameters:
            return rejected(400, "InvalidParameters", "Parameter SerialNumber is missing")
        self.tokens.remove(token)
        thing = "fleet/../1" if fault == "odd-thing" else "fleet-" + parameters["SerialNumber"]
        print("registration", thing, flush=True)
        return "accepted", {"thingName": thing, "deviceConfiguration": {"Site": parameters.get("Site", "none")}}

    def answer(self, client, topic, payload):
        call, work = ("certificate", self.certificate) if topic == CREATE else ("registration", self.registration)
        fault = self.fault(call)
        if fault == "never":
            return
        if fault == "kill":
            # First: the script goes on as soon as the tool is gone.
            print("killed", call, flush=True)
            os.kill(int(Path("tool.pid").read_text(encoding="utf-8")), signal.SIGKILL)
            return
        if fault == "slow":
            time.sleep(2)
        if fault == "garbage":
            client.publish(topic + "/accepted", "<html>" + SECRET, qos=1)
            return
        if fault == "rejected":
            result, body = rejected(403, "AccessDenied", "The pre-provisioning hook said no\n\x1b[31m")
        else:
            result, body = work(json.loads(payload), fault)
        client.publish(f"{topic}/{result}", json.dumps(body), qos=1)


def rejected(status, code, message):
    return "rejected", {"statusCode": status, "errorCode": code, "errorMessage": message}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    arguments = parser.parse_args()
    authority = Authority("AWS IoT, a stand-in")
    Path(arguments.ca).write_text(authority.pem, encoding="utf-8")
    provisioning = Provisioning(authority)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="aws", protocol=mqtt.MQTTv311)
    client.on_message = lambda client, _, message: provisioning.answer(client, message.topic, message.payload)
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect("127.0.0.1", arguments.port)
    client.subscribe([(CREATE, 1), (REGISTER, 1)])
    client.loop_forever()


if __name__ == "__main__":
    main()
