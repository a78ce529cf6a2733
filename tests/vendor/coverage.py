# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every function that the compiled library exports for this chip was called and has succeeded, or is excused here, with
the reason. An excuse that is no longer needed is a failure too."""

import fnmatch
import subprocess

from cryptoauthlib.library import get_cryptoauthlib
from driver import CALLED, CALLS, LOCK_STATES

# The functions on a device, and those that compute the other side of its messages.
PREFIXES = ("atcab_", "atcah_", "atcacert_", "tng_")

SHA105 = "for the SHA105: the 608 has no such command"
CA2 = "for the ECC204 and its kin: the 608 has no such Info"
HOST = "works on the host's memory only: no chip, no message of one"
INSIDE = "a step inside functions that are called"
EXCUSES = {
    "atcab_gendivkey": SHA105, "atcah_gendivkey": SHA105, "atcab_checkmac_with_response_mac": SHA105,
    "atcah_gen_output_resp_mac": SHA105, "atcab_info_lock_status": CA2, "atcab_info_chip_status": CA2,
    "atcah_ecc204_write_auth_mac": CA2, "atcah_gen_session_key": CA2,
    "atcab_hmac": "the 204A's and 508A's command; called: the 608 answers 03",
    "atcah_hmac": "the message of that command",
    "atcab_base64*": HOST, "atcab_b64rules_*": HOST, "atcab_bin2hex*": HOST, "atcab_hex2bin*": HOST,
    "atcab_reversal": HOST, "atcab_memset_s": HOST, "atcab_pointer_delta": HOST,
    "atcacert_date_*": HOST, "atcacert_der_*": HOST, "atcacert_set_*": HOST, "atcacert_decode_pem*": HOST,
    "atcacert_encode_pem*": HOST, "atcacert_get_key_id": HOST, "atcacert_get_subject": HOST,
    "atcacert_get_issuer": HOST,
    "atcacert_get_tbs": HOST, "atcacert_calc_expire_years": HOST, "tng_map_get_device_cert_def": HOST,
    "atcacert_public_key_*_padding": HOST, "atcacert_max_cert_size": HOST,
    "atcacert_*_t_size": "the size of a structure; those we lay out ourselves are compared",
    "atcah_include_data": INSIDE, "atcacert_cert_build_*": INSIDE, "atcacert_get_device_*": INSIDE,
    "atcacert_*_device_loc*": INSIDE, "atcacert_transform_data": INSIDE, "atcacert_get_cert_element": INSIDE,
    "atcacert_gen*_sn": INSIDE, "atcacert_get_comp_cert_ext": INSIDE,
}


# Section 3.0.
COMMANDS = {"AES", "CheckMac", "Counter", "DeriveKey", "ECDH", "GenDig", "GenKey", "Info", "KDF", "Lock", "MAC",
            "Nonce", "PrivWrite", "Random", "Read", "SecureBoot", "SelfTest", "SHA", "Sign", "UpdateExtra", "Verify",
            "Write"}


def exported():
    # pylint: disable-next=protected-access
    lines = subprocess.run(["nm", "-D", "--defined-only", get_cryptoauthlib()._name], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    symbols = [line.split()[1:] for line in lines]
    return {name for kind, name in symbols if kind == "T" and name.startswith(PREFIXES)}


# Of all calls, and of those in each lock state: an issue asks for the first, and no state may go without.
AT_LEAST, AT_LEAST_IN_EACH = 150, 100


def the_library_was_called_in_every_lock_state(checks):
    for state in LOCK_STATES:
        checks.true(f"{state}: at least {AT_LEAST_IN_EACH} calls", CALLS[state] >= AT_LEAST_IN_EACH, CALLS[state])
    checks.true(f"at least {AT_LEAST} calls in all", CALLS.total() >= AT_LEAST, CALLS.total())


def calls():
    """How often the library was called, in words."""
    states = ", ".join(f"{CALLS[state]} with {state}" for state in LOCK_STATES)
    return f"{CALLS.total()} calls of the vendor's library ({states})"


def every_command_was_executed(checks, bench):
    names = {name.lower() for name in bench.commands}
    checks.equal("the commands of a 608", {name for name in COMMANDS if name.lower() in names}, COMMANDS)


def every_function_was_called(checks):
    names = exported()
    succeeded = {name for name in names if 0 in CALLED[name]}
    excused = {name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in EXCUSES)}
    for prefix in PREFIXES:
        ours = {name for name in names if name.startswith(prefix)}
        missing = sorted(ours - succeeded - excused)
        checks.true(f"{prefix}*: {len(ours & succeeded)} of {len(ours)} were called with success, the other "
                    f"{len(ours - succeeded)} are excused below", not missing, missing)
    needless = sorted(pattern for pattern in EXCUSES
                      if not fnmatch.filter(names, pattern) or set(fnmatch.filter(names, pattern)) <= succeeded)
    checks.true("no excuse is needless", not needless, needless)
    for pattern, reason in EXCUSES.items():
        print(f"        {pattern}: {reason}")
