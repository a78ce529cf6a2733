# SPDX-License-Identifier: MIT OR Apache-2.0
"""Keys that require an authorisation, keys that CheckMac copies, keys with counted uses, keys that roll with a MAC
(fact sheet sections 3.0, 3.2, 3.4, 3.6, 3.11, 5.2 to 5.4, 5.6 and 11)."""

import os

import host
import host_keys
from bench import configure, done, fill, slots
from driver import DATA, EXECUTION, MISCOMPARE, OK, Out, put_to_sleep
from locked import EPHEMERAL, expected_hmac, hmac_with, serial_number, temp_key_state
from raw import Awake
from shared_secrets import counter
from vendor_tests import checked, fixed_temp_key, random_temp_key

SIGNER = 0  # private, with the authorisation of AUTHORITY
SECRET = 1  # secret, with the authorisation of AUTHORITY
PASSWORD, COPIED = 2, 3  # CheckMac with PASSWORD copies COPIED (ReadKey 0)
AUTHORITY = 4  # NoMac
COUNTED = 5  # secret, each use counted
PARENT = 6  # secret, parent of CREATED; IO protection
ROLLED_WITH_MAC = 7  # rolls, MAC wanted
CREATED = 9  # created from PARENT, without MAC
LIMIT = 10
NO_MAC_ROLLED = 12  # NoMac, configured to roll
REQ_RANDOM = 13  # secret, ReqRandom
CREATED_OR_WRITTEN = 14  # created from PARENT with MAC, or written encrypted with it
UNLOCKABLE = 15

POLICIES = {SIGNER: (0x6487, 0x04B3), SECRET: (0x0F8F, 0x049C), PASSWORD: (0x8F9F, 0x001C), COPIED: (0x8F80, 0x001C),
            AUTHORITY: (0x8F9F, 0x001C), COUNTED: (0x8FAF, 0x001C), PARENT: (0x8F8F, 0x001C),
            ROLLED_WITH_MAC: (0xAF8F, 0x001C), CREATED: (0x368F, 0x001C), LIMIT: (0x8F0F, 0x001C),
            NO_MAC_ROLLED: (0x2F9F, 0x001C), REQ_RANDOM: (0x8F8F, 0x005C), CREATED_OR_WRITTEN: (0xF68F, 0x001C)}
SYMMETRIC = (SECRET, PASSWORD, COPIED, AUTHORITY, COUNTED, PARENT, ROLLED_WITH_MAC, CREATED, NO_MAC_ROLLED, REQ_RANDOM,
             CREATED_OR_WRITTEN)


def run(checks, bench):
    keys = {slot: os.urandom(32) for slot in SYMMETRIC}
    with bench.chip() as (chip, server):
        # CountMatch in slot 10; latch authorised by slot 4; IO protection with slot 6.
        configure(chip, {**slots(POLICIES), 18: b"\xA1", 69: b"\x84", 90: b"\x06\x60"})
        keys[SIGNER] = chip("atcab_genkey", SIGNER, Out(64))
        fill(chip, {**{slot: keys[slot] for slot in SYMMETRIC}, LIMIT: host_keys.counter_match(32)})
        for topic in (nothing_works_without_the_authorisation, the_authorisation_opens_the_keys,
                      what_ends_the_authorisation, the_latch_is_set_and_cleared, a_key_is_copied_by_its_password,
                      macs_need_their_nonce, uses_of_a_secret_are_counted, keys_are_derived_as_their_slots_say,
                      sealed_writes_are_those_of_the_host):
            checks.run(topic, chip, keys)


def authorise(chip, keys, slot=AUTHORITY, temp_key=None):
    temp_key = temp_key or random_temp_key(chip)
    mode = 5 if temp_key.flags & 0x10 else 1
    response = host.check_mac(mode, slot, None, keys[slot], bytes(13), serial_number(chip), temp_key=temp_key)
    return chip("atcab_checkmac", mode, slot, None, response, bytes(13))


def uses(chip, keys):
    """The uses of the keys with ReqAuth: names, functions, and their checks."""
    digest, challenge, peer = os.urandom(32), os.urandom(32), host.SoftwareKey()
    serial = serial_number(chip)
    return (("GenKey(public)", lambda: chip("atcab_get_pubkey", SIGNER, Out(64)), lambda got: got == keys[SIGNER]),
            ("Sign(external)", lambda: chip("atcab_sign", SIGNER, digest, Out(64)),
             lambda got: host.verifies(keys[SIGNER], digest, got)),
            ("ECDH", lambda: chip("atcab_ecdh", SIGNER, peer.public, Out(32)),
             lambda got: got == peer.ecdh(keys[SIGNER])),
            ("HMAC", lambda: hmac_with(chip, SECRET), lambda got: got == expected_hmac(keys[SECRET])),
            ("MAC", lambda: chip("atcab_mac", 0, SECRET, challenge, Out(32)),
             lambda got: got == host.mac(0, SECRET, challenge, keys[SECRET], serial)))


def nothing_works_without_the_authorisation(checks, chip, keys):
    for what, use, _ in uses(chip, keys):
        checks.equal(what, use(), EXECUTION)
    checks.equal("GenKey(create)", chip("atcab_genkey", SIGNER, Out(64)), EXECUTION)
    checks.equal("Write", chip("atcab_write_zone", DATA, SECRET, 0, 0, bytes(32), 32), EXECUTION)
    random_temp_key(chip)
    checks.equal("GenDig", chip("atcab_gendig", DATA, SECRET, bytes(4), 4), EXECUTION)
    checks.equal("PrivWrite",
                 chip("atcab_priv_write", SIGNER, bytes(35) + b"\1", AUTHORITY, keys[AUTHORITY], bytes(20)),
                 EXECUTION)


def the_authorisation_opens_the_keys(checks, chip, keys):
    checks.equal("CheckMac with the authority's key and a random nonce", authorise(chip, keys), OK)
    checks.equal("Info(state) names it", chip("atcab_info_base", 2, 0, Out(4))[1] & 0x7F, AUTHORITY << 3 | 4)
    for what, use, good in uses(chip, keys):
        got = use()
        checks.true(f"{what} works", good(got), got)
    new = os.urandom(32)
    checks.equal("Write works", chip("atcab_write_zone", DATA, SECRET, 0, 0, new, 32), OK)
    keys[SECRET] = new
    checks.equal("the slot holds it", hmac_with(chip, SECRET), expected_hmac(new))
    public = chip("atcab_genkey", SIGNER, Out(64))
    checks.true("GenKey(create) works", host.on_curve(public) and public != keys[SIGNER], public)
    keys[SIGNER] = public


def what_ends_the_authorisation(checks, chip, keys):
    def wrong_answer():
        chip("atcab_checkmac", 0, AUTHORITY, bytes(32), bytes(32), bytes(13))

    for what, end in (("sleep", lambda: put_to_sleep(chip)), ("a new nonce", lambda: random_temp_key(chip)),
                      ("a wrong answer to CheckMac", wrong_answer)):
        authorise(chip, keys)
        checks.equal("authorised", hmac_with(chip, SECRET), expected_hmac(keys[SECRET]))
        end()
        checks.equal(f"{what} ends it", hmac_with(chip, SECRET), EXECUTION)
    temp_key = fixed_temp_key(chip)
    checks.equal("CheckMac with a nonce from input matches", authorise(chip, keys, temp_key=temp_key), OK)
    checks.equal("but authorises nothing", hmac_with(chip, SECRET), EXECUTION)
    checks.equal("CheckMac with another slot's key matches", authorise(chip, keys, PARENT), OK)
    checks.equal("but authorises nothing here", hmac_with(chip, SECRET), EXECUTION)
    response = host.check_mac(1, AUTHORITY, None, keys[AUTHORITY], bytes(13), serial_number(chip),
                              temp_key=random_temp_key(chip))
    random_temp_key(chip)
    checks.equal("an old answer under a new nonce", chip("atcab_checkmac", 1, AUTHORITY, None, response, bytes(13)),
                 MISCOMPARE)
    checks.equal("authorises nothing", hmac_with(chip, SECRET), EXECUTION)


def the_latch_is_set_and_cleared(checks, chip, keys):
    checks.equal("without authorisation it is not set", chip("atcab_info_set_latch", 1), EXECUTION)
    authorise(chip, keys, PARENT)
    checks.equal("nor with that of another slot", chip("atcab_info_set_latch", 1), EXECUTION)
    authorise(chip, keys)
    checks.equal("with that of slot 4 it is", chip("atcab_info_set_latch", 1), OK)
    checks.equal("the library reads it", chip("atcab_info_get_latch", Out(1)), b"\1")
    authorise(chip, keys)
    checks.equal("and cleared", chip("atcab_info_set_latch", 0), OK)
    checks.equal("the library reads it", chip("atcab_info_get_latch", Out(1)), b"\0")


def a_key_is_copied_by_its_password(checks, chip, keys):
    checks.equal("CheckMac with the password", authorise(chip, keys, PASSWORD), OK)
    checks.equal("idle takes the copy away (strict)", temp_key_state(chip)[2:], "14")
    serial, number = serial_number(chip), os.urandom(20)
    with Awake(chip) as bus:
        answer = bus(0x16, 0, 0, number)
        temp_key = host.nonce(host.TempKey(), 0, 0, number, answer)
        response = host.check_mac(1, PASSWORD, None, keys[PASSWORD], bytes(13), serial, temp_key=temp_key,
                                  target=keys[COPIED])
        checks.equal("CheckMac in one go", bus(0x28, 1, PASSWORD, bytes(32) + response + bytes(13)), b"\0")
        checks.equal("TempKey is valid and from input", bus(0x30, 2, 0)[:2].hex(), "1094")
        checks.equal("as atcah_check_mac has it", (temp_key.flags & 0x30, temp_key.valid & 1), (0x10, 1))
        said = host.mac(5, PARENT, None, keys[PARENT], serial, temp_key)
        checks.equal("MAC with it is atcah_mac's: the copied key", bus(0x08, 5, PARENT), said)
        bus(0x16, 0, 0, number)
        bus(0x28, 1, PASSWORD, bytes(32 + 32 + 13))
        checks.equal("a wrong password copies nothing", bus(0x30, 2, 0)[1] & 0x80, 0)
    checks.equal("the copied secret itself is not read",
                 chip("atcab_read_zone", DATA, COPIED, 0, 0, Out(32), 32), EXECUTION)


def macs_need_their_nonce(checks, chip, keys):
    serial, challenge = serial_number(chip), os.urandom(32)
    checks.equal("MAC with a NoMac key", chip("atcab_mac", 0, AUTHORITY, challenge, Out(32)), EXECUTION)
    checks.equal("HMAC with it", hmac_with(chip, AUTHORITY), EXECUTION)
    for what, temp_key, mode in (("from random", random_temp_key, 1), ("from input", fixed_temp_key, 5)):
        allowed = mode == 1
        begun = temp_key(chip)
        answer = chip("atcab_mac", mode, REQ_RANDOM, None, Out(32))
        wanted = host.mac(mode, REQ_RANDOM, None, keys[REQ_RANDOM], serial, begun) if allowed else EXECUTION
        checks.equal(f"MAC with a ReqRandom key of a TempKey {what}", answer, wanted)
        begun = temp_key(chip)
        checks.equal("MAC of a challenge with it (strict)", chip("atcab_mac", 0, REQ_RANDOM, challenge, Out(32)),
                     EXECUTION)
        begun = temp_key(chip)
        answer = chip("atcab_gendig", DATA, REQ_RANDOM, bytes(4), 4)
        checks.equal(f"GenDig with it, TempKey {what}", answer, OK if allowed else EXECUTION)
        if allowed:
            host.gen_dig(begun, DATA, REQ_RANDOM, keys[REQ_RANDOM], serial, other_data=bytes(4))
            checks.equal("as atcah_gen_dig has it", hmac_with(chip, EPHEMERAL), expected_hmac(begun.bytes()))
    other = os.urandom(4)
    begun = random_temp_key(chip)
    checks.equal("GenDig with a NoMac key", chip("atcab_gendig", DATA, AUTHORITY, other, 4), OK)
    checks.equal("marks TempKey", temp_key_state(chip), "a480")
    host.gen_dig(begun, DATA, AUTHORITY, keys[AUTHORITY], serial, other_data=other, is_key_nomac=True)
    checks.equal("and digests the caller's bytes, as atcah_gen_dig has it", hmac_with(chip, EPHEMERAL),
                 expected_hmac(begun.bytes()))
    checks.equal("MAC with such a TempKey", chip("atcab_mac", 1, PARENT, None, Out(32)), EXECUTION)


def uses_of_a_secret_are_counted(checks, chip, keys):
    serial, challenge = serial_number(chip), os.urandom(32)
    wanted = host.mac(0, COUNTED, challenge, keys[COUNTED], serial)
    right = host.check_mac(0, COUNTED, challenge, keys[COUNTED], bytes(13), serial)
    steps = (("MAC", lambda: chip("atcab_mac", 0, COUNTED, challenge, Out(32)), wanted, 1),
             ("HMAC", lambda: hmac_with(chip, COUNTED), expected_hmac(keys[COUNTED]), 1),
             ("CheckMac", lambda: chip("atcab_checkmac", 0, COUNTED, challenge, right, bytes(13)), OK, 1),
             ("a wrong CheckMac", lambda: chip("atcab_checkmac", 0, COUNTED, challenge, bytes(32), bytes(13)),
              MISCOMPARE, 0),
             ("KDF", lambda: chip("atcab_kdf", 0x40 | 2 | 0x10, COUNTED, 2 | 4 << 24, b"info", Out(32), None),
              host.hmac_sha256(keys[COUNTED], b"info"), 1))
    value = 0
    for what, use, answer, costs in steps:
        checks.equal(what, use(), answer)
        value += costs
        checks.equal(f"costs {costs}", counter(chip, "atcab_counter_read", 0), value)
    while value < 32:
        value = counter(chip, "atcab_counter_increment", 0)
    for what, use, _, _ in steps:
        checks.equal(f"{what} at the limit", use(), EXECUTION)
    checks.equal("Counter0 stays", counter(chip, "atcab_counter_read", 0), 32)


def keys_are_derived_as_their_slots_say(checks, chip, keys):
    serial = serial_number(chip)
    for slot, parent, mac_wanted in ((ROLLED_WITH_MAC, ROLLED_WITH_MAC, True), (CREATED, PARENT, False),
                                     (CREATED_OR_WRITTEN, PARENT, True)):
        if mac_wanted:
            random_temp_key(chip)
            checks.equal(f"DeriveKey to slot {slot} without a MAC", chip("atcab_derivekey", 0, slot, None), EXECUTION)
        temp_key = random_temp_key(chip)
        mac = host_keys.derive_key_mac(0, slot, keys[parent], serial) if mac_wanted else None
        new = host_keys.derived_key(0, slot, keys[parent], temp_key, serial)
        checks.equal(f"DeriveKey to slot {slot} from slot {parent}", chip("atcab_derivekey", 0, slot, mac), OK)
        checks.equal("as atcah_derive_key has it", checked(chip, slot, new), OK)
        checks.equal("the old key is gone", checked(chip, slot, keys[slot]), MISCOMPARE)
        keys[slot] = new
    with chip.second_device() as device:
        temp_key = random_temp_key(chip)
        new = host_keys.derived_key(0, CREATED, keys[PARENT], temp_key, serial)
        checks.equal("atcab_derivekey_ext", chip("atcab_derivekey_ext", device, 0, CREATED, None), OK)
        checks.equal("as atcah_derive_key has it", checked(chip, CREATED, new), OK)
        keys[CREATED] = new
    random_temp_key(chip)
    checks.equal("DeriveKey rolls no key with NoMac (strict)", chip("atcab_derivekey", 0, NO_MAC_ROLLED, None),
                 EXECUTION)
    put_to_sleep(chip)
    checks.equal("DeriveKey without a TempKey", chip("atcab_derivekey", 0, CREATED, None), EXECUTION)


def sealed_writes_are_those_of_the_host(checks, chip, keys):
    serial, slot, address = serial_number(chip), CREATED_OR_WRITTEN, CREATED_OR_WRITTEN << 3
    new = os.urandom(32)

    def write_key(begin=random_temp_key, digested=PARENT):
        temp_key = begin(chip)
        other = bytes([0x15, 2, digested, 0])
        done(chip("atcab_gendig", DATA, digested, other, 4), "digest the write key")
        return host.gen_dig(temp_key, DATA, digested, keys[digested], serial, other_data=other)

    data, mac = host_keys.write_mac(0xC2, address, new, write_key(), serial)
    checks.equal("Write with the MAC of atcah_write_auth_mac", chip("atcab_write", 0xC2, address, data, mac), OK)
    checks.equal("the slot holds it", checked(chip, slot, new), OK)
    other_data = os.urandom(32)
    for what, change in (("a wrong MAC", lambda data, mac: (data, mac[:31] + bytes([mac[31] ^ 1]))),
                         ("other data", lambda data, mac: (bytes([data[0] ^ 1]) + data[1:], mac))):
        data, mac = change(*host_keys.write_mac(0xC2, address, other_data, write_key(), serial))
        checks.equal(f"Write with {what}", chip("atcab_write", 0xC2, address, data, mac), EXECUTION)
    data, mac = host_keys.write_mac(0xC2, address, other_data, write_key(fixed_temp_key), serial)
    checks.equal("Write with a nonce from input (strict)", chip("atcab_write", 0xC2, address, data, mac), EXECUTION)
    data, mac = host_keys.write_mac(0xC2, address, other_data, write_key(digested=CREATED), serial)
    checks.equal("Write with a key that is not WriteKey", chip("atcab_write", 0xC2, address, data, mac), EXECUTION)
    checks.equal("none of them changes the slot", checked(chip, slot, new), OK)
