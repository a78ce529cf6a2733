# SPDX-License-Identifier: MIT OR Apache-2.0
"""The expectations of the vendor's own unit tests on a 608, with the configuration they need (fact sheet: the points
marked [T], sections 3, 5 and 6b). The known answers are those tests'; the rest is compared with the host."""

import os

import host
import host_keys
import vendor_config as slot
from bench import done, fill, write_blocks
from driver import CONFIG, DATA, EXECUTION, OK, PARSE, Out
from locked import EPHEMERAL, expected_hmac, hmac_with, serial_number
from raw import Awake
from shared_secrets import counter

COUNTER_MAX = 2_097_151
ZERO_NUMBER = bytes(20)
KEY = slot.SLOT_4_KEY


def run(checks, bench):
    keys = {}
    with bench.chip() as (chip, server):
        for topic in (counters_are_preset_before_the_lock, the_library_writes_the_whole_configuration):
            checks.run(topic, chip)
        for topic in (keys_are_written_between_the_locks, limited_uses_end_at_the_counter_match,
                      a_key_is_rolled_and_one_is_created, a_private_key_is_written_encrypted,
                      the_latch_opens_a_key, secrets_of_ecdh_go_to_the_next_slot, secrets_of_tempkey,
                      an_internal_signature_of_a_digested_key, a_public_key_is_validated_by_slot_15,
                      a_req_random_free_key_verifies, blocks_and_their_borders):
            checks.run(topic, chip, keys)


def counters_are_preset_before_the_lock(checks, chip):
    for value in (0, COUNTER_MAX // 2, COUNTER_MAX, 0):
        checks.equal(f"atcab_write_config_counter(1, {value})", chip("atcab_write_config_counter", 1, value), OK)
        checks.equal("Counter(read) answers it, before the configuration is locked",
                     counter(chip, "atcab_counter_read", 1), value)


def the_library_writes_the_whole_configuration(checks, chip):
    before = chip("atcab_read_config_zone", Out(128))
    wanted = before[:16] + slot.CONFIG_16_TO_127
    checks.equal("atcab_write_config_zone, UpdateExtra of 00 over 00 included",
                 chip("atcab_write_config_zone", wanted), OK)
    checks.equal("reads back", chip("atcab_read_config_zone", Out(128)), wanted)
    checks.equal("atcab_cmp_config_zone agrees", chip("atcab_cmp_config_zone", wanted, Out(1)), b"\1")
    checks.equal("again", chip("atcab_write_config_zone", wanted), OK)
    for mode, what in ((0, "UserExtra"), (1, "UserExtraAdd")):
        checks.equal(f"UpdateExtra({what}, 0) over 0", chip("atcab_updateextra", mode, 0), OK)
    checks.equal("atcab_lock_config_zone", chip("atcab_lock_config_zone"), OK)
    checks.equal("UpdateExtra(UserExtra) after the lock", chip("atcab_updateextra", 0, 0x5A), OK)
    checks.equal("is byte 84", chip("atcab_read_bytes_zone", CONFIG, 0, 84, Out(2), 2), b"\x5A\0")
    for value in (0x5A, 0x5B, 0):
        checks.equal(f"once only: {value:02X}", chip("atcab_updateextra", 0, value), EXECUTION)
    checks.equal("UpdateExtra(UserExtraAdd) is another byte", chip("atcab_updateextra", 1, 0), OK)
    status = chip("atcab_updateextra", 3, 0)
    checks.equal("UpdateExtra, mode 3", status, PARSE)
    checks.equal("atcab_cmp_config_zone does not look at it", chip("atcab_cmp_config_zone", wanted, Out(1)), b"\1")


def keys_are_written_between_the_locks(checks, chip, keys):
    write_blocks(chip, DATA, slot.KEY, KEY)
    serial, secret, challenge = serial_number(chip), chip("atcab_random", Out(32)), os.urandom(32)
    checks.equal("atcab_write_enc while the data is unlocked",
                 chip("atcab_write_enc", slot.ENCRYPTED, 0, secret, KEY, slot.KEY, ZERO_NUMBER), OK)
    response = host.check_mac(0, slot.ENCRYPTED, challenge, secret, bytes(13), serial)
    checks.equal("CheckMac finds it", chip("atcab_checkmac", 0, slot.ENCRYPTED, challenge, response, bytes(13)), OK)
    checks.equal("PrivWrite in clear", chip("atcab_priv_write", slot.LIMITED, slot.PRIVATE_KEY, 0, None, None), OK)
    checks.equal("GenKey(public) answers the known public key",
                 chip("atcab_get_pubkey", slot.LIMITED, Out(64)), slot.PUBLIC_KEY)
    checks.equal("PrivWrite in clear where only GenKey is configured",
                 chip("atcab_priv_write", slot.SIGN, slot.PRIVATE_KEY, 0, None, None), OK)
    for scalar, what in ((bytes(32), "0"), (b"\xFF" * 32, "a number beyond the order of the curve")):
        checks.equal(f"PrivWrite of {what}",
                     chip("atcab_priv_write", slot.PRIV_WRITE, bytes(4) + scalar, 0, None, None), EXECUTION)
    checks.equal("PrivWrite to a slot that is not private",
                 chip("atcab_priv_write", slot.KEY, slot.PRIVATE_KEY, 0, None, None), EXECUTION)
    for number in (slot.LIMITED, slot.SIGN, slot.PRIV_WRITE):
        keys[number] = chip("atcab_genkey", number, Out(64))
        checks.true(f"GenKey(create) in slot {number}", host.on_curve(keys[number]), keys[number])
    for number, block in ((slot.LIMITED, 0), (slot.LOCKABLE, 3), (slot.ENCRYPTED, 13)):
        checks.true(f"Write(data) to slot {number}, block {block}, is refused",
                    chip("atcab_write_zone", DATA, number, block, 0, bytes(32), 32) in (EXECUTION, PARSE))
    fill(chip, {slot.AES: host_keys.counter_match(32) + bytes(24), slot.LOCKABLE: bytes(72),
                slot.VALIDATED: bytes(72)})
    checks.equal("PrivWrite in clear once the data is locked",
                 chip("atcab_priv_write", slot.PRIV_WRITE, slot.PRIVATE_KEY, 0, None, None), EXECUTION)
    checks.equal("leaves the key that was there",
                 chip("atcab_get_pubkey", slot.PRIV_WRITE, Out(64)), keys[slot.PRIV_WRITE])


def limited_uses_end_at_the_counter_match(checks, chip, keys):
    value = counter(chip, "atcab_counter_read", 0)
    while value % 32 < 31:
        value = counter(chip, "atcab_counter_increment", 0)
    checks.equal("Counter0 is one below the limit", value, 31)
    checks.equal("atcah_encode_counter_match as the fact sheet has it", host_keys.counter_match(64),
                 bytes.fromhex("4000000040000000"))
    message = chip("atcab_random", Out(32))
    public = chip("atcab_genkey", slot.LIMITED, Out(64))
    checks.equal("GenKey is no use", counter(chip, "atcab_counter_read", 0), 31)
    signature = chip("atcab_sign", slot.LIMITED, message, Out(64))
    checks.equal("one signature more verifies", chip("atcab_verify_extern", message, signature, public, Out(1)), b"\1")
    checks.equal("Counter0 has reached the limit", counter(chip, "atcab_counter_read", 0), 32)
    checks.equal("the next one is refused", chip("atcab_sign", slot.LIMITED, message, Out(64)), EXECUTION)
    checks.equal("and not counted", counter(chip, "atcab_counter_read", 0), 32)
    # Other data there is no limit: the vendor's test program signs with the key while that slot holds a certificate, or FF.
    for other, what in ((bytes.fromhex("5000000050000000"), "no multiple of 32"), (b"\xFF" * 8, "FF as the factory left it"),
                        (os.urandom(7) + b"\x01", "the beginning of a certificate")):
        chip("atcab_write_zone", DATA, slot.AES, 0, 0, other + bytes(24), 32)
        signature = chip("atcab_sign", slot.LIMITED, message, Out(64))
        checks.true(f"with {what} in the slot of CountMatch the key signs", host.verifies(public, message, signature),
                    signature)
    checks.equal("and each use is counted", counter(chip, "atcab_counter_read", 0), 35)
    chip("atcab_write_bytes_zone", DATA, slot.AES, 0, host_keys.counter_match(COUNTER_MAX - 31) + bytes(24), 32)
    signature = chip("atcab_sign", slot.LIMITED, message, Out(64))
    checks.true("a higher limit allows it again", host.verifies(public, message, signature), signature)
    keys[slot.LIMITED] = public


def checked(chip, number, key):
    """Whether CheckMac finds this key in the slot."""
    challenge = os.urandom(32)
    response = host.check_mac(0, number, challenge, key, bytes(13), serial_number(chip))
    return chip("atcab_checkmac", 0, number, challenge, response, bytes(13))


def random_temp_key(chip):
    """A random TempKey in the chip, and what the library says that it is."""
    number = os.urandom(20)
    return host.nonce(host.TempKey(), 0, 0, number, chip("atcab_nonce_rand", number, Out(32)))


def fixed_temp_key(chip):
    value = os.urandom(32)
    done(chip("atcab_nonce", value), "load TempKey")
    return host.nonce(host.TempKey(), 3, 0, value)


def a_key_is_rolled_and_one_is_created(checks, chip, keys):
    serial, parent = serial_number(chip), os.urandom(32)
    chip("atcab_write_enc", slot.ROLLED, 0, parent, KEY, slot.KEY, ZERO_NUMBER)
    temp_key = random_temp_key(chip)
    value = temp_key.bytes()
    rolled = host_keys.derived_key(0, slot.ROLLED, parent, temp_key, serial)
    checks.equal("DeriveKey rolls slot 9", chip("atcab_derivekey", 0, slot.ROLLED, None), OK)
    checks.equal("as atcah_derive_key has it: CheckMac finds the key", checked(chip, slot.ROLLED, rolled), OK)
    checks.equal("and as the fact sheet has it", rolled, host.sha256(
        parent, bytes([0x1C, 0, slot.ROLLED, 0]), serial[8:], serial[:2], bytes(25), value))
    checks.equal("DeriveKey uses TempKey up", chip("atcab_derivekey", 0, slot.ROLLED, None), EXECUTION)
    temp_key = fixed_temp_key(chip)
    again = host_keys.derived_key(4, slot.ROLLED, rolled, temp_key, serial)
    checks.equal("DeriveKey rolls it with a nonce from input", chip("atcab_derivekey", 4, slot.ROLLED, None), OK)
    checks.equal("as atcah_derive_key has it", checked(chip, slot.ROLLED, again), OK)
    fixed_temp_key(chip)
    checks.equal("DeriveKey with the wrong SourceFlag", chip("atcab_derivekey", 0, slot.ROLLED, None), EXECUTION)
    checks.equal("leaves the key", checked(chip, slot.ROLLED, again), OK)
    temp_key = random_temp_key(chip)
    mac = host_keys.derive_key_mac(0, slot.DERIVED, KEY, serial)
    checks.equal("the MAC of DeriveKey as the fact sheet has it", mac, host.sha256(
        KEY, bytes([0x1C, 0, slot.DERIVED, 0]), serial[8:], serial[:2]))
    created = host_keys.derived_key(0, slot.DERIVED, KEY, temp_key, serial)
    checks.equal("DeriveKey creates slot 3 from slot 4", chip("atcab_derivekey", 0, slot.DERIVED, mac), OK)
    checks.equal("as atcah_derive_key has it: CheckMac finds the key", checked(chip, slot.DERIVED, created), OK)
    random_temp_key(chip)
    checks.equal("DeriveKey without the MAC", chip("atcab_derivekey", 0, slot.DERIVED, None), EXECUTION)
    random_temp_key(chip)
    wrong = mac[:31] + bytes([mac[31] ^ 1])
    refused = chip("atcab_derivekey", 0, slot.DERIVED, wrong)
    checks.true("DeriveKey with a wrong MAC is 01 (or 0F)", refused in (-47, EXECUTION), refused)
    checks.equal("neither changes the key", checked(chip, slot.DERIVED, created), OK)
    random_temp_key(chip)
    mac = host_keys.derive_key_mac(0, slot.ROLLED, again, serial)
    checks.equal("DeriveKey with a MAC where none is asked for is checked too",
                 chip("atcab_derivekey", 0, slot.ROLLED, mac), OK)
    for number, why in ((slot.KEY, "not configured for it"), (slot.SIGN, "private"), (slot.AES, "not configured")):
        random_temp_key(chip)
        checks.equal(f"DeriveKey to slot {number}: {why}", chip("atcab_derivekey", 0, number, None), EXECUTION)


def a_private_key_is_written_encrypted(checks, chip, keys):
    number = os.urandom(20)
    checks.equal("PrivWrite with the write key of slot 4",
                 chip("atcab_priv_write", slot.PRIV_WRITE, slot.PRIVATE_KEY, slot.KEY, KEY, number), OK)
    checks.equal("GenKey(public) answers the known public key",
                 chip("atcab_get_pubkey", slot.PRIV_WRITE, Out(64)), slot.PUBLIC_KEY)
    digest = os.urandom(32)
    checks.true("it signs",
                host.verifies(slot.PUBLIC_KEY, digest, chip("atcab_sign", slot.PRIV_WRITE, digest, Out(64))))
    elsewhere = chip("atcab_read_zone", DATA, slot.AES, 0, 0, Out(32), 32)
    other = bytes(4) + host.SoftwareKey().key.private_numbers().private_value.to_bytes(32, "big")
    for what, arguments in (
            ("another write key than the chip's", (slot.PRIV_WRITE, other, slot.KEY, bytes(32), number)),
            ("the key of a slot that is not WriteKey", (slot.PRIV_WRITE, other, slot.AES, elsewhere, number)),
            ("a slot without PrivWrite in WriteConfig", (slot.SIGN, other, slot.KEY, KEY, number)),
            ("a slot that is not private", (slot.ENCRYPTED, other, slot.KEY, KEY, number))):
        checks.equal(f"PrivWrite with {what}", chip("atcab_priv_write", *arguments), EXECUTION)
    checks.equal("none of them changes the key", chip("atcab_get_pubkey", slot.PRIV_WRITE, Out(64)), slot.PUBLIC_KEY)


def the_latch_opens_a_key(checks, chip, keys):
    serial, aes = serial_number(chip), os.urandom(32)
    plain = bytes(range(16))
    checks.equal("the latch is open", chip("atcab_info_get_latch", Out(1)), b"\0")
    chip("atcab_write_bytes_zone", DATA, slot.AES_LATCHED, 0, aes, 32)
    checks.equal("AES with slot 5", chip("atcab_aes_encrypt", slot.AES_LATCHED, 0, plain, Out(16)), EXECUTION)
    checks.equal("Info(latch) without CheckMac", chip("atcab_info_set_latch", 1), EXECUTION)
    checks.equal("CheckMac without a random nonce", checked(chip, slot.KEY, KEY), OK)
    checks.equal("does not authorise", chip("atcab_info_set_latch", 1), EXECUTION)
    other = bytes(range(0xF0, 0xFD))
    response = host.check_mac(1, slot.KEY, None, KEY, other, serial, temp_key=random_temp_key(chip))
    checks.equal("CheckMac with slot 4 and a random nonce",
                 chip("atcab_checkmac", 1, slot.KEY, None, response, other), OK)
    checks.equal("Info(state) names slot 4 as authorised", chip("atcab_info_base", 2, 0, Out(4))[1] & 0x7F, 0x24)
    checks.equal("Info(latch) closes it, though the library was idle in between", chip("atcab_info_set_latch", 1), OK)
    checks.equal("and it is closed", chip("atcab_info_get_latch", Out(1)), b"\1")
    checks.equal("AES with slot 5 works", chip("atcab_aes_encrypt", slot.AES_LATCHED, 0, plain, Out(16)),
                 host.aes_encrypt(aes[:16], plain))
    chip("atcab_wakeup")
    chip("atcab_sleep")
    checks.equal("it is still closed after sleep", chip("atcab_info_get_latch", Out(1)), b"\1")
    keys["aes"] = aes


def secrets_of_ecdh_go_to_the_next_slot(checks, chip, keys):
    peer = host.SoftwareKey()
    alice = chip("atcab_genkey", slot.LIMITED, Out(64))
    secret = peer.ecdh(alice)
    checks.equal("ECDH with slot 0 answers a status only", chip("atcab_ecdh", slot.LIMITED, peer.public, None), OK)
    checks.equal("slot 1 is read encrypted: the secret",
                 chip("atcab_read_enc", slot.ECDH_RESULT, 0, Out(32), KEY, slot.KEY, ZERO_NUMBER), secret)
    checks.equal("atcab_ecdh_enc does both", chip("atcab_ecdh_enc", slot.LIMITED, peer.public, Out(32), KEY, slot.KEY,
                                                 ZERO_NUMBER), secret)
    bob = chip("atcab_genkey", slot.SIGN, Out(64))
    checks.equal("ECDH with slot 2 answers in clear", chip("atcab_ecdh", slot.SIGN, peer.public, Out(32)),
                 peer.ecdh(bob))


def secrets_of_tempkey(checks, chip, keys):
    alice = chip("atcab_genkey", EPHEMERAL, Out(64))
    bob = chip("atcab_genkey", slot.SIGN, Out(64))
    secret = chip("atcab_ecdh_tempkey", bob, Out(32))
    checks.true("ECDH with TempKey and with slot 2 agree",
                secret == chip("atcab_ecdh_ioenc", slot.SIGN, alice, Out(32), KEY), secret)


def an_internal_signature_of_a_digested_key(checks, chip, keys):
    serial, config = serial_number(chip), chip("atcab_read_config_zone", Out(128))
    public = chip("atcab_genkey", slot.LIMITED, Out(64))
    temp_key = random_temp_key(chip)
    checks.equal("GenDig(slot 4) without OtherData", chip("atcab_gendig", DATA, slot.KEY, None, 0), OK)
    host.gen_dig(temp_key, DATA, slot.KEY, KEY, serial)
    signature = chip("atcab_sign_internal", slot.LIMITED, 0, 1, Out(64))
    message, _ = host.sign_internal(temp_key, 0x40, slot.LIMITED, config, serial)
    checks.equal("Sign(internal) is of atcah_sign_internal_msg's digest: the chip verifies it",
                 chip("atcab_verify_extern", message, signature, public, Out(1)), b"\1")


def a_public_key_is_validated_by_slot_15(checks, chip, keys):
    serial, config = serial_number(chip), chip("atcab_read_config_zone", Out(128))
    parent = chip("atcab_genkey", slot.SIGN, Out(64))
    key, digest = host.SoftwareKey(), os.urandom(32)
    checks.equal("the parent's key is written to slot 15", chip("atcab_write_pubkey", slot.PARENT, parent), OK)
    checks.equal("the key to slot 14", chip("atcab_write_pubkey", slot.VALIDATED, key.public), OK)
    good = key.sign(digest)
    checks.equal("before: Verify(stored)", chip("atcab_verify_stored", digest, good, slot.VALIDATED, Out(1)), EXECUTION)
    for invalidate, function, after in ((0, "atcab_verify_validate", 0x50), (1, "atcab_verify_invalidate", 0xA0)):
        nonce = os.urandom(32)

        def digest_of_the_key():
            chip("atcab_nonce", nonce)
            chip("atcab_genkey_base", 0x10, slot.VALIDATED, bytes(3), None)

        digest_of_the_key()
        signature = chip("atcab_sign_internal", slot.SIGN, invalidate, 0, Out(64))
        temp_key = host.gen_key_digest(host.nonce(host.TempKey(), 3, 0, nonce), 0x10, slot.VALIDATED, key.public,
                                       bytes(3), serial)
        _, other = host.sign_internal(temp_key, invalidate, slot.SIGN, config, serial, bool(invalidate))
        digest_of_the_key()
        checks.equal(function, chip(function, slot.VALIDATED, signature, other, Out(1)), b"\1")
        checks.equal("marks the slot", chip("atcab_read_zone", DATA, slot.VALIDATED, 0, 0, Out(4), 4)[0], after)
        wanted = EXECUTION if invalidate else b"\1"
        checks.equal("Verify(stored)", chip("atcab_verify_stored", digest, good, slot.VALIDATED, Out(1)), wanted)


def a_req_random_free_key_verifies(checks, chip, keys):
    key, digest, number = host.SoftwareKey(), os.urandom(32), os.urandom(32)
    good, bad = key.sign(digest), key.sign(os.urandom(32))
    chip("atcab_write_pubkey", slot.PARENT, key.public)
    for signature, answer in ((good, b"\1"), (bad, b"\0")):
        checks.equal("Verify(stored)", chip("atcab_verify_stored", digest, signature, slot.PARENT, Out(1)), answer)
        checks.equal("Verify(stored, MAC)", chip("atcab_verify_stored_mac", digest, signature, slot.PARENT, number, KEY,
                                                Out(1)), answer)
        checks.equal("Verify(external, MAC)", chip("atcab_verify_extern_mac", digest, signature, key.public, number,
                                                  KEY, Out(1)), answer)
    fixed = os.urandom(32)
    chip("atcab_nonce", fixed)
    signed = chip("atcab_sign", slot.SIGN, digest, Out(64))
    checks.true("Sign of the digest buffer", isinstance(signed, bytes), signed)
    checks.equal("leaves TempKey alone", hmac_with(chip, EPHEMERAL), expected_hmac(fixed))


def blocks_and_their_borders(checks, chip, keys):
    new = os.urandom(32)
    checks.equal("a 32-byte write with block 2, word 1 succeeds",
                 chip("atcab_write_zone", DATA, slot.LOCKABLE, 2, 1, new, 32), OK)
    checks.equal("its first 8 bytes are kept", chip("atcab_read_zone", DATA, slot.LOCKABLE, 2, 0, Out(32), 32)[:8],
                 new[:8])
    for number, block in ((slot.LOCKABLE, 3), (slot.ENCRYPTED, 13), (slot.KEY, 2)):
        status = chip("atcab_write_zone", DATA, number, block, 0, new, 32)
        checks.true(f"slot {number} has no block {block}", status in (EXECUTION, PARSE), status)
    written = os.urandom(416)
    for block in range(13):
        done(chip("atcab_write_enc", slot.ENCRYPTED, block, written[32 * block:32 * block + 32], KEY, slot.KEY,
                  ZERO_NUMBER), f"write block {block} encrypted")
    read = [chip("atcab_read_enc", slot.ENCRYPTED, block, Out(32), KEY, slot.KEY, ZERO_NUMBER) for block in range(13)]
    checks.equal("slot 8, 13 blocks written and read encrypted", b"".join(read), written)
    checks.equal("slot 8 in clear", chip("atcab_read_zone", DATA, slot.ENCRYPTED, 0, 0, Out(32), 32), EXECUTION)
    checks.equal("Lock(slot 13)", chip("atcab_lock_data_slot", slot.LOCKABLE), OK)
    checks.equal("Write to it", chip("atcab_write_zone", DATA, slot.LOCKABLE, 0, 0, new, 32), EXECUTION)
    with Awake(chip) as bus:  # The library does not send it.
        checks.equal("Counter 3", bus(0x24, 1, 3), b"\3")
