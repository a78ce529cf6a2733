#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ask a PKCS#11 module for the value of a private key, and print exactly what it returns.

    try_export.py MODULE TOKEN-LABEL KEY-LABEL

It calls the module directly, and prints the result of C_GetAttributeValue. The exit status is
0 only if the module refused with CKR_ATTRIBUTE_SENSITIVE and gave no byte.
"""

import sys

from cryptoki import CKA_VALUE, CKR_ATTRIBUTE_SENSITIVE, UNAVAILABLE, Module, code

FLAGS = {
    "CKA_SENSITIVE": 0x103,
    "CKA_EXTRACTABLE": 0x162,
    "CKA_LOCAL": 0x163,
    "CKA_NEVER_EXTRACTABLE": 0x164,
    "CKA_ALWAYS_SENSITIVE": 0x165,
}


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    path, token, label = sys.argv[1:]
    module = Module(path)
    module.must("C_Initialize", None)
    session = module.open_session(module.slot_of(token))
    key = module.private_key(session, label)

    for name, kind in FLAGS.items():
        rv, _, value = module.attribute(session, key, kind, 1)
        print(f"{name:<22} {code(rv)} {'TRUE' if value[0] else 'FALSE'}")

    refused = True
    for room, how in ((0, "how long is it?"), (64, "into 64 bytes")):
        rv, length, value = module.attribute(session, key, CKA_VALUE, room)
        nothing = length == UNAVAILABLE and not any(value)
        print(f"{'CKA_VALUE':<22} {code(rv)}, {'no byte of it' if nothing else f'{length} bytes'}  ({how})")
        refused = refused and rv == CKR_ATTRIBUTE_SENSITIVE and nothing
    module.must("C_Finalize", None)
    return 0 if refused else 1


if __name__ == "__main__":
    sys.exit(main())
