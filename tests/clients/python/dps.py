#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Azure's Device Provisioning Service as a device sees it over MQTT, behind a broker on loopback, for tests/clients/azure-register.sh.

    dps.py --port PORT --ca CA.pem

It responds as Azure's documentation and its preview SDKs say: 202 with an operation id, "assigning" until it was asked
twice, then "assigned" with the certificate that the request asked for, by an intermediate CA of its own (its root's
certificate is written to CA.pem). Each response obeys the file "fault" in the working folder, if there is one:

    unauthorized  401 with Azure's words
    busy          429 once, then as without a fault
    never         "assigning" for ever
    failed        the registration fails
    no-issuer     "assigned" without a certificate: the enrolment has no policy
    other-key     a certificate for a key of its own
    no-chain      a chain that did not sign it
    odd-hub       a hub that is no host
    odd-id        an operation id that would change the topic
    garbage       no JSON
    old           a certificate of which a quarter of the validity is left

It prints a line for each request. All clients of this broker see all responses, as no other device is there.
"""

import argparse
import base64
import datetime
import json
import urllib.parse
from pathlib import Path

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

REGISTER = "$dps/registrations/PUT/iotdps-register/"
STATUS = "$dps/registrations/GET/iotdps-get-operationstatus/"
OPERATION = "5.afa73db6918a13a9.cf71e45a-b81b-437d-9b4f-6b4c574be43a"
DER = serialization.Encoding.DER
DAY = datetime.timedelta(days=1)


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    def __init__(self, text, issuer=None):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name(text)
        self.certificate = (issuer or self).certify(self.name, self.key.public_key(), is_ca=True)

    def certify(self, subject, public_key, is_ca=False, since=DAY, until=30 * DAY):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - since)
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )


class Service:
    def __init__(self):
        self.root = Authority("Root of a stand-in for Azure")
        self.intermediate = Authority("Policy of a stand-in for Azure", self.root)
        self.device, self.csr, self.asked, self.was_busy = "", None, 0, False

    def respond(self, topic, payload):
        """Status, more of the topic, and body."""
        fault = Path("fault").read_text(encoding="utf-8").strip() if Path("fault").exists() else ""
        if fault == "unauthorized":
            return 401, "", {"errorCode": 401002, "trackingId": "4d3c", "message": "Unauthorized"}
        if fault == "busy" and not self.was_busy:
            self.was_busy = True
            return 429, "&retry-after=1", {"errorCode": 429001, "trackingId": "4d3c", "message": "Throttled"}
        if fault == "garbage":
            return 200, "", None
        if topic.startswith(REGISTER):
            request = json.loads(payload)
            assert set(request) == {"registrationId", "csr"}, request
            self.csr = x509.load_der_x509_csr(base64.b64decode(request["csr"], validate=True))
            self.device, self.asked = request["registrationId"], 0
            if not self.csr.is_signature_valid or self.csr.subject != name(self.device):
                return 400, "", {"errorCode": 400004, "trackingId": "4d3c", "message": "The certificate request is not valid"}
            operation = "5/#" if fault == "odd-id" else OPERATION
            return 202, "&retry-after=0", {"operationId": operation, "status": "assigning"}
        assert f"operationId={OPERATION}" in urllib.parse.unquote(topic), topic
        self.asked += 1
        if self.asked < 2 or fault == "never":
            return 202, f"&retry-after={1 if fault == 'never' else 0}", {"operationId": OPERATION, "status": "assigning", "registrationState": None}
        if fault == "failed":
            state = {"registrationId": self.device, "status": "failed", "errorCode": 400209, "errorMessage": "No hub is linked"}
            return 200, "", {"operationId": OPERATION, "status": "failed", "registrationState": state}
        return 200, "", {"operationId": OPERATION, "status": "assigned", "registrationState": self.registration(fault)}

    def registration(self, fault):
        public_key = ec.generate_private_key(ec.SECP256R1()).public_key() if fault == "other-key" else self.csr.public_key()
        times = {"since": 30 * DAY, "until": 10 * DAY} if fault == "old" else {}
        issuer = Authority("Another CA") if fault == "no-chain" else self.intermediate
        chain = [issuer.certify(self.csr.subject, public_key, **times), self.intermediate.certificate, self.root.certificate]
        state = {
            "registrationId": self.device,
            "assignedHub": "a/b" if fault == "odd-hub" else "acme.azure-devices.net",
            "deviceId": self.device,
            "status": "assigned",
            "substatus": "initialAssignment",
        }
        if fault != "no-issuer":
            state["issuedCertificateChain"] = [base64.b64encode(one.public_bytes(DER)).decode() for one in chain]
        return state


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ca", required=True)
    arguments = parser.parse_args()
    service = Service()
    Path(arguments.ca).write_bytes(service.root.certificate.public_bytes(serialization.Encoding.PEM))

    def on_message(client, _, message):
        number = urllib.parse.parse_qs(message.topic.partition("?")[2])["$rid"][0]
        status, more, body = service.respond(message.topic, message.payload)
        print(message.topic.split("/")[3], status, service.device, flush=True)
        text = "<html>" if body is None else json.dumps(body)
        # Another request's response comes first.
        client.publish(f"$dps/registrations/res/200/?$rid=9{number}", "{}", qos=1)
        client.publish(f"$dps/registrations/res/{status}/?$rid={number}{more}", text, qos=1)

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="dps", protocol=mqtt.MQTTv311)
    client.on_message = on_message
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.connect("127.0.0.1", arguments.port)
    client.subscribe([(REGISTER + "#", 1), (STATUS + "#", 1)])
    client.loop_forever()


if __name__ == "__main__":
    main()
