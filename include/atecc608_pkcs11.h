/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Constants of atecc608-pkcs11 beyond the PKCS#11 standard. Include it in place of pkcs11.h; the standard's own
 * header is the system's (p11-kit's on Debian: pkg-config --cflags p11-kit-1), and nothing of it is copied here.
 *
 * The numbers are CKA_VENDOR_DEFINED, "AT6" in ASCII, and a counter.
 */
#ifndef ATECC608_PKCS11_H
#define ATECC608_PKCS11_H 1

#include <p11-kit/pkcs11.h>

/*
 * CKA_ATECC608_SLOT (CK_ULONG): the chip's slot of the object, 0 to 15. In a template for C_GenerateKeyPair,
 * C_GenerateKey or C_CreateObject it chooses the slot; on every object that lives in the chip it can be read and
 * searched for. Not to be confused with the PKCS#11 slot, which is a whole chip.
 */
#define CKA_ATECC608_SLOT (CKA_VENDOR_DEFINED | 0x41543601UL)

/*
 * The chip's own rules for that slot, on every object in the chip. They can be read and searched for, and not changed.
 *
 * CKA_ATECC608_SLOT_CONFIG (CK_ULONG): the slot's SlotConfig word.
 * CKA_ATECC608_KEY_CONFIG (CK_ULONG): the slot's KeyConfig word.
 * CKA_ATECC608_SLOT_LOCKED (CK_BBOOL): whether the slot was locked individually, so that its key is permanent.
 *
 * The words are as the chip's data sheet has them, the byte at the lower address in the low eight bits.
 */
#define CKA_ATECC608_SLOT_CONFIG (CKA_VENDOR_DEFINED | 0x41543602UL)
#define CKA_ATECC608_KEY_CONFIG (CKA_VENDOR_DEFINED | 0x41543603UL)
#define CKA_ATECC608_SLOT_LOCKED (CKA_VENDOR_DEFINED | 0x41543604UL)

/*
 * CKA_ATECC608_IN_CHIP (CK_BBOOL), on every key: whether it is in the chip. It is false for session keys, which are in
 * the memory of the process, and for separate public keys, which are in the state folder. It can be read and searched
 * for, and not changed.
 */
#define CKA_ATECC608_IN_CHIP (CKA_VENDOR_DEFINED | 0x41543605UL)

#endif
