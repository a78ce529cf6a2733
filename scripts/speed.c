/*
 * How long the calls take that need no chip, in microseconds, of any PKCS#11 module:
 *
 *     speed MODULE TOKEN-LABEL PIN
 *
 * Prints a line per kind of work: its name, a tab, the time of one. The time is the best of many rounds: what the work takes
 * when nothing else of the machine is in its way.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <p11-kit/pkcs11.h>

#define ROUNDS 40
#define MUST(call) must(#call, (call))

static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE public_key;
static CK_BYTE megabyte[1 << 20];

static void must(const char *call, CK_RV rv)
{
    if (rv != CKR_OK) {
        fprintf(stderr, "%s: %#lx\n", call, rv);
        exit(1);
    }
}

static void find_slot(const char *label)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;
    CK_TOKEN_INFO info;
    MUST(p11->C_GetSlotList(CK_TRUE, slots, &count));
    while (count-- > 0) {
        slot = slots[count];
        if (p11->C_GetTokenInfo(slot, &info) == CKR_OK && strncmp((char *) info.label, label, strlen(label)) == 0)
            return;
    }
    fprintf(stderr, "no token %s\n", label);
    exit(1);
}

static void open_and_close(void)
{
    CK_SESSION_HANDLE opened;
    MUST(p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &opened));
    MUST(p11->C_CloseSession(opened));
}

static CK_ULONG find(CK_ATTRIBUTE *template, CK_ULONG attributes, CK_OBJECT_HANDLE *found)
{
    CK_OBJECT_HANDLE all[32];
    CK_ULONG count = 0;
    MUST(p11->C_FindObjectsInit(session, template, attributes));
    MUST(p11->C_FindObjects(session, all, 32, &count));
    MUST(p11->C_FindObjectsFinal(session));
    if (found && count)
        *found = all[0];
    return count;
}

static void find_all(void) { find(NULL, 0, NULL); }

static void attributes(void)
{
    CK_OBJECT_CLASS class;
    CK_BYTE label[64], id[64], point[128];
    CK_ATTRIBUTE template[] = {
        { CKA_CLASS, &class, sizeof class }, { CKA_LABEL, label, sizeof label }, { CKA_ID, id, sizeof id },
        { CKA_EC_POINT, point, sizeof point },
    };
    MUST(p11->C_GetAttributeValue(session, public_key, template, 4));
}

static void digest(void)
{
    CK_MECHANISM sha256 = { CKM_SHA256, NULL, 0 };
    CK_BYTE result[32];
    CK_ULONG length = sizeof result;
    MUST(p11->C_DigestInit(session, &sha256));
    MUST(p11->C_Digest(session, megabyte, sizeof megabyte, result, &length));
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec * 1e6 + (double) time.tv_nsec / 1e3;
}

static void measure(const char *name, void (*work)(void), int times)
{
    double best = 0;
    work();
    for (int round = 0; round < ROUNDS; round++) {
        double start = now(), one;
        for (int time = 0; time < times; time++)
            work();
        one = (now() - start) / times;
        if (round == 0 || one < best)
            best = one;
    }
    printf("%s\t%.2f\n", name, best);
}

int main(int count, char **arguments)
{
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_ATTRIBUTE public_template[] = { { CKA_CLASS, &class, sizeof class } };
    CK_C_GetFunctionList list;
    void *library = count == 4 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library || !(list = (CK_C_GetFunctionList) dlsym(library, "C_GetFunctionList"))) {
        fprintf(stderr, "speed MODULE TOKEN-LABEL PIN: %s\n", count == 4 ? dlerror() : "three arguments");
        return 2;
    }
    MUST(list(&p11));
    MUST(p11->C_Initialize(NULL));
    find_slot(arguments[2]);
    MUST(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    MUST(p11->C_Login(session, CKU_USER, (CK_BYTE *) arguments[3], strlen(arguments[3])));
    if (find(public_template, 1, &public_key) != 1 || find(NULL, 0, NULL) != 3) {
        fprintf(stderr, "the token has to hold a key pair and a certificate, and nothing else\n");
        return 1;
    }
    measure("C_OpenSession and C_CloseSession", open_and_close, 200);
    measure("C_FindObjects over all objects", find_all, 50);
    measure("C_GetAttributeValue of 4 attributes", attributes, 200);
    measure("C_Digest of 1 MiB, SHA-256", digest, 3);
    MUST(p11->C_Finalize(NULL));
    return 0;
}
