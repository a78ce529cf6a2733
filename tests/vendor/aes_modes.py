# SPDX-License-Identifier: MIT OR Apache-2.0
"""AES on the chip and the modes that the library builds on it, compared with the standard's vectors and Python's
cryptography (fact sheet section 3.1)."""

import ctypes
import os

import host
import vendor_config as slot
from bench import configure, fill
from cryptography.hazmat.primitives import cmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from driver import DATA, EXECUTION, OK, PARSE, Context, Out, put_to_sleep
from locked import EPHEMERAL

# NIST SP 800-38A, F.1.1: ECB-AES128, four blocks.
NIST_KEY = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
NIST_PLAIN = bytes.fromhex("6BC1BEE22E409F96E93D7E117393172AAE2D8A571E03AC9C9EB76FAC45AF8E51"
                           "30C81C46A35CE411E5FBC1191A0A52EFF69F2445DF4F9B17AD2B417BE66C3710")
NIST_CIPHER = bytes.fromhex("3AD77BB40D7A3660A89ECAF32466EF97F5D3D58503B9699DE785895A96FDBAAF"
                            "43B1CD7F598ECE23881B00E3ED0306887B0C785E27E8AD3F8223207104725DD4")
BLOCK = 16


def run(checks, bench):
    with bench.chip() as (chip, server):
        configure(chip, {16: slot.CONFIG_16_TO_127})
        fill(chip, {slot.KEY: slot.SLOT_4_KEY})
        checks.run(blocks_are_those_of_the_standard, chip, (slot.AES, EPHEMERAL))
        checks.run(keys_come_from_every_block, chip, (slot.AES, EPHEMERAL))
        checks.run(the_galois_field_is_gcms, chip)
        for topic in MODES:
            checks.run(topic, chip, slot.AES)
        checks.run(refused_keys, chip)
    with bench.chip() as (chip, server):
        print("a blank chip")
        checks.run(blocks_are_those_of_the_standard, chip, (EPHEMERAL,))
        checks.run(keys_come_from_every_block, chip, (EPHEMERAL,))
        checks.run(the_galois_field_is_gcms, chip)
        for topic in MODES:
            checks.run(topic, chip, EPHEMERAL)


def blocks(data):
    return [data[at:at + BLOCK] for at in range(0, len(data), BLOCK)]


def load(chip, keys, where):
    """Puts keys into slot 10 or TempKey."""
    if where == EPHEMERAL:
        return chip("atcab_nonce_load", 0, keys, len(keys))
    return chip("atcab_write_bytes_zone", DATA, where, 0, keys, len(keys))


def blocks_are_those_of_the_standard(checks, chip, places):
    for where in places:
        load(chip, NIST_KEY + bytes(48), where)
        encrypted = b"".join(chip("atcab_aes_encrypt", where, 0, block, Out(16)) for block in blocks(NIST_PLAIN))
        checks.equal(f"AES(encrypt) of four blocks, key location {where:X}", encrypted, NIST_CIPHER)
        clear = b"".join(chip("atcab_aes_decrypt", where, 0, block, Out(16)) for block in blocks(NIST_CIPHER))
        checks.equal("AES(decrypt)", clear, NIST_PLAIN)
        through_a_device(checks, chip, where)


def through_a_device(checks, chip, where):
    with chip.second_device() as device:
        checks.equal("atcab_aes_encrypt_ext",
                     chip("atcab_aes_encrypt_ext", device, where, 0, NIST_PLAIN[:16], Out(16)),
                     NIST_CIPHER[:16])
        checks.equal("atcab_aes_decrypt_ext", chip("atcab_aes_decrypt_ext", device, where, 0, NIST_CIPHER[:16],
                                                  Out(16)), NIST_PLAIN[:16])
    checks.equal("atcab_aes, the bare command", chip("atcab_aes", 0, where, NIST_PLAIN[:16], Out(16)),
                 NIST_CIPHER[:16])


def keys_come_from_every_block(checks, chip, places):
    keys, plain = os.urandom(64), os.urandom(16)
    for where in places:
        load(chip, keys, where)
        for number, key in enumerate(blocks(keys)):
            checks.equal(f"the key in block {number} of {where:X}",
                         chip("atcab_aes_encrypt", where, number, plain, Out(16)),
                         host.aes_encrypt(key, plain))
    load(chip, keys[:32], EPHEMERAL)
    checks.equal("a TempKey of 32 bytes has two blocks", chip("atcab_aes_encrypt", EPHEMERAL, 1, plain, Out(16)),
                 host.aes_encrypt(keys[16:32], plain))
    checks.equal("and no third", chip("atcab_aes_encrypt", EPHEMERAL, 2, plain, Out(16)), EXECUTION)


def the_galois_field_is_gcms(checks, chip):
    h, data = bytes.fromhex("66E94BD4EF8A2C3B884CFA59CA342B2E"), bytes.fromhex("0388DACE60B6A392F328C2B971B2FE78")
    checks.equal("AES(GFM), the vector of the standard", chip("atcab_aes_gfm", h, data, Out(16)),
                 bytes.fromhex("5E2EC746917062882C85B0685353DEB7"))
    one = b"\x80" + bytes(15)
    checks.equal("one is one", chip("atcab_aes_gfm", h, one, Out(16)), h)
    checks.equal("from both sides", chip("atcab_aes_gfm", one, h, Out(16)), h)
    checks.equal("zero is zero", chip("atcab_aes_gfm", h, bytes(16), Out(16)), bytes(16))


# Additional data and text: empty ones, whole blocks, and pieces that are none.
LENGTHS = ((0, 0), (0, 16), (20, 60), (16, 31))


def gcm(chip, direction, key_id, iv, extra, text, piece, device=None):
    """(status or text, context) of the library's GCM, in pieces."""
    context = Context()
    suffix, first = ("_ext", (device,)) if device else ("", ())
    if device:
        chip("atcab_aes_gcm_init_ext", device, context, key_id, 0, iv, len(iv))
    else:
        chip("atcab_aes_gcm_init", context, key_id, 0, iv, len(iv))
    for at in range(0, len(extra), piece):
        chip("atcab_aes_gcm_aad_update" + suffix, *first, context, extra[at:at + piece], len(extra[at:at + piece]))
    result = b""
    for at in range(0, len(text), piece):
        part = text[at:at + piece]
        result += chip(f"atcab_aes_gcm_{direction}_update" + suffix, *first, context, part, len(part), Out(len(part)))
    return result, context


def gcm_is_that_of_the_standard(checks, chip, where):
    key = os.urandom(16)
    load(chip, key + bytes(16), where)
    for (extra_len, text_len), iv_len in zip(LENGTHS, (12, 12, 12, 16)):
        iv, extra, text = os.urandom(iv_len), os.urandom(extra_len), os.urandom(text_len)
        sealed = AESGCM(key).encrypt(iv, text, extra)
        encrypted, context = gcm(chip, "encrypt", where, iv, extra, text, 13)
        tag = chip("atcab_aes_gcm_encrypt_finish", context, Out(16), 16)
        checks.equal(f"GCM of {text_len} bytes with {extra_len} more, nonce of {iv_len}", encrypted + tag, sealed)
        clear, context = gcm(chip, "decrypt", where, iv, extra, sealed[:-16], 16)
        checks.equal("opened", clear, text)
        checks.equal("and found genuine", chip("atcab_aes_gcm_decrypt_finish", context, sealed[-16:], 16, Out(1)),
                     b"\1")
    with chip.second_device() as device:
        encrypted, context = gcm(chip, "encrypt", where, iv, extra, text, 16, device)
        tag = chip("atcab_aes_gcm_encrypt_finish_ext", device, context, Out(16), 16)
        checks.equal("the same with a device named", encrypted + tag, sealed)
        clear, context = gcm(chip, "decrypt", where, iv, extra, sealed[:-16], 16, device)
        checks.equal("and opened", (clear, chip("atcab_aes_gcm_decrypt_finish_ext", device, context, tag, 16, Out(1))),
                     (text, b"\1"))
    context, field = Context(), os.urandom(4)
    iv = chip("atcab_aes_gcm_init_rand", context, where, 0, 12, field, 4, Out(16))
    encrypted = chip("atcab_aes_gcm_encrypt_update", context, text, len(text), Out(len(text)))
    tag = chip("atcab_aes_gcm_encrypt_finish", context, Out(16), 16)
    checks.equal("GCM with a nonce from the chip", encrypted + tag, AESGCM(key).encrypt(iv, text, None))
    checks.equal("which ends with the caller's field", iv[12:], field)


def gcm_tells_a_forgery(checks, chip, where):
    key, iv, text = os.urandom(16), os.urandom(12), os.urandom(20)
    load(chip, key + bytes(16), where)
    sealed = AESGCM(key).encrypt(iv, text, b"header")
    for what, extra, data in (("other additional data", b"HEADER", sealed),
                              ("another text", b"header", bytes([sealed[0] ^ 1]) + sealed[1:]),
                              ("another tag", b"header", sealed[:-1] + bytes([sealed[-1] ^ 1]))):
        _, context = gcm(chip, "decrypt", where, iv, extra, data[:-16], 16)
        checks.equal(what, chip("atcab_aes_gcm_decrypt_finish", context, data[-16:], 16, Out(1)), b"\0")


def ccm_is_that_of_the_standard(checks, chip, where):
    key = os.urandom(16)
    load(chip, key + bytes(16), where)
    device = chip.device()
    begins = ((), "atcab_aes_ccm_init"), ((device,), "atcab_aes_ccm_init_ext"), ((), "atcab_aes_ccm_init_rand"), \
        ((device,), "atcab_aes_ccm_init_rand_ext")
    for (extra_len, text_len), (first, begin) in zip(LENGTHS[1:] + LENGTHS[1:2], begins):
        iv, extra, text = os.urandom(13), os.urandom(extra_len), os.urandom(text_len)
        sealed = AESCCM(key, 16).encrypt(iv, text, extra)

        def begun():
            context = Context()
            chip(begin, *first, context, where, 0, iv, 13, extra_len, text_len, 16)
            if extra:
                chip("atcab_aes_ccm_aad_update", context, extra, extra_len)
                chip("atcab_aes_ccm_aad_finish", context)
            return context

        context = begun()
        encrypted = chip("atcab_aes_ccm_encrypt_update", context, text, text_len, Out(text_len))
        tag = chip("atcab_aes_ccm_encrypt_finish", context, Out(16), ctypes.c_uint8(16))
        checks.equal(f"CCM of {text_len} bytes with {extra_len} more, {begin}", encrypted + tag, sealed)
        for forged, answer in ((0, b"\1"), (1, b"\0")):
            context = begun()
            clear = chip("atcab_aes_ccm_decrypt_update", context, sealed[:-16], text_len, Out(text_len))
            checks.equal("opened, the forgery is told" if forged else "opened",
                         (clear, chip("atcab_aes_ccm_decrypt_finish", context,
                                      sealed[-16:-1] + bytes([sealed[-1] ^ forged]), Out(1))), (text, answer))


def reference(mode, key, data):
    encryptor = Cipher(algorithms.AES(key), mode).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def cbc_is_that_of_the_standard(checks, chip, where):
    key, iv, text = os.urandom(16), os.urandom(16), os.urandom(48)
    load(chip, key + bytes(16), where)
    wanted = reference(modes.CBC(iv), key, text)
    for first, name, rest in (((), "atcab_aes_cbc_init", ()), ((chip.device(),), "atcab_aes_cbc_init_ext", (0,))):
        context = Context()
        chip(name, *first, context, where, 0, iv, *rest)
        encrypted = b"".join(chip("atcab_aes_cbc_encrypt_block", context, block, Out(16)) for block in blocks(text))
        checks.equal(f"CBC, {name}", encrypted, wanted)
    chip("atcab_aes_cbc_init", context, where, 0, iv)
    clear = b"".join(chip("atcab_aes_cbc_decrypt_block", context, block, Out(16)) for block in blocks(wanted))
    checks.equal("decrypted", clear, text)
    for direction, data, result in (("encrypt", text, wanted), ("decrypt", wanted, text)):
        chip("atcab_aes_cbc_init", context, where, 0, iv)
        size, rest = ctypes.c_size_t(48), ctypes.c_size_t(16)
        part = chip(f"atcab_aes_cbc_{direction}_update", context, data, 48, Out(48), size)
        last = chip(f"atcab_aes_cbc_{direction}_finish", context, Out(16), rest)
        checks.equal(f"CBC({direction}), all at once", part[:size.value] + last[:rest.value], result)


def ctr_is_that_of_the_standard(checks, chip, where):
    key, text = os.urandom(16), os.urandom(48)
    load(chip, key + bytes(16), where)
    iv = os.urandom(12) + b"\xFF\xFF\xFF\xFE"  # The counter of four bytes overflows, and nothing beside it.
    context = Context()

    def wanted(iv):
        counters = [iv[:12] + ((int.from_bytes(iv[12:], "big") + i) % 2 ** 32).to_bytes(4, "big") for i in range(3)]
        return bytes(a ^ b for a, b in zip(host.aes_encrypt(key, b"".join(counters)), text))

    device = chip.device()
    for first, name in (((), "atcab_aes_ctr_init"), ((device,), "atcab_aes_ctr_init_ext")):
        for function, data, result in (("atcab_aes_ctr_encrypt_block", text, wanted(iv)),
                                       ("atcab_aes_ctr_decrypt_block", wanted(iv), text),
                                       ("atcab_aes_ctr_block", text, wanted(iv))):
            chip(name, *first, context, where, 0, 4, iv)
            checks.equal(f"CTR, {name}, {function}",
                         b"".join(chip(function, context, block, Out(16)) for block in blocks(data)), result)
    chip("atcab_aes_ctr_init", context, where, 0, 4, iv)
    checks.equal("atcab_aes_ctr_increment skips a block", chip("atcab_aes_ctr_increment", context), OK)
    checks.equal("as the next one shows", chip("atcab_aes_ctr_block", context, text[16:32], Out(16)), wanted(iv)[16:32])
    for first, name in (((), "atcab_aes_ctr_init_rand"), ((device,), "atcab_aes_ctr_init_rand_ext")):
        number = Out(16)
        chip(name, *first, context, where, 0, 4, number)
        result = b"".join(chip("atcab_aes_ctr_block", context, block, Out(16)) for block in blocks(text))
        checks.equal(f"CTR, {name}", result, wanted(bytes(number.bytes)))


def macs_of_blocks_are_those_of_the_standard(checks, chip, where):
    key = os.urandom(16)
    load(chip, key + bytes(16), where)
    device = chip.device()
    for length in (0, 16, 40):
        text = os.urandom(length)
        wanted = cmac.CMAC(algorithms.AES(key))
        wanted.update(text)
        wanted = wanted.finalize()
        for first, name in (((), "atcab_aes_cmac_init"), ((device,), "atcab_aes_cmac_init_ext")):
            context = Context()
            chip(name, *first, context, where, 0)
            chip("atcab_aes_cmac_update", context, text, length)
            checks.equal(f"CMAC of {length} bytes, {name}", chip("atcab_aes_cmac_finish", context, Out(16), 16), wanted)
    text = os.urandom(48)
    for first, name in (((), "atcab_aes_cbcmac_init"), ((device,), "atcab_aes_cbcmac_init_ext")):
        context = Context()
        chip(name, *first, context, where, 0)
        chip("atcab_aes_cbcmac_update", context, text[:16], 16)
        chip("atcab_aes_cbcmac_update", context, text[16:], 32)
        checks.equal(f"CBC-MAC, {name}", chip("atcab_aes_cbcmac_finish", context, Out(16), 16),
                     reference(modes.CBC(bytes(16)), key, text)[-16:])


def refused_keys(checks, chip):
    for number, why in ((slot.KEY, "for SHA"), (slot.SIGN, "private"), (slot.PARENT, "a public key")):
        status = chip("atcab_aes_encrypt", number, 0, bytes(16), Out(16))
        checks.true(f"AES with slot {number}, {why}, is 0F (or 03)", status in (EXECUTION, PARSE), status)
    checks.equal("AES with slot 5 while the latch is open",
                 chip("atcab_aes_encrypt", slot.AES_LATCHED, 0, bytes(16), Out(16)), EXECUTION)
    put_to_sleep(chip)
    checks.equal("AES without a TempKey", chip("atcab_aes_encrypt", EPHEMERAL, 0, bytes(16), Out(16)), EXECUTION)
    for mode in (0x02, 0x08, 0x20):
        checks.equal(f"AES, mode {mode:02X}", chip("atcab_aes", mode, slot.AES, bytes(16), Out(16)), PARSE)


MODES = (gcm_is_that_of_the_standard, gcm_tells_a_forgery, ccm_is_that_of_the_standard, cbc_is_that_of_the_standard,
         ctr_is_that_of_the_standard, macs_of_blocks_are_those_of_the_standard)
