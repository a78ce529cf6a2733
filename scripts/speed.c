// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Measures the time of calls on the host, for any PKCS#11 module.
 *
 *     speed MODULE TOKEN-LABEL PIN
 *
 * Measures the calls that need no chip. Prints a line per kind of work: its name, a tab, the time of one in
 * microseconds. The time is the best of many rounds, as on an idle machine.
 *
 *     speed MODULE TOKEN-LABEL PIN WORK TIMES
 *
 * Does one kind of work TIMES times, for a profiler or a clock around the process (scripts/performance.py):
 *
 *     load         prints the microseconds of dlopen and C_GetFunctionList
 *     initialize   C_Initialize and C_Finalize, in addition to once
 *     sessions     C_OpenSession and C_CloseSession
 *     find         a search over all objects; prints the best time in microseconds, and the number of objects
 *     attributes   C_GetAttributeValue of 4 attributes of a public key
 *     sign         C_SignInit and C_Sign of a digest; prints the microseconds of each
 *     nothing      only what comes before: C_Initialize, a session, the login, and a public key by its class
 *     resident     prints the resident memory in kB: before loading, after C_Initialize, with TIMES sessions, after TIMES logins
 *     many         prints the microseconds of a session that is opened and closed while TIMES others are open
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
static CK_OBJECT_HANDLE public_key, private_key;
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
    CK_OBJECT_HANDLE all[512];
    CK_ULONG count = 0;
    MUST(p11->C_FindObjectsInit(session, template, attributes));
    MUST(p11->C_FindObjects(session, all, 512, &count));
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

static double best_of(void (*work)(void), int rounds, int times)
{
    double best = 0;
    for (int round = 0; round < rounds; round++) {
        double start = now(), one;
        for (int time = 0; time < times; time++)
            work();
        one = (now() - start) / times;
        if (round == 0 || one < best)
            best = one;
    }
    return best;
}

static void measure(const char *name, void (*work)(void), int times)
{
    work();
    printf("%s\t%.2f\n", name, best_of(work, ROUNDS, times));
}

static void sign(void)
{
    CK_MECHANISM ecdsa = { CKM_ECDSA, NULL, 0 };
    CK_BYTE data[32] = { 7 }, signature[64];
    CK_ULONG length = sizeof signature;
    MUST(p11->C_SignInit(session, &ecdsa, private_key));
    MUST(p11->C_Sign(session, data, sizeof data, signature, &length));
}

static long resident(void)
{
    char text[256];
    long kb = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(text, sizeof text, status))
        sscanf(text, "VmRSS: %ld", &kb);
    if (status)
        fclose(status);
    return kb;
}

static void open_sessions(CK_SESSION_HANDLE *opened, int times)
{
    for (int time = 0; time < times; time++)
        MUST(p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &opened[time]));
}

/* One kind of work, before whose calls the module is initialized with a session and a login. */
static void work_by_name(const char *work, int times, char *pin)
{
    CK_SESSION_HANDLE *opened = calloc((size_t) times, sizeof *opened);
    if (!opened)
        exit(1);
    if (strcmp(work, "initialize") == 0) {
        MUST(p11->C_Finalize(NULL));
        for (int time = 0; time < times; time++) {
            MUST(p11->C_Initialize(NULL));
            MUST(p11->C_Finalize(NULL));
        }
        MUST(p11->C_Initialize(NULL));
    } else if (strcmp(work, "find") == 0) {
        printf("%.2f %lu\n", best_of(find_all, times, 1), find(NULL, 0, NULL));
    } else if (strcmp(work, "many") == 0) {
        open_sessions(opened, times);
        printf("%.2f\n", best_of(open_and_close, 40, 20));
    } else if (strcmp(work, "resident") == 0) {
        open_sessions(opened, times);
        printf(" %ld", resident());
        for (int time = 0; time < times; time++)
            MUST(p11->C_CloseSession(opened[time]));
        for (int time = 0; time < times; time++) {
            MUST(p11->C_Logout(session));
            MUST(p11->C_Login(session, CKU_USER, (CK_BYTE *) pin, strlen(pin)));
        }
        printf(" %ld\n", resident());
    } else if (strcmp(work, "sign") == 0) {
        for (int time = 0; time < times; time++) {
            double start = now();
            sign();
            printf("%.0f\n", now() - start);
        }
    } else {
        void (*call)(void) = strcmp(work, "sessions") == 0 ? open_and_close : strcmp(work, "attributes") == 0 ? attributes : NULL;
        for (int time = 0; call && time < times; time++)
            call();
    }
    free(opened);
}

int main(int count, char **arguments)
{
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY, private_class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE public_template[] = { { CKA_CLASS, &class, sizeof class } };
    CK_ATTRIBUTE private_template[] = { { CKA_CLASS, &private_class, sizeof private_class } };
    CK_C_GetFunctionList list;
    const char *work = count == 6 ? arguments[4] : "";
    long before = resident();
    double start = now();
    void *library = count == 4 || count == 6 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library || !(list = (CK_C_GetFunctionList) dlsym(library, "C_GetFunctionList"))) {
        fprintf(stderr, "speed MODULE TOKEN-LABEL PIN [WORK TIMES]: %s\n", count == 4 || count == 6 ? dlerror() : "arguments");
        return 2;
    }
    MUST(list(&p11));
    if (strcmp(work, "load") == 0) {
        printf("%.0f\n", now() - start);
        return 0;
    }
    MUST(p11->C_Initialize(NULL));
    if (strcmp(work, "resident") == 0)
        printf("%ld %ld", before, resident());
    find_slot(arguments[2]);
    MUST(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    MUST(p11->C_Login(session, CKU_USER, (CK_BYTE *) arguments[3], strlen(arguments[3])));
    if (count == 6) {
        if (find(public_template, 1, &public_key) == 0 || find(private_template, 1, &private_key) == 0) {
            fprintf(stderr, "the token has to hold a key pair\n");
            return 1;
        }
        work_by_name(work, atoi(arguments[5]), arguments[3]);
        MUST(p11->C_Finalize(NULL));
        return 0;
    }
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
