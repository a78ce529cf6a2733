# SPDX-License-Identifier: MIT OR Apache-2.0
"""python-pkcs11's operations on the token: MODULE TOKEN-LABEL CERTIFICATE.der PUBLIC-KEY.pem"""

import hashlib
import hmac
import subprocess
import sys

import pkcs11
from pkcs11 import KDF, Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import decode_ec_public_key, encode_ec_public_key, encode_ecdsa_signature, encode_named_curve_parameters

MODULE, LABEL, CERTIFICATE, PUBLIC = sys.argv[1:]
MESSAGE = b"a message"
DIGEST = hashlib.sha256(MESSAGE).digest()


def judged_by_openssl(signature):
    with open("signature.der", "wb") as file:
        file.write(encode_ecdsa_signature(signature))
    with open("message", "wb") as file:
        file.write(MESSAGE)
    subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", PUBLIC, "-signature", "signature.der", "message"], check=True
    )


def refused(error, call):
    try:
        call()
    except error:
        return
    raise AssertionError(f"not refused with {error.__name__}")


def sign_and_verify(session):
    private = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label="dev-key")
    public = session.get_key(object_class=ObjectClass.PUBLIC_KEY, label="dev-key")
    assert private[Attribute.KEY_TYPE] == public[Attribute.KEY_TYPE] == KeyType.EC
    signature = private.sign(DIGEST, mechanism=Mechanism.ECDSA)
    judged_by_openssl(signature)
    assert public.verify(DIGEST, signature, mechanism=Mechanism.ECDSA)
    assert not public.verify(hashlib.sha256(b"another").digest(), signature, mechanism=Mechanism.ECDSA)
    judged_by_openssl(private.sign(MESSAGE, mechanism=Mechanism.ECDSA_SHA256))
    # In parts.
    judged_by_openssl(private.sign((MESSAGE[:4], MESSAGE[4:]), mechanism=Mechanism.ECDSA_SHA256))
    # The public key as others read it, and back as a session's object.
    exported = encode_ec_public_key(public)
    copy = session.create_object(decode_ec_public_key(exported, encode_ec_point=True) | {Attribute.VERIFY: True})
    assert copy.verify(DIGEST, signature, mechanism=Mechanism.ECDSA)


def generate_and_derive(session):
    parameters = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
    )
    one = parameters.generate_keypair(store=True, label="one")
    two = parameters.generate_keypair(store=True, label="two")
    secrets = [
        private.derive_key(
            KeyType.GENERIC_SECRET,
            256,
            mechanism_param=(KDF.NULL, None, public[Attribute.EC_POINT]),
            template={Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True},
        )[Attribute.VALUE]
        for private, public in ((one[1], two[0]), (two[1], one[0]))
    ]
    assert secrets[0] == secrets[1] and len(secrets[0]) == 32
    key = one[1].derive_key(KeyType.AES, 128, mechanism_param=(KDF.SHA256, None, two[0][Attribute.EC_POINT]))
    assert key.decrypt(key.encrypt(MESSAGE, mechanism_param=bytes(16)), mechanism_param=bytes(16)) == MESSAGE
    for private in (one[1], two[1]):
        private.destroy()
    refused(pkcs11.NoSuchKey, lambda: session.get_key(label="one"))


def secret_keys(session):
    key = session.generate_key(KeyType.AES, 128)
    iv = session.generate_random(128)
    assert len(iv) == 16 and iv != session.generate_random(128)
    sealed = key.encrypt(MESSAGE, mechanism_param=iv)
    assert sealed != MESSAGE and key.decrypt(sealed, mechanism_param=iv) == MESSAGE
    value = bytes(range(16))
    known = session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.AES,
            Attribute.VALUE: value,
            Attribute.ENCRYPT: True,
            Attribute.EXTRACTABLE: True,
            Attribute.SENSITIVE: False,
        }
    )
    command = ["openssl", "enc", "-aes-128-cbc", "-K", value.hex(), "-iv", iv.hex()]
    expected = subprocess.run(command, input=MESSAGE, check=True, capture_output=True).stdout
    assert known.encrypt(MESSAGE, mechanism_param=iv) == expected
    mac_key = session.create_object(
        {
            Attribute.CLASS: ObjectClass.SECRET_KEY,
            Attribute.KEY_TYPE: KeyType.GENERIC_SECRET,
            Attribute.VALUE: b"secret",
            Attribute.SIGN: True,
            Attribute.VERIFY: True,
        }
    )
    code = mac_key.sign(MESSAGE, mechanism=Mechanism.SHA256_HMAC)
    assert code == hmac.digest(b"secret", MESSAGE, "sha256")
    assert mac_key.verify(MESSAGE, code, mechanism=Mechanism.SHA256_HMAC)


def objects(session):
    with open(CERTIFICATE, "rb") as file:
        expected = file.read()
    certificates = list(session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE}))
    assert [certificate[Attribute.VALUE] for certificate in certificates] == [expected]
    data = session.create_object(
        {Attribute.CLASS: ObjectClass.DATA, Attribute.TOKEN: True, Attribute.LABEL: "note", Attribute.VALUE: MESSAGE}
    )
    assert [found[Attribute.VALUE] for found in session.get_objects({Attribute.LABEL: "note"})] == [MESSAGE]
    data.destroy()
    assert not list(session.get_objects({Attribute.LABEL: "note"}))
    for name, mechanism in (("sha1", Mechanism.SHA_1), ("sha256", Mechanism.SHA256), ("sha512", Mechanism.SHA512)):
        assert session.digest(MESSAGE, mechanism=mechanism) == hashlib.new(name, MESSAGE).digest()
        assert session.digest((MESSAGE[:1], MESSAGE[1:]), mechanism=mechanism) == hashlib.new(name, MESSAGE).digest()


def main():
    token = pkcs11.lib(MODULE).get_token(token_label=LABEL)
    assert Mechanism.ECDSA in token.slot.get_mechanisms()
    for pin in (None, "1234"):
        with token.open(user_pin=pin, rw=True) as session:
            for work in (sign_and_verify, generate_and_derive, secret_keys, objects):
                work(session)
                print(f"{work.__name__}, {'with' if pin else 'without'} a PIN: ok")


if __name__ == "__main__":
    main()
