// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Calls every function of 3.2 with any arguments in any order, from several threads:
 *
 *     fuzz MODULE SEED CALLS THREADS
 *
 * The calls keep one rule, which no module can check: a pointer that is not NULL points to as much memory as the length
 * beside it says. That memory ends at a wall (hostile.h). Checked is: no crash; no panic (CKR_GENERAL_ERROR) and no
 * failure of a sound chip; nothing written outside the buffers, or into one whose call failed; no length longer than
 * the room.
 */
#include "fuzz.h"

#include <pthread.h>

/* --- what is called ----------------------------------------------------------------------------------------------- */

static const struct function functions[] = {
    { "C_GetInfo", "I", sizeof(CK_INFO) },
    { "C_GetSlotList", "fB", sizeof(CK_SLOT_ID) },
    { "C_GetSlotInfo", "iI", sizeof(CK_SLOT_INFO) },
    { "C_GetTokenInfo", "iI", sizeof(CK_TOKEN_INFO) },
    { "C_GetMechanismList", "iB", sizeof(CK_MECHANISM_TYPE) },
    { "C_GetMechanismInfo", "iyI", sizeof(CK_MECHANISM_INFO) },
    { "C_InitToken", "iDl", 1 },
    { "C_InitPIN", "sD", 1 },
    { "C_SetPIN", "sDD", 1 },
    { "C_OpenSession", "ifNNh", 1 },
    { "C_CloseSession", "s", 1 },
    { "C_CloseAllSessions", "i", 1 },
    { "C_GetSessionInfo", "sI", sizeof(CK_SESSION_INFO) },
    { "C_GetOperationState", "sB", 1 },
    { "C_SetOperationState", "sDoo", 1 },
    { "C_Login", "suD", 1 },
    { "C_Logout", "s", 1 },
    { "C_CreateObject", "sth", 1 },
    { "C_CopyObject", "soth", 1 },
    { "C_DestroyObject", "so", 1 },
    { "C_GetObjectSize", "soI", sizeof(CK_ULONG) },
    { "C_GetAttributeValue", "soq", 1 },
    { "C_SetAttributeValue", "sot", 1 },
    { "C_FindObjectsInit", "st", 1 },
    { "C_FindObjects", "sL", 1 },
    { "C_FindObjectsFinal", "s", 1 },
    { "C_EncryptInit", "smo", 1 },
    { "C_Encrypt", "sDB", 1 },
    { "C_EncryptUpdate", "sDB", 1 },
    { "C_EncryptFinal", "sB", 1 },
    { "C_DecryptInit", "smo", 1 },
    { "C_Decrypt", "sDB", 1 },
    { "C_DecryptUpdate", "sDB", 1 },
    { "C_DecryptFinal", "sB", 1 },
    { "C_DigestInit", "sm", 1 },
    { "C_Digest", "sDB", 1 },
    { "C_DigestUpdate", "sD", 1 },
    { "C_DigestKey", "so", 1 },
    { "C_DigestFinal", "sB", 1 },
    { "C_SignInit", "smo", 1 },
    { "C_Sign", "sDB", 1 },
    { "C_SignUpdate", "sD", 1 },
    { "C_SignFinal", "sB", 1 },
    { "C_SignRecoverInit", "smo", 1 },
    { "C_SignRecover", "sDB", 1 },
    { "C_VerifyInit", "smo", 1 },
    { "C_Verify", "sDD", 1 },
    { "C_VerifyUpdate", "sD", 1 },
    { "C_VerifyFinal", "sD", 1 },
    { "C_VerifyRecoverInit", "smo", 1 },
    { "C_VerifyRecover", "sDB", 1 },
    { "C_DigestEncryptUpdate", "sDB", 1 },
    { "C_DecryptDigestUpdate", "sDB", 1 },
    { "C_SignEncryptUpdate", "sDB", 1 },
    { "C_DecryptVerifyUpdate", "sDB", 1 },
    { "C_GenerateKey", "smth", 1 },
    { "C_GenerateKeyPair", "smtthh", 1 },
    { "C_WrapKey", "smooB", 1 },
    { "C_UnwrapKey", "smoDth", 1 },
    { "C_DeriveKey", "smoth", 1 },
    { "C_SeedRandom", "sD", 1 },
    { "C_GenerateRandom", "sR", 1 },
    { "C_GetFunctionStatus", "s", 1 },
    { "C_CancelFunction", "s", 1 },
    { "C_WaitForSlotEvent", "whN", 1 },
    { "C_LoginUser", "suDD", 1 },
    { "C_SessionCancel", "sf", 1 },
    { "C_MessageEncryptInit", "smo", 1 },
    { "C_EncryptMessage", "sPDDB", 1 },
    { "C_EncryptMessageBegin", "sPD", 1 },
    { "C_EncryptMessageNext", "sPDBe", 1 },
    { "C_MessageEncryptFinal", "s", 1 },
    { "C_MessageDecryptInit", "smo", 1 },
    { "C_DecryptMessage", "sPDDB", 1 },
    { "C_DecryptMessageBegin", "sPD", 1 },
    { "C_DecryptMessageNext", "sPDBe", 1 },
    { "C_MessageDecryptFinal", "s", 1 },
    { "C_MessageSignInit", "smo", 1 },
    { "C_SignMessage", "sDDB", 1 },
    { "C_SignMessageBegin", "sD", 1 },
    { "C_SignMessageNext", "sDDB", 1 },
    { "C_MessageSignFinal", "s", 1 },
    { "C_MessageVerifyInit", "smo", 1 },
    { "C_VerifyMessage", "sDDD", 1 },
    { "C_VerifyMessageBegin", "sD", 1 },
    { "C_VerifyMessageNext", "sDDD", 1 },
    { "C_MessageVerifyFinal", "s", 1 },
    { "C_EncapsulateKey", "smotBh", 1 },
    { "C_DecapsulateKey", "smotDh", 1 },
    { "C_VerifySignatureInit", "smoD", 1 },
    { "C_VerifySignature", "sD", 1 },
    { "C_VerifySignatureUpdate", "sD", 1 },
    { "C_VerifySignatureFinal", "s", 1 },
    { "C_GetSessionValidationFlags", "sfI", sizeof(CK_FLAGS) },
    { "C_WrapKeyAuthenticated", "smooDB", 1 },
    { "C_UnwrapKeyAuthenticated", "smoDtDh", 1 },
};

/* --- one call, and what must hold after it ------------------------------------------------------------------------- */

typedef CK_RV (*any_function)(CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG,
                              CK_ULONG, CK_ULONG, CK_ULONG);

static int untouched(const struct call *call)
{
    for (size_t at = 0; call->output && at < call->room; at++)
        if (call->output[at] != 0x5C)
            return 0;
    return 1;
}

static void look_at_results(const struct call *call, CK_RV rv)
{
    const char *name = call->function->name;
    /* These two refuse a token without a PIN, or with objects, and the standard has no other value for it. */
    int may_fail = strcmp(name, "C_SetPIN") == 0 || strcmp(name, "C_InitToken") == 0;
    if (!CHECK(rv != CKR_GENERAL_ERROR && (may_fail || rv != CKR_FUNCTION_FAILED) && rv != CKR_DEVICE_ERROR && rv < 0x400))
        fprintf(stderr, "%s returned %#lx\n", name, rv);
    if (rv == CKR_OK && call->output && call->length && !CHECK(*call->length <= call->told))
        fprintf(stderr, "%s gave more than there is room for\n", name);
    if (rv != CKR_OK && !CHECK(untouched(call)))
        fprintf(stderr, "%s failed with %#lx, and wrote\n", name, rv);
    if (rv == CKR_OK && call->handle && strcmp(name, "C_WaitForSlotEvent") != 0)
        to_pool(strcmp(name, "C_OpenSession") == 0 ? sessions : objects, *call->handle);
    if (rv == CKR_OK && call->found && call->found_count)
        for (CK_ULONG at = 0; at < *call->found_count; at++)
            to_pool(objects, call->found[at]);
}

/* Functions after which little else can be tried. */
static int ends_much(const char *name)
{
    return strcmp(name, "C_CloseAllSessions") == 0 || strcmp(name, "C_CloseSession") == 0 ||
           strcmp(name, "C_InitToken") == 0 || strcmp(name, "C_SessionCancel") == 0;
}

/* How often each function succeeded. */
static unsigned successes[COUNT(functions)];

static void any_call(void)
{
    struct call call;
    CK_RV rv;
    CK_ULONG *w = call.words;
    memset(&call, 0, sizeof call);
    do
        call.function = &functions[below(COUNT(functions))];
    while (ends_much(call.function->name) && !one_in(20));
    for (const char *kind = call.function->arguments; *kind; kind++)
        argument(&call, *kind);
    if (getenv("FUZZ_TRACE"))
        fprintf(stderr, "%s(%#lx, %#lx, %#lx, %#lx)\n", call.function->name, w[0], w[1], w[2], w[3]);
    rv = ((any_function) symbol(call.function->name))(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10],
                                                      w[11]);
    look_at_results(&call, rv);
    __atomic_fetch_add(&successes[call.function - functions], rv == CKR_OK, __ATOMIC_RELAXED);
    while (call.used > 0) {
        struct block *last = &call.blocks[--call.used];
        fence_free(last->memory, last->size);
    }
}

static void restart(void)
{
    CK_RV rv = CALL(C_Finalize, NULL);
    CHECK(rv == CKR_OK || rv == CKR_CRYPTOKI_NOT_INITIALIZED);
    rv = CALL(C_Initialize, NULL);
    CHECK(rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED);
}

static void create(CK_KEY_TYPE type, CK_ULONG size)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_BYTE value[32] = { 1, 2, 3 };
    CK_BBOOL yes = 1;
    CK_OBJECT_HANDLE key;
    CK_ATTRIBUTE template[] = {
        ATTRIBUTE(CKA_CLASS, class), ATTRIBUTE(CKA_KEY_TYPE, type), { CKA_VALUE, value, size },
        ATTRIBUTE(CKA_ENCRYPT, yes), ATTRIBUTE(CKA_DECRYPT, yes), ATTRIBUTE(CKA_SIGN, yes), ATTRIBUTE(CKA_VERIFY, yes),
        ATTRIBUTE(CKA_WRAP, yes), ATTRIBUTE(CKA_UNWRAP, yes), ATTRIBUTE(CKA_EXTRACTABLE, yes),
    };
    if (CALL(C_CreateObject, own_session, template, COUNT(template), &key) == CKR_OK)
        to_pool(objects, key);
}

/* Sessions get closed, and keys destroyed: there have to be some for the rest to mean something. Other threads may be
 * faster, so nothing is sure to succeed. */
static void live_again(void)
{
    CK_SESSION_INFO info;
    CK_OBJECT_HANDLE keys[8];
    CK_ULONG count;
    if (CALL(C_GetSessionInfo, own_session, &info) == CKR_OK)
        return;
    if (CALL(C_OpenSession, 0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &own_session) != CKR_OK)
        return;
    to_pool(sessions, own_session);
    create(CKK_AES, 16);
    create(CKK_GENERIC_SECRET, 20);
    if (CALL(C_FindObjectsInit, own_session, NULL, 0) == CKR_OK &&
        CALL(C_FindObjects, own_session, keys, COUNT(keys), &count) == CKR_OK)
        for (CK_ULONG at = 0; at < count; at++)
            to_pool(objects, keys[at]);
    (void) CALL(C_FindObjectsFinal, own_session);
}

/* Many calls must succeed, otherwise only the first checks are tested. */
static void much_of_it_worked(void)
{
    size_t worked = 0;
    for (size_t at = 0; at < COUNT(functions); at++) {
        fprintf(stderr, "%s: %u\n", functions[at].name, successes[at]);
        worked += successes[at] > 0;
    }
    CHECK(worked > 40);
}

static unsigned long seed, calls;

static void *run(void *thread)
{
    seed_thread(seed * 1000 + (uintptr_t) thread);
    for (unsigned long at = 0; at < calls; at++) {
        if (one_in(2000))
            restart();
        if (one_in(3))
            live_again();
        any_call();
    }
    return NULL;
}

int main(int count, char **arguments)
{
    pthread_t threads[32];
    size_t number_of_threads;
    CK_SESSION_HANDLE session;
    load_module(count, arguments);
    if (count != 5)
        return 2;
    seed = strtoul(arguments[2], NULL, 10);
    calls = strtoul(arguments[3], NULL, 10);
    number_of_threads = strtoul(arguments[4], NULL, 10);
    EXPECT(CKR_OK, CALL(C_Initialize, NULL));
    session = open_session();
    sessions[0] = session;
    objects[0] = aes_key(session);
    objects[1] = hmac_key(session);
    key_pair(session, &objects[2], &objects[3]);
    for (size_t at = 0; at < number_of_threads && at < COUNT(threads); at++)
        if (pthread_create(&threads[at], NULL, run, (void *) (uintptr_t) at))
            return 2;
    for (size_t at = 0; at < number_of_threads && at < COUNT(threads); at++)
        pthread_join(threads[at], NULL);
    EXPECT(CKR_OK, CALL(C_Finalize, NULL));
    much_of_it_worked();
    return verdict();
}
