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
 * CKA_ATECC608_SLOT (CK_ULONG): the chip's slot of the object, 0 to 15. In a template for C_GenerateKeyPair or
 * C_CreateObject it chooses the slot; on every object that lives in the chip it can be read and searched for.
 * Not to be confused with the PKCS#11 slot, which is a whole chip.
 */
#define CKA_ATECC608_SLOT (CKA_VENDOR_DEFINED | 0x41543601UL)

#endif
