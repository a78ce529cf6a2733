/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Shared by the hostile C programs: the module's functions, checks that say where they failed, and memory that ends at
 * a wall: the byte after it can't be read or written, the bytes before it are checked for writes.
 */
#ifndef HOSTILE_H
#define HOSTILE_H 1

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

#ifndef CKR_CURVE_NOT_SUPPORTED
#define CKR_CURVE_NOT_SUPPORTED 0x140UL
#endif
#ifndef CK_UNAVAILABLE_INFORMATION
#define CK_UNAVAILABLE_INFORMATION (~0UL)
#endif
#define ABSURD (~(CK_ULONG) 0)

/* Opens the module whose path is the program's first argument. */
void load_module(int count, char **arguments);
/* The function of this name. The program ends if the module has none. */
void *symbol(const char *name);
/* Calls a function of 2.40, whose type p11-kit's header has. */
#define CALL(name, ...) (((CK_##name) symbol(#name))(__VA_ARGS__))

/* Checks that a call returns a code; prints the place if it does not, and continues. */
#define EXPECT(expected, call) expect(__FILE__, __LINE__, #call, (expected), (call))
void expect(const char *file, int line, const char *call, CK_RV expected, CK_RV rv);
/* Checks a condition. */
#define CHECK(condition) check(__FILE__, __LINE__, #condition, !!(condition))
int check(const char *file, int line, const char *what, int is_so);
/* Ends the program: 0 if every check held. */
int verdict(void);

/* Returns this many bytes before a wall; `fence_intact` checks the bytes before them. Their address is as odd as `size`
 * is. Given back by `fence_free`. */
void *fence(size_t size);
int fence_intact(const void *memory, size_t size);
void fence_free(void *memory, size_t size);
/* The same, filled with a copy of `what`. */
void *fenced(const void *what, size_t size);

/* A read-write session with slot 0 of an initialised module. */
CK_SESSION_HANDLE open_session(void);
/* An attribute. */
#define ATTRIBUTE(name, place) { (name), &(place), sizeof (place) }
#define COUNT(array) (sizeof (array) / sizeof (array)[0])
/* A session key of 16 bytes for AES with all uses, and one for HMAC; a key pair in the chip. */
CK_OBJECT_HANDLE aes_key(CK_SESSION_HANDLE session);
CK_OBJECT_HANDLE hmac_key(CK_SESSION_HANDLE session);
void key_pair(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key);

#endif
