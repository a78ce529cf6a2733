// SPDX-License-Identifier: MIT OR Apache-2.0
/* See hostile.h. */
#define _GNU_SOURCE
#include "hostile.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

static void *library;
static int failures;

void load_module(int count, char **arguments)
{
    if (count < 2 || !(library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL))) {
        fprintf(stderr, "the module can't be loaded: %s\n", count < 2 ? "no path given" : dlerror());
        exit(2);
    }
}

void *symbol(const char *name)
{
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "the module has no %s\n", name);
        exit(2);
    }
    return found;
}

void expect(const char *file, int line, const char *call, CK_RV expected, CK_RV rv)
{
    if (rv != expected) {
        fprintf(stderr, "%s:%d: %s returned %#lx, not %#lx\n", file, line, call, rv, expected);
        failures++;
    }
}

int check(const char *file, int line, const char *what, int is_so)
{
    if (!is_so) {
        fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
        failures++;
    }
    return is_so;
}

int verdict(void)
{
    if (failures)
        fprintf(stderr, "%d checks failed\n", failures);
    return failures ? 1 : 0;
}

#define WATCHED 0xC5

static size_t pages_for(size_t size)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    return (size + page) / page * page;
}

void *fence(size_t size)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE), room = pages_for(size);
    unsigned char *start = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + room, page, PROT_NONE)) {
        perror("mmap");
        exit(2);
    }
    memset(start, WATCHED, room);
    return start + room - size;
}

int fence_intact(const void *memory, size_t size)
{
    const unsigned char *end = memory, *start = end + size - pages_for(size);
    while (start < end)
        if (*start++ != WATCHED)
            return 0;
    return 1;
}

void fence_free(void *memory, size_t size)
{
    size_t room = pages_for(size);
    CHECK(fence_intact(memory, size));
    munmap((unsigned char *) memory + size - room, room + (size_t) sysconf(_SC_PAGESIZE));
}

void *fenced(const void *what, size_t size)
{
    return memcpy(fence(size), what, size);
}

CK_SESSION_HANDLE open_session(void)
{
    CK_SESSION_HANDLE session = 0;
    EXPECT(CKR_OK, CALL(C_OpenSession, 0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    return session;
}

static CK_OBJECT_HANDLE secret_key(CK_SESSION_HANDLE session, CK_KEY_TYPE type, CK_BYTE *value, CK_ULONG size)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_BBOOL yes = 1, no = 0;
    CK_OBJECT_HANDLE key = 0;
    CK_ATTRIBUTE template[] = {
        ATTRIBUTE(CKA_CLASS, class), ATTRIBUTE(CKA_KEY_TYPE, type), ATTRIBUTE(CKA_TOKEN, no),
        ATTRIBUTE(CKA_ENCRYPT, yes), ATTRIBUTE(CKA_DECRYPT, yes), ATTRIBUTE(CKA_SIGN, yes), ATTRIBUTE(CKA_VERIFY, yes),
        ATTRIBUTE(CKA_WRAP, yes), ATTRIBUTE(CKA_UNWRAP, yes), ATTRIBUTE(CKA_EXTRACTABLE, yes),
        ATTRIBUTE(CKA_SENSITIVE, no), { CKA_VALUE, value, size },
    };
    EXPECT(CKR_OK, CALL(C_CreateObject, session, template, COUNT(template), &key));
    return key;
}

CK_OBJECT_HANDLE aes_key(CK_SESSION_HANDLE session)
{
    CK_BYTE value[16] = "sixteen bytes...";
    return secret_key(session, CKK_AES, value, sizeof value);
}

CK_OBJECT_HANDLE hmac_key(CK_SESSION_HANDLE session)
{
    CK_BYTE value[20] = "twenty bytes........";
    return secret_key(session, CKK_GENERIC_SECRET, value, sizeof value);
}

void key_pair(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    CK_BYTE p256[] = { 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07 };
    CK_BBOOL yes = 1;
    CK_MECHANISM kind = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
    CK_ATTRIBUTE public_template[] = { ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_EC_PARAMS, p256) };
    CK_ATTRIBUTE private_template[] = { ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_SIGN, yes) };
    EXPECT(CKR_OK, CALL(C_GenerateKeyPair, session, &kind, public_template, COUNT(public_template), private_template,
                        COUNT(private_template), public_key, private_key));
}
