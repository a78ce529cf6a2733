# SPDX-License-Identifier: MIT OR Apache-2.0
"""Both zones locked: GenKey, Sign, Verify and ECDH, and their refusals (fact sheet sections 3.5, 3.7, 3.8, 3.19, 3.21
and 5.6)."""

import os

import host
import layout
from driver import CONFIG, DATA, EXECUTION, MISCOMPARE, OK, PARSE, Out, Status, put_to_sleep
from locked import DIGEST_BUFFER, EPHEMERAL, P256, expected_hmac, hmac_with, serial_number, temp_key_state


# --- keys ------------------------------------------------------------------------------------------------------------


def keys_are_generated_where_the_slot_allows(checks, chip, keys):
    for slot in layout.PRIVATE:
        checks.equal(f"GenKey(public) of slot {slot}", chip("atcab_get_pubkey", slot, Out(64)),
                     EXECUTION if slot == layout.REQ_AUTH else keys.public[slot])
    old = keys.public[layout.SIGN_AND_ECDH]
    new = chip("atcab_genkey", layout.SIGN_AND_ECDH, Out(64))
    checks.true("GenKey(create) in slot 0 makes another key", new != old and host.on_curve(new), new)
    checks.equal("GenKey(public) answers the new one", chip("atcab_get_pubkey", layout.SIGN_AND_ECDH, Out(64)), new)
    keys.public[layout.SIGN_AND_ECDH] = new
    digest = os.urandom(32)
    signature = chip("atcab_sign", layout.SIGN_AND_ECDH, digest, Out(64))
    checks.true("the new one signs", host.verifies(new, digest, signature), signature)
    checks.true("the old one is gone", not host.verifies(old, digest, signature))
    checks.equal("GenKey(create) without GenKey in WriteConfig",
                 chip("atcab_genkey", layout.REQ_AUTH, Out(64)), EXECUTION)
    for slot in (layout.IO_KEY, layout.GENERAL, layout.PARENT):
        checks.equal(f"GenKey(create) in slot {slot}, not private", chip("atcab_genkey", slot, Out(64)), EXECUTION)
    for slot, valid in ((layout.SIGN_AND_ECDH, 1), (layout.PARENT, 1), (layout.VALIDATED, 0), (layout.IO_KEY, 0)):
        checks.equal(f"Info(key valid) of slot {slot}",
                     chip("atcab_info_base", 1, slot, Out(4)), bytes([valid, 0, 0, 0]))


def key_digests_are_what_the_host_computes(checks, chip, keys):
    serial = serial_number(chip)
    start, other = os.urandom(32), os.urandom(3)
    chip("atcab_nonce", start)
    checks.equal("GenKey(digest of a stored public key)",
                 chip("atcab_genkey_base", 0x10, layout.PARENT, other, None), OK)
    checks.equal("sets GenKeyData, KeyID 11, SourceFlag kept", temp_key_state(chip), "5b80")
    expected = host.gen_key_digest(host.nonce(host.TempKey(), 3, 0, start), 0x10, layout.PARENT, keys.attest, other,
                                   serial)
    checks.equal("TempKey as atcah_gen_key_msg has it", hmac_with(chip, EPHEMERAL), expected_hmac(expected.bytes()))
    checks.equal("and as the fact sheet has it", expected.bytes(),
                 host.sha256(start, b"\x40", other, serial[8:], serial[:2], bytes(25), keys.attest))
    chip("atcab_nonce", start)
    public = keys.public[layout.ATTEST]
    checks.equal("GenKey(public, digest)", chip("atcab_genkey_base", 0x08, layout.ATTEST, None, Out(64)), public)
    expected = host.gen_key_digest(host.nonce(host.TempKey(), 3, 0, start), 0x08, layout.ATTEST, public, None, serial)
    checks.equal("TempKey as atcah_gen_key_msg has it", hmac_with(chip, EPHEMERAL), expected_hmac(expected.bytes()))
    put_to_sleep(chip)
    checks.equal("GenKey(digest) without TempKey",
                 chip("atcab_genkey_base", 0x10, layout.PARENT, other, None), EXECUTION)


def external_signatures_verify(checks, chip, keys):
    for slot in (layout.SIGN_AND_ECDH, layout.SIGN_ONLY):
        digest = os.urandom(32)
        signature = chip("atcab_sign", slot, digest, Out(64))
        checks.true(f"atcab_sign with slot {slot} verifies in software",
                    host.verifies(keys.public[slot], digest, signature), signature)
    again = chip("atcab_sign", slot, digest, Out(64))
    checks.true("no two signatures of one digest are the same", again != signature, again)
    chip("atcab_nonce", digest)
    signature = chip("atcab_sign_base", 0x80, layout.SIGN_ONLY, Out(64))
    checks.true("Sign takes TempKey", host.verifies(keys.public[layout.SIGN_ONLY], digest, signature), signature)
    checks.equal("and uses it up", chip("atcab_sign_base", 0x80, layout.SIGN_ONLY, Out(64)), EXECUTION)
    chip("atcab_nonce_load", DIGEST_BUFFER, digest, 32)
    signatures = [chip("atcab_sign_base", 0xA0, layout.SIGN_ONLY, Out(64)) for _ in range(2)]
    checks.true("Sign takes the digest buffer, more than once",
                all(host.verifies(keys.public[layout.SIGN_ONLY], digest, s) for s in signatures), tuple(signatures))
    for slot, why in ((layout.ATTEST, "internal only"), (layout.ECDH_TO_SLOT, "ECDH only"),
                      (layout.IO_KEY, "not private"),
                      (layout.PARENT, "a public key"), (layout.REQ_AUTH, "not authorised")):
        checks.equal(f"Sign(external) with slot {slot}: {why}", chip("atcab_sign", slot, digest, Out(64)), EXECUTION)


def internal_signatures_are_of_the_hosts_message(checks, chip, keys):
    serial, config = serial_number(chip), chip("atcab_read_config_zone", Out(128))
    start, other = os.urandom(32), os.urandom(3)
    for slot in (layout.ATTEST, layout.SIGN_AND_ECDH):
        for full_serial in (0, 1):
            chip("atcab_nonce", start)
            chip("atcab_genkey_base", 0x10, layout.PARENT, other, None)
            signature = chip("atcab_sign_internal", slot, 0, full_serial, Out(64))
            temp_key = host.gen_key_digest(host.nonce(host.TempKey(), 3, 0, start), 0x10, layout.PARENT, keys.attest,
                                           other, serial)
            digest, _ = host.sign_internal(temp_key, 0x40 * full_serial, slot, config, serial)
            checks.true(f"Sign(internal{', full serial number' if full_serial else ''}) with slot {slot} is of "
                        "atcah_sign_internal_msg's digest", host.verifies(keys.public[slot], digest, signature),
                        signature)
    checks.equal("and uses TempKey up", chip("atcab_sign_internal", layout.ATTEST, 0, 0, Out(64)), EXECUTION)
    chip("atcab_nonce", start)
    checks.equal("Sign(internal) of a TempKey from Nonce alone",
                 chip("atcab_sign_internal", layout.ATTEST, 0, 0, Out(64)), EXECUTION)
    chip("atcab_nonce", start)
    chip("atcab_genkey_base", 0x10, layout.PARENT, other, None)
    checks.equal("Sign(internal) with a slot for external ones",
                 chip("atcab_sign_internal", layout.SIGN_ONLY, 0, 0, Out(64)), EXECUTION)


def verification_tells_good_from_bad(checks, chip, keys):
    digest = os.urandom(32)
    good = keys.software.sign(digest)
    bad = good[:63] + bytes([good[63] ^ 1])
    public = keys.software.public
    checks.equal("Verify(external), good", chip("atcab_verify_extern", digest, good, public, Out(1)), b"\1")
    checks.equal("Verify(external), another signature", chip("atcab_verify_extern", digest, bad, public, Out(1)), b"\0")
    checks.equal("Verify(external), another key", chip("atcab_verify_extern", digest, good, keys.attest, Out(1)), b"\0")
    checks.equal("Verify(external), zeros", chip("atcab_verify_extern", digest, bytes(64), public, Out(1)), b"\0")
    off_curve = public[:63] + bytes([public[63] ^ 1])
    checks.equal("Verify(external), a key that is no point",
                 chip("atcab_verify_extern", digest, good, off_curve, Out(1)), EXECUTION)
    own = chip("atcab_sign", layout.SIGN_AND_ECDH, digest, Out(64))
    checks.equal("Verify(external) of the chip's own signature",
                 chip("atcab_verify_extern", digest, own, keys.public[0], Out(1)), b"\1")
    chip("atcab_nonce", digest)
    checks.equal("Verify takes TempKey", chip("atcab_verify", 0x02, P256, good, public, None, None), OK)
    checks.equal("and uses it up", chip("atcab_verify", 0x02, P256, good, public, None, None), EXECUTION)
    chip("atcab_nonce_load", DIGEST_BUFFER, digest, 32)
    checks.equal("a mismatch is status 01", chip("atcab_verify", 0x22, P256, bad, public, None, None), MISCOMPARE)
    checks.equal("Verify(stored), a signature by another key",
                 chip("atcab_verify_stored", digest, own, layout.PARENT, Out(1)), b"\0")
    checks.equal("Verify(stored) with a slot of another kind",
                 chip("atcab_verify_stored", digest, good, layout.GENERAL, Out(1)), EXECUTION)
    checks.equal("Verify(stored) with a private key",
                 chip("atcab_verify_stored", digest, good, layout.SIGN_AND_ECDH, Out(1)), EXECUTION)
    checks.equal("Verify(stored) with a key not validated",
                 chip("atcab_verify_stored", digest, good, layout.VALIDATED, Out(1)), EXECUTION)


def stored_keys_verify(checks, chip, keys):
    digest = os.urandom(32)
    other = host.SoftwareKey()
    good = other.sign(digest)
    checks.equal("a public key is written", chip("atcab_write_pubkey", layout.PARENT, other.public), OK)
    checks.equal("and read back", chip("atcab_read_pubkey", layout.PARENT, Out(64)), other.public)
    checks.equal("Verify(stored), good", chip("atcab_verify_stored", digest, good, layout.PARENT, Out(1)), b"\1")
    checks.equal("Verify(stored), another message",
                 chip("atcab_verify_stored", os.urandom(32), good, layout.PARENT, Out(1)), b"\0")
    chip("atcab_nonce", digest)
    checks.equal("Verify(stored) of TempKey",
                 chip("atcab_verify_stored_with_tempkey", good, layout.PARENT, Out(1)), b"\1")
    checks.equal("the parent's key is put back", chip("atcab_write_pubkey", layout.PARENT, keys.attest), OK)


def a_slot_with_req_random_wants_a_random_nonce(checks, chip, keys):
    digest = os.urandom(32)
    good = keys.software.sign(digest)
    checks.equal("Verify(stored) of the digest buffer",
                 chip("atcab_verify_stored", digest, good, layout.REQ_RANDOM, Out(1)), EXECUTION)
    chip("atcab_nonce", digest)
    checks.equal("Verify(stored) of a TempKey from input",
                 chip("atcab_verify_stored_with_tempkey", good, layout.REQ_RANDOM, Out(1)), EXECUTION)
    number = os.urandom(20)
    answer = chip("atcab_nonce_rand", number, Out(32))
    message = host.nonce(host.TempKey(), 0, 0, number, answer).bytes()
    checks.equal("Verify(stored) of a TempKey from random",
                 chip("atcab_verify_stored_with_tempkey", keys.software.sign(message), layout.REQ_RANDOM, Out(1)),
                 b"\1")


def verification_is_answered_with_a_mac(checks, chip, keys):
    digest, number = os.urandom(32), os.urandom(32)
    good, public = keys.software.sign(digest), keys.software.public
    bad = good[:63] + bytes([good[63] ^ 1])
    checks.equal("Verify(external, MAC), the library agrees",
                 chip("atcab_verify_extern_mac", digest, good, public, number, keys.io_key, Out(1)), b"\1")
    checks.equal("with another IO key it does not",
                 chip("atcab_verify_extern_mac", digest, good, public, number, bytes(32), Out(1)), b"\0")
    checks.equal("a wrong signature has no MAC",
                 chip("atcab_verify_extern_mac", digest, bad, public, number, keys.io_key, Out(1)), b"\0")
    chip("atcab_nonce_load", DIGEST_BUFFER, digest + number, 64)
    mac = chip("atcab_verify", 0xA2, P256, good, public, None, Out(32))
    checks.equal("message in the digest buffer: as atcah_verify_mac", mac,
                 host.verify_mac(0xA2, P256, good, keys.io_key, digest_buffer=digest + number))
    checks.equal("and as the fact sheet has it", mac,
                 host.sha256(keys.io_key, digest, number, good, bytes([0x45, 0xA2, P256, 0])))
    chip("atcab_nonce_load", DIGEST_BUFFER, number, 32)
    chip("atcab_nonce", digest)
    checks.equal("message in TempKey: as the fact sheet has it",
                 chip("atcab_verify", 0x82, P256, good, public, None, Out(32)),
                 host.sha256(keys.io_key, digest, number, good, bytes([0x45, 0x82, P256, 0])))
    by_parent = host.SoftwareKey()
    chip("atcab_write_pubkey", layout.PARENT, by_parent.public)
    checks.equal("Verify(stored, MAC), the library agrees",
                 chip("atcab_verify_stored_mac", digest, by_parent.sign(digest), layout.PARENT, number,
                      keys.io_key, Out(1)),
                 b"\1")
    chip("atcab_write_pubkey", layout.PARENT, keys.attest)


def public_keys_are_validated_by_their_parent(checks, chip, keys):
    serial, config = serial_number(chip), chip("atcab_read_config_zone", Out(128))
    slot, public, start, params = layout.VALIDATED, keys.software.public, os.urandom(32), os.urandom(3)
    digest = os.urandom(32)
    good = keys.software.sign(digest)

    def digest_of_the_key():
        chip("atcab_nonce", start)
        chip("atcab_genkey_base", 0x10, slot, params, None)

    def signed(invalidate):
        digest_of_the_key()
        signature = chip("atcab_sign_internal", layout.ATTEST, invalidate, 0, Out(64))
        temp_key = host.gen_key_digest(host.nonce(host.TempKey(), 3, 0, start), 0x10, slot, public, params, serial)
        message, other = host.sign_internal(temp_key, invalidate, layout.ATTEST, config, serial, bool(invalidate))
        checks.true(f"the parent's signature to {'in' * invalidate}validate is of atcah_sign_internal_msg's digest",
                    host.verifies(keys.attest, message, signature), signature)
        digest_of_the_key()
        return signature, other

    checks.equal("before: written, so marked A", validity(chip), 0xA0)
    signature, other = signed(0)
    forged = signature[:63] + bytes([signature[63] ^ 1])
    checks.equal("Verify(validate), forged", chip("atcab_verify_validate", slot, forged, other, Out(1)), b"\0")
    checks.equal("leaves the mark", validity(chip), 0xA0)
    digest_of_the_key()
    checks.equal("Verify(validate)", chip("atcab_verify_validate", slot, signature, other, Out(1)), b"\1")
    checks.equal("marks it 5", validity(chip), 0x50)
    checks.equal("Info(key valid)", chip("atcab_info_base", 1, slot, Out(4)), bytes([1, 0, 0, 0]))
    checks.equal("Verify(stored) now works", chip("atcab_verify_stored", digest, good, slot, Out(1)), b"\1")
    checks.equal("and Write no longer", chip("atcab_write_zone", DATA, slot, 0, 0, bytes(32), 32), EXECUTION)
    signature, other = signed(1)
    checks.equal("Verify(invalidate)", chip("atcab_verify_invalidate", slot, signature, other, Out(1)), b"\1")
    checks.equal("marks it A", validity(chip), 0xA0)
    checks.equal("Verify(stored) is refused", chip("atcab_verify_stored", digest, good, slot, Out(1)), EXECUTION)
    checks.equal("and Write works again", chip("atcab_write_pubkey", slot, public), OK)


def validity(chip):
    return chip("atcab_read_zone", DATA, layout.VALIDATED, 0, 0, Out(4), 4)[0] & 0xF0


# --- ECDH ------------------------------------------------------------------------------------------------------------


def shared_secrets_are_those_of_the_peer(checks, chip, keys):
    peer = host.SoftwareKey()
    slot = layout.SIGN_AND_ECDH
    secret = peer.ecdh(keys.public[slot])
    checks.equal("ECDH, as SlotConfig says: in clear", chip("atcab_ecdh", slot, peer.public, Out(32)), secret)
    checks.equal("ECDH to the output", chip("atcab_ecdh_base", 0x0C, slot, peer.public, Out(32), None), secret)
    checks.equal("ECDH, encrypted, decrypted by the library",
                 chip("atcab_ecdh_ioenc", slot, peer.public, Out(32), keys.io_key), secret)
    wrong = chip("atcab_ecdh_ioenc", slot, peer.public, Out(32), bytes(32))
    checks.true("with another IO key it is not the secret", isinstance(wrong, bytes) and wrong != secret, wrong)
    hidden, nonce = chip("atcab_ecdh_base", 0x0E, slot, peer.public, Out(32), Out(32))
    checks.equal("ECDH, encrypted, decrypted by atcah_io_decrypt", host.io_decrypt(keys.io_key, nonce, hidden), secret)
    stream = host.sha256(keys.io_key, nonce[:16]) + host.sha256(keys.io_key, nonce[16:])
    checks.true("as the fact sheet has it: 16 bytes of nonce for 32 of the secret",
                bytes(a ^ b for a, b in zip(hidden, stream)) == secret, (hidden, nonce))
    _, other_nonce = chip("atcab_ecdh_base", 0x0E, slot, peer.public, Out(32), Out(32))
    checks.true("the nonce is another every time", nonce != other_nonce, nonce)
    checks.equal("ECDH to TempKey", chip("atcab_ecdh_base", 0x08, slot, peer.public, None, None), OK)
    checks.equal("TempKey holds the secret", hmac_with(chip, EPHEMERAL), expected_hmac(secret))
    checks.equal("ECDH of a slot with the result in the next one",
                 chip("atcab_ecdh_base", 0x00, layout.ECDH_TO_SLOT, peer.public, None, None), OK)
    checks.equal("slot 3 holds the secret", hmac_with(chip, layout.ECDH_RESULT),
                 expected_hmac(peer.ecdh(keys.public[layout.ECDH_TO_SLOT])))
    for forbidden, why in ((layout.SIGN_ONLY, "for Sign only"), (layout.IO_KEY, "not private"),
                           (layout.PARENT, "public")):
        checks.equal(f"ECDH with slot {forbidden}: {why}",
                     chip("atcab_ecdh", forbidden, peer.public, Out(32)), EXECUTION)
    status = chip("atcab_ecdh", slot, peer.public[:63] + bytes([peer.public[63] ^ 1]), Out(32))
    checks.true("ECDH with what is no point of the curve is 05 or 0F", status in (Status(-42), EXECUTION), status)


def ephemeral_keys_live_once(checks, chip, keys):
    peer = host.SoftwareKey()
    public = chip("atcab_genkey", EPHEMERAL, Out(64))
    checks.true("GenKey(create) in TempKey answers a point", host.on_curve(public), public)
    checks.equal("ECDH with it", chip("atcab_ecdh_tempkey", peer.public, Out(32)), peer.ecdh(public))
    checks.equal("uses it up", chip("atcab_ecdh_tempkey", peer.public, Out(32)), EXECUTION)
    public = chip("atcab_genkey", EPHEMERAL, Out(64))
    checks.equal("ECDH with it, encrypted",
                 chip("atcab_ecdh_tempkey_ioenc", peer.public, Out(32), keys.io_key), peer.ecdh(public))
    public = chip("atcab_genkey", EPHEMERAL, Out(64))
    checks.equal("ECDH with it, to TempKey", chip("atcab_ecdh_base", 0x09, 0, peer.public, None, None), OK)
    checks.equal("TempKey holds the secret", hmac_with(chip, EPHEMERAL), expected_hmac(peer.ecdh(public)))
    public = chip("atcab_genkey", EPHEMERAL, Out(64))
    checks.equal("ECDH with it, to slot 5",
                 chip("atcab_ecdh_base", 0x05, layout.ECDH_TARGET, peer.public, None, None), OK)
    checks.equal("slot 5 holds the secret", hmac_with(chip, layout.ECDH_TARGET), expected_hmac(peer.ecdh(public)))
    chip("atcab_genkey", EPHEMERAL, Out(64))
    checks.equal("it signs nothing", chip("atcab_sign_base", 0x80, layout.SIGN_ONLY, Out(64)), EXECUTION)
    chip("atcab_nonce", os.urandom(32))
    checks.equal("a nonce is no key for ECDH", chip("atcab_ecdh_tempkey", peer.public, Out(32)), EXECUTION)


# --- counted uses, refused parameters --------------------------------------------------------------------------------


def counter_bytes(chip):
    return chip("atcab_read_bytes_zone", CONFIG, 0, 52, Out(8), 8).hex().upper()


def uses_are_counted_to_the_limit(checks, chip, keys):
    encoded = {1: "7FFFFFFF00000000", 16: "0000FFFF00000000", 17: "00007FFF00000000", 31: "0000000100000000",
               32: "FFFF000000010000"}
    checks.equal("Counter0 is 0 at first", counter_bytes(chip), "FFFFFFFF00000000")
    checks.equal("GenKey(public) is no use",
                 chip("atcab_get_pubkey", layout.LIMITED, Out(64)), keys.public[layout.LIMITED])
    checks.equal("Counter0 is still 0", counter_bytes(chip), "FFFFFFFF00000000")
    verified = 0
    for use in range(1, layout.USES + 1):
        digest = os.urandom(32)
        signature = chip("atcab_sign", layout.LIMITED, digest, Out(64))
        verified += host.verifies(keys.public[layout.LIMITED], digest, signature)
        if use in encoded:
            checks.equal(f"after use {use} Counter0 is encoded as the fact sheet's table",
                         counter_bytes(chip), encoded[use])
    checks.equal("all 32 signatures verify", verified, layout.USES)
    checks.equal("the next use", chip("atcab_sign", layout.LIMITED, bytes(32), Out(64)), EXECUTION)
    checks.equal("is not counted", counter_bytes(chip), encoded[32])


def illegal_parameters_are_parse_errors(checks, chip, keys):
    peer = host.SoftwareKey()
    checks.equal("Info, mode 5", chip("atcab_info_base", 5, 0, Out(4)), PARSE)
    checks.equal("Sign, slot 16", chip("atcab_sign_base", 0x80, 16, Out(64)), PARSE)
    checks.equal("Sign, mode bit 1", chip("atcab_sign_base", 0x82, 0, Out(64)), PARSE)
    checks.equal("GenKey, slot 16", chip("atcab_genkey_base", 0x04, 16, None, Out(64)), PARSE)
    checks.equal("GenKey, mode bit 0", chip("atcab_genkey_base", 0x01, 0, None, Out(64)), PARSE)
    checks.equal("ECDH, slot 16", chip("atcab_ecdh_base", 0x0C, 16, peer.public, Out(32), None), PARSE)
    checks.equal("ECDH, mode bit 4", chip("atcab_ecdh_base", 0x1C, 0, peer.public, Out(32), None), PARSE)
    checks.equal("Lock, zone 3", chip("atcab_lock", 0x83, 0), PARSE)
    checks.equal("Lock, bit 6", chip("atcab_lock", 0xC0, 0), PARSE)
    # A SelfTest's answer looks like a status: the library hands over the byte as the result (section 3.17).
    checks.equal("SelfTest, bit 6", chip("atcab_selftest", 0x40, 0, Out(1)), b"\3")
    checks.equal("SelfTest, bit 7", chip("atcab_selftest", 0x80, 0, Out(1)), b"\3")
    checks.equal("Verify(stored), slot 16", chip("atcab_verify", 0x20, 16, bytes(64), None, None, None), PARSE)
    checks.equal("HMAC, the 508's command", chip("atcab_hmac", 0, layout.IO_KEY, Out(32)), PARSE)


TOPICS = (keys_are_generated_where_the_slot_allows, key_digests_are_what_the_host_computes,
          external_signatures_verify, internal_signatures_are_of_the_hosts_message, verification_tells_good_from_bad,
          stored_keys_verify, a_slot_with_req_random_wants_a_random_nonce, verification_is_answered_with_a_mac,
          public_keys_are_validated_by_their_parent, shared_secrets_are_those_of_the_peer, ephemeral_keys_live_once,
          uses_are_counted_to_the_limit, illegal_parameters_are_parse_errors)
