# SPDX-License-Identifier: MIT OR Apache-2.0
"""PyKCS11's operations on the token: MODULE TOKEN-LABEL CERTIFICATE.der PUBLIC-KEY.pem"""

import hashlib
import hmac
import subprocess
import sys

from PyKCS11 import (
    CKA_CLASS, CKA_EC_PARAMS, CKA_EC_POINT, CKA_ID, CKA_KEY_TYPE, CKA_LABEL, CKA_SENSITIVE, CKA_SIGN, CKA_TOKEN, CKA_VALUE,
    CKA_VALUE_LEN, CKA_VERIFY, CKA_ENCRYPT, CKA_DECRYPT, CKA_EXTRACTABLE, CKA_APPLICATION, CKA_PRIVATE, CKF_RW_SESSION,
    CKF_SERIAL_SESSION, CKK_AES, CKK_GENERIC_SECRET, CKM_AES_CBC_PAD, CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, CKM_ECDSA_SHA256,
    CKM_SHA256, CKM_SHA256_HMAC, CKM_SHA512, CKO_CERTIFICATE, CKO_DATA, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
    CKD_NULL, AES_GCM_Mechanism, ECDH1_DERIVE_Mechanism, Mechanism, PyKCS11Error, PyKCS11Lib,
)

MODULE, LABEL, CERTIFICATE, PUBLIC = sys.argv[1:]
MESSAGE = b"a message"
DIGEST = hashlib.sha256(MESSAGE).digest()
P256 = bytes.fromhex("06082a8648ce3d030107")


def find(session, *template):
    found = session.findObjects(template)
    assert len(found) == 1, (template, found)
    return found[0]


def value(session, thing, attribute):
    return bytes(session.getAttributeValue(thing, [attribute])[0])


def der(signature):
    def integer(number):
        number = number.lstrip(b"\0")
        number = b"\0" + number if number[0] & 0x80 else number
        return bytes([2, len(number)]) + number

    both = integer(signature[:32]) + integer(signature[32:])
    return bytes([0x30, len(both)]) + both


def judged_by_openssl(signature):
    with open("signature.der", "wb") as file:
        file.write(der(bytes(signature)))
    with open("message", "wb") as file:
        file.write(MESSAGE)
    subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", PUBLIC, "-signature", "signature.der", "message"], check=True
    )


def sign_and_verify(session):
    private = find(session, (CKA_CLASS, CKO_PRIVATE_KEY), (CKA_LABEL, "dev-key"))
    public = find(session, (CKA_CLASS, CKO_PUBLIC_KEY), (CKA_LABEL, "dev-key"))
    signature = session.sign(private, DIGEST, Mechanism(CKM_ECDSA))
    judged_by_openssl(signature)
    assert session.verify(public, DIGEST, signature, Mechanism(CKM_ECDSA))
    assert not session.verify(public, hashlib.sha256(b"another").digest(), signature, Mechanism(CKM_ECDSA))
    judged_by_openssl(session.sign(private, MESSAGE, Mechanism(CKM_ECDSA_SHA256)))


def generate_and_derive(session):
    pairs = [
        session.generateKeyPair(
            [(CKA_TOKEN, True), (CKA_LABEL, label), (CKA_ID, label.encode()), (CKA_EC_PARAMS, P256), (CKA_VERIFY, True)],
            [(CKA_TOKEN, True), (CKA_LABEL, label), (CKA_ID, label.encode()), (CKA_SIGN, True)],
            mecha=Mechanism(CKM_EC_KEY_PAIR_GEN, None),
        )
        for label in ("one", "two")
    ]
    template = [
        (CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_GENERIC_SECRET), (CKA_TOKEN, False), (CKA_VALUE_LEN, 32),
        (CKA_SENSITIVE, False), (CKA_EXTRACTABLE, True),
    ]
    secrets = []
    for (_, private), (public, _) in (pairs, pairs[::-1]):
        parameter = ECDH1_DERIVE_Mechanism(value(session, public, CKA_EC_POINT), CKD_NULL)
        secrets.append(value(session, session.deriveKey(private, template, parameter), CKA_VALUE))
    assert secrets[0] == secrets[1] and len(secrets[0]) == 32
    for _, private in pairs:
        session.destroyObject(private)
    assert not session.findObjects([(CKA_LABEL, "one")])


def secret_keys(session):
    given = bytes(range(16))
    uses = [(CKA_ENCRYPT, True), (CKA_DECRYPT, True), (CKA_TOKEN, False)]
    key = session.createObject([(CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_AES), (CKA_VALUE, given)] + uses)
    cbc = Mechanism(CKM_AES_CBC_PAD, bytes(16))
    sealed = bytes(session.encrypt(key, MESSAGE, cbc))
    command = ["openssl", "enc", "-aes-128-cbc", "-K", given.hex(), "-iv", "00" * 16]
    assert sealed == subprocess.run(command, input=MESSAGE, check=True, capture_output=True).stdout
    assert bytes(session.decrypt(key, sealed, cbc)) == MESSAGE
    gcm = AES_GCM_Mechanism(bytes(12), b"header", 128)
    sealed = bytes(session.encrypt(key, MESSAGE, gcm))
    assert len(sealed) == len(MESSAGE) + 16 and bytes(session.decrypt(key, sealed, gcm)) == MESSAGE
    try:
        session.decrypt(key, sealed[:-1] + bytes([sealed[-1] ^ 1]), gcm)
    except PyKCS11Error:
        pass
    else:
        raise AssertionError("a damaged text was decrypted")
    generated = session.generateKey([(CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_AES), (CKA_VALUE_LEN, 16)] + uses)
    assert bytes(session.decrypt(generated, session.encrypt(generated, MESSAGE, cbc), cbc)) == MESSAGE
    mac_key = session.createObject(
        [(CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_GENERIC_SECRET), (CKA_VALUE, b"secret"), (CKA_SIGN, True)]
    )
    code = bytes(session.sign(mac_key, MESSAGE, Mechanism(CKM_SHA256_HMAC)))
    assert code == hmac.digest(b"secret", MESSAGE, "sha256")
    assert len(session.generateRandom(33)) == 33


def objects(session):
    with open(CERTIFICATE, "rb") as file:
        expected = file.read()
    assert value(session, find(session, (CKA_CLASS, CKO_CERTIFICATE)), CKA_VALUE) == expected
    data = session.createObject(
        [(CKA_CLASS, CKO_DATA), (CKA_TOKEN, True), (CKA_PRIVATE, False), (CKA_LABEL, "note"), (CKA_APPLICATION, "test"),
         (CKA_VALUE, MESSAGE)]
    )
    assert value(session, find(session, (CKA_LABEL, "note")), CKA_VALUE) == MESSAGE
    session.destroyObject(data)
    assert bytes(session.digest(MESSAGE, Mechanism(CKM_SHA256))) == DIGEST
    assert bytes(session.digest(MESSAGE, Mechanism(CKM_SHA512))) == hashlib.sha512(MESSAGE).digest()


def main():
    library = PyKCS11Lib()
    library.load(MODULE)
    slot = next(slot for slot in library.getSlotList(tokenPresent=True) if library.getTokenInfo(slot).label.strip() == LABEL)
    assert "CKM_ECDSA" in library.getMechanismList(slot)
    for pin in (None, "1234"):
        session = library.openSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION)
        if pin:
            session.login(pin)
        for work in (sign_and_verify, generate_and_derive, secret_keys, objects):
            work(session)
            print(f"{work.__name__}, {'with' if pin else 'without'} a PIN: ok")
        if pin:
            session.logout()
        session.closeSession()


if __name__ == "__main__":
    main()
