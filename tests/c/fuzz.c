/*
 * Calls every function of 3.2 with any arguments in any order, from several threads:
 *
 *     fuzz MODULE SEED CALLS THREADS
 *
 * The one promise that is kept is the one that no module can check: a pointer that is not NULL points to as much memory as
 * the length beside it says. That memory ends at a wall (hostile.h). Checked is: no crash; no panic (CKR_GENERAL_ERROR) and no
 * failure of a sound chip; nothing written outside the buffers, or into one whose call failed; no length longer than
 * the room.
 */
#include "hostile.h"

#include <pthread.h>

/* --- what is called ----------------------------------------------------------------------------------------------- */

/*
 * Arguments of a function, a letter for each or for a pair:
 *     s session   i slot   o object   D input and length   B output and pointer to length   R output and length
 *     m mechanism   t template and count   q attributes to fill and count   h result: a handle   f flags   u user
 *     I result: a structure   l label of 32 bytes   N pointer that should be NULL   w C_WaitForSlotEvent's flags
 *     y mechanism's code   L result: objects, room and count
 */
static const struct function { const char *name, *arguments; size_t unit; } functions[] = {
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
    { "C_EncryptMessage", "sDDDB", 1 },
    { "C_EncryptMessageBegin", "sDD", 1 },
    { "C_EncryptMessageNext", "sDDBf", 1 },
    { "C_MessageEncryptFinal", "s", 1 },
    { "C_MessageDecryptInit", "smo", 1 },
    { "C_DecryptMessage", "sDDDB", 1 },
    { "C_DecryptMessageBegin", "sDD", 1 },
    { "C_DecryptMessageNext", "sDDBf", 1 },
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

/* --- what everybody knows ----------------------------------------------------------------------------------------- */

#define POOL 16
static CK_ULONG sessions[POOL], objects[POOL];

/* xorshift64*: the same everywhere. */
static __thread uint64_t state;
static uint64_t number(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 2685821657736338717ULL) >> 16;
}
static CK_ULONG below(CK_ULONG limit) { return (CK_ULONG) (number() % limit); }
static int one_in(CK_ULONG count) { return below(count) == 0; }

/* The session that this thread uses most, so that operations get further than their beginning. */
static __thread CK_ULONG own_session;

static CK_ULONG from_pool(CK_ULONG *pool)
{
    if (one_in(20))
        return one_in(2) ? ABSURD : below(40);
    if (pool == sessions && !one_in(4))
        return own_session;
    return __atomic_load_n(&pool[below(POOL)], __ATOMIC_RELAXED);
}
static void to_pool(CK_ULONG *pool, CK_ULONG handle)
{
    __atomic_store_n(&pool[below(POOL)], handle, __ATOMIC_RELAXED);
}

/* --- the memory of one call --------------------------------------------------------------------------------------- */

struct block { void *memory; size_t size; };
struct call {
    const struct function *function;
    CK_ULONG words[12];
    int count;
    struct block blocks[128];
    int used;
    /* The output with the two-call convention, if there is one. */
    unsigned char *output;
    size_t room;
    CK_ULONG *length, told;
    /* Results. */
    CK_ULONG *handle, *found, *found_count;
};

static void *block(struct call *call, size_t size)
{
    void *memory = fence(size);
    if (call->used == (int) COUNT(call->blocks)) {
        fprintf(stderr, "too many blocks\n");
        exit(2);
    }
    call->blocks[call->used++] = (struct block) { memory, size };
    return memory;
}

static void *bytes(struct call *call, size_t size)
{
    unsigned char *memory = block(call, size);
    for (size_t at = 0; at < size; at++)
        memory[at] = (unsigned char) number();
    return memory;
}

static void *copy(struct call *call, const void *what, size_t size) { return memcpy(block(call, size), what, size); }

static void word(struct call *call, CK_ULONG value) { call->words[call->count++] = value; }
static void pointer(struct call *call, const void *value) { word(call, (CK_ULONG) (uintptr_t) value); }

/* No length here is that of a structure with pointers in it. */
static size_t any_size(void)
{
    static const size_t sizes[] = { 0, 1, 5, 12, 15, 16, 17, 32, 33, 64, 65, 67, 300 };
    return sizes[below(COUNT(sizes))];
}

static void input(struct call *call)
{
    size_t size = any_size();
    if (one_in(25)) {
        pointer(call, one_in(2) ? NULL : block(call, 3));
        word(call, call->words[call->count - 1] ? ABSURD : size);
    } else {
        pointer(call, bytes(call, size));
        word(call, size);
    }
}

static void output(struct call *call)
{
    static const size_t rooms[] = { 0, 1, 5, 16, 31, 32, 48, 63, 64, 80, 400, 400, 400 };
    call->room = rooms[below(COUNT(rooms))] * call->function->unit;
    call->told = call->room / call->function->unit;
    if (one_in(20)) {
        /* More than anything that is answered here. */
        call->room = 8192;
        call->told = ABSURD;
    }
    call->output = one_in(8) ? NULL : memset(block(call, call->room), 0x5C, call->room);
    call->length = one_in(20) ? NULL : copy(call, &call->told, sizeof call->told);
    pointer(call, call->output);
    pointer(call, call->length);
}

static const CK_MECHANISM_TYPE signing[] = {
    CKM_ECDSA, CKM_ECDSA_SHA1, CKM_ECDSA_SHA256, CKM_ECDSA_SHA512, CKM_SHA256_HMAC, CKM_SHA256_HMAC_GENERAL, CKM_AES_CMAC,
    CKM_AES_CMAC_GENERAL,
};
static const CK_MECHANISM_TYPE ciphers[] = { CKM_AES_ECB, CKM_AES_CBC, CKM_AES_CBC_PAD, CKM_AES_CTR, CKM_AES_GCM };
static const CK_MECHANISM_TYPE digests[] = { CKM_SHA_1, CKM_SHA256, CKM_SHA512 };
static const CK_MECHANISM_TYPE others[] = {
    CKM_AES_KEY_GEN, CKM_GENERIC_SECRET_KEY_GEN, CKM_EC_KEY_PAIR_GEN, CKM_ECDH1_DERIVE, CKM_ECDH1_COFACTOR_DERIVE,
    CKM_RSA_PKCS, 0x80000001UL,
};

static int named(const struct call *call, const char *part) { return strstr(call->function->name, part) != NULL; }

/* One that suits the function, mostly. */
static CK_MECHANISM_TYPE mechanism_type(const struct call *call)
{
    int chosen = (int) below(12);
    if (one_in(30))
        return below(ABSURD);
    if (chosen > 3)
        chosen = named(call, "GenerateKeyPair") ? 4 : named(call, "GenerateKey") ? 5 : named(call, "Derive") ? 6
            : named(call, "Digest") ? 2 : named(call, "crypt") || named(call, "rap") ? 1 : 0;
    switch (chosen) {
    case 0: return signing[below(COUNT(signing))];
    case 1: return ciphers[below(COUNT(ciphers))];
    case 2: return digests[below(COUNT(digests))];
    case 4: return CKM_EC_KEY_PAIR_GEN;
    case 5: return one_in(2) ? CKM_AES_KEY_GEN : CKM_GENERIC_SECRET_KEY_GEN;
    case 6: return CKM_ECDH1_DERIVE;
    default: return others[below(COUNT(others))];
    }
}

/* The generator of P-256: a public key like any other. */
static const CK_BYTE point[65] = {
    0x04, 0x6B, 0x17, 0xD1, 0xF2, 0xE1, 0x2C, 0x42, 0x47, 0xF8, 0xBC, 0xE6, 0xE5, 0x63, 0xA4, 0x40, 0xF2, 0x77, 0x03,
    0x7D, 0x81, 0x2D, 0xEB, 0x33, 0xA0, 0xF4, 0xA1, 0x39, 0x45, 0xD8, 0x98, 0xC2, 0x96, 0x4F, 0xE3, 0x42, 0xE2, 0xFE,
    0x1A, 0x7F, 0x9B, 0x8E, 0xE7, 0xEB, 0x4A, 0x7C, 0x0F, 0x9E, 0x16, 0x2B, 0xCE, 0x33, 0x57, 0x6B, 0x31, 0x5E, 0xCE,
    0xCB, 0xB6, 0x40, 0x68, 0x37, 0xBF, 0x51, 0xF5,
};

/* As a caller would give it, mostly. */
static void mechanism(struct call *call)
{
    CK_MECHANISM made = { mechanism_type(call), NULL, 0 };
    CK_BYTE_PTR some = one_in(20) ? NULL : bytes(call, 16);
    CK_ULONG value = below(20) * 8;
    CK_GCM_PARAMS gcm;
    CK_AES_CTR_PARAMS ctr;
    CK_ECDH1_DERIVE_PARAMS ecdh;
    int kind = (int) below(8);
    if (one_in(20)) {
        pointer(call, NULL);
        return;
    }
    switch (one_in(15) ? (CK_MECHANISM_TYPE) ABSURD : made.mechanism) {
    case CKM_AES_GCM: kind = 0; break;
    case CKM_AES_CTR: kind = 1; break;
    case CKM_ECDH1_DERIVE: case CKM_ECDH1_COFACTOR_DERIVE: kind = 2; break;
    case CKM_SHA256_HMAC_GENERAL: case CKM_AES_CMAC_GENERAL: kind = 3; break;
    case CKM_AES_CBC: case CKM_AES_CBC_PAD: kind = 4; break;
    /* Another's: where two structures are of one size, one's numbers would be the other's pointers. */
    case ABSURD: kind = kind == 1 || kind == 2 ? 5 : kind; break;
    default: kind = 7;
    }
    memset(&gcm, 0, sizeof gcm);
    switch (kind) {
    case 0:
        gcm.pIv = some;
        gcm.ulIvLen = one_in(8) ? (some ? below(17) : ABSURD) : 12;
        gcm.ulIvBits = below(200);
        gcm.pAAD = one_in(2) ? NULL : bytes(call, 20);
        gcm.ulAADLen = gcm.pAAD ? below(21) : (CK_ULONG) one_in(9);
        gcm.ulTagBits = one_in(3) ? value : 128;
        made.pParameter = copy(call, &gcm, sizeof gcm);
        made.ulParameterLen = sizeof gcm;
        break;
    case 1:
        ctr.ulCounterBits = one_in(2) ? 128 : value;
        memset(ctr.cb, one_in(2) ? 0xFF : 7, sizeof ctr.cb);
        made.pParameter = copy(call, &ctr, sizeof ctr);
        made.ulParameterLen = sizeof ctr;
        break;
    case 2:
        ecdh.kdf = one_in(2) ? CKD_NULL : below(10);
        ecdh.pSharedData = one_in(4) ? some : NULL;
        ecdh.ulSharedDataLen = ecdh.pSharedData ? below(17) : 0;
        ecdh.pPublicData = one_in(3) ? bytes(call, 65) : copy(call, point, sizeof point);
        ecdh.ulPublicDataLen = one_in(9) ? ABSURD : one_in(9) ? below(65) : 65;
        made.pParameter = copy(call, &ecdh, sizeof ecdh);
        made.ulParameterLen = sizeof ecdh;
        break;
    case 3:
        made.pParameter = copy(call, &value, sizeof value);
        made.ulParameterLen = sizeof value;
        break;
    case 4:
        made.pParameter = some;
        made.ulParameterLen = 16;
        break;
    case 5:
        made.pParameter = some;
        made.ulParameterLen = some ? below(17) : ABSURD;
        break;
    case 6:
        made.ulParameterLen = below(300);
        break;
    }
    pointer(call, copy(call, &made, sizeof made));
}

static const CK_ATTRIBUTE_TYPE types[] = {
    CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL, CKA_VALUE, CKA_CERTIFICATE_TYPE, CKA_KEY_TYPE, CKA_ID, CKA_SENSITIVE,
    CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_SIGN, CKA_VERIFY, CKA_DERIVE, CKA_VALUE_LEN, CKA_EXTRACTABLE,
    CKA_EC_PARAMS, CKA_EC_POINT, CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE, CKA_ALLOWED_MECHANISMS, CKA_APPLICATION,
    CKA_WRAP_TEMPLATE, CKA_SUBJECT, 0xC1543601UL,
};

static const CK_BYTE p256[] = { 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07 };

static void attribute(struct call *call, CK_ATTRIBUTE *made)
{
    static const CK_ULONG values[] = { 0, 1, 2, 3, 4, 8, 16, 32, CKK_EC, CKK_GENERIC_SECRET, CKK_AES, ABSURD };
    CK_ULONG value = values[below(COUNT(values))];
    CK_BBOOL flag = (CK_BBOOL) (one_in(20) ? 2 : one_in(3));
    made->type = one_in(30) ? below(ABSURD) : types[below(COUNT(types))];
    if (one_in(15)) {
        made->ulValueLen = one_in(2) ? ABSURD : any_size();
        made->pValue = one_in(2) || made->ulValueLen == ABSURD ? NULL : bytes(call, made->ulValueLen);
        return;
    }
    switch (made->type) {
    case CKA_CLASS: case CKA_KEY_TYPE: case CKA_VALUE_LEN: case CKA_CERTIFICATE_TYPE: case 0xC1543601UL:
    case CKA_ALLOWED_MECHANISMS:
        made->ulValueLen = sizeof value;
        made->pValue = copy(call, &value, sizeof value);
        break;
    case CKA_EC_PARAMS:
        made->ulValueLen = sizeof p256;
        made->pValue = copy(call, p256, sizeof p256);
        break;
    case CKA_LABEL: case CKA_VALUE: case CKA_ID: case CKA_EC_POINT: case CKA_APPLICATION: case CKA_SUBJECT:
        made->ulValueLen = any_size();
        made->pValue = memset(block(call, made->ulValueLen), 'a' + (int) below(3), made->ulValueLen);
        break;
    default:
        made->ulValueLen = sizeof flag;
        made->pValue = copy(call, &flag, sizeof flag);
    }
}

static void put(struct call *call, CK_ATTRIBUTE *made, CK_ATTRIBUTE_TYPE type, const void *value, CK_ULONG size)
{
    *made = (CK_ATTRIBUTE) { type, copy(call, value, size), size };
}

/* What the function needs to succeed; answers how many attributes that are. */
static CK_ULONG needed(struct call *call, CK_ATTRIBUTE *made)
{
    CK_ULONG class = CKO_SECRET_KEY, type = one_in(2) ? CKK_AES : CKK_GENERIC_SECRET, size = 16, count = 0;
    CK_BBOOL yes = 1;
    if (named(call, "KeyPair")) {
        put(call, &made[count++], CKA_TOKEN, &yes, 1);
        /* Of the public template, the first. */
        if (call->count < 4)
            put(call, &made[count++], CKA_EC_PARAMS, p256, sizeof p256);
    } else if (named(call, "C_GenerateKey")) {
        put(call, &made[count++], CKA_VALUE_LEN, &size, sizeof size);
    } else if (named(call, "CreateObject") || named(call, "wrap") || named(call, "Derive")) {
        put(call, &made[count++], CKA_CLASS, &class, sizeof class);
        put(call, &made[count++], CKA_KEY_TYPE, &type, sizeof type);
        if (named(call, "CreateObject"))
            put(call, &made[count++], CKA_VALUE, point, 16);
    }
    return count;
}

static void template(struct call *call, int to_fill)
{
    CK_ATTRIBUTE made[9];
    CK_ULONG count = below(COUNT(made) - 3);
    if (one_in(25)) {
        pointer(call, one_in(2) ? NULL : block(call, 5));
        word(call, call->words[call->count - 1] ? ABSURD : count);
        return;
    }
    if (!to_fill && !one_in(3)) {
        CK_ULONG more = one_in(2) ? 0 : below(3);
        count = needed(call, made);
        while (more-- > 0)
            attribute(call, &made[count++]);
    } else {
        for (CK_ULONG at = 0; at < count; at++)
            attribute(call, &made[at]);
    }
    for (CK_ULONG at = 0; to_fill && at < count; at++) {
        made[at].ulValueLen = one_in(4) ? any_size() : 300;
        made[at].pValue = one_in(4) ? NULL : block(call, made[at].ulValueLen);
    }
    pointer(call, copy(call, made, count * sizeof made[0]));
    word(call, count);
}

static void argument(struct call *call, char kind)
{
    size_t size;
    switch (kind) {
    case 's': word(call, from_pool(sessions)); break;
    case 'o': word(call, from_pool(objects)); break;
    case 'i': word(call, one_in(10) ? below(ABSURD) : 0); break;
    case 'D': input(call); break;
    case 'B': output(call); break;
    case 'm': mechanism(call); break;
    case 't': template(call, 0); break;
    case 'q': template(call, 1); break;
    case 'f': word(call, one_in(4) ? below(ABSURD) : CKF_SERIAL_SESSION | below(2) * CKF_RW_SESSION); break;
    case 'u': word(call, one_in(5) ? below(ABSURD) : below(3)); break;
    case 'y': word(call, mechanism_type(call)); break;
    case 'w': word(call, CKF_DONT_BLOCK); break;
    case 'N': pointer(call, one_in(9) ? block(call, 1) : NULL); break;
    case 'I': pointer(call, one_in(20) ? NULL : block(call, call->function->unit)); break;
    case 'l': pointer(call, one_in(20) ? NULL : one_in(2) ? bytes(call, 32) : memset(block(call, 32), 'x', 32)); break;
    case 'h':
        call->handle = one_in(15) ? NULL : block(call, sizeof *call->handle);
        pointer(call, call->handle);
        break;
    case 'R':
        size = any_size();
        pointer(call, one_in(20) ? NULL : block(call, size));
        word(call, one_in(20) ? ABSURD : size);
        break;
    case 'L':
        size = below(9);
        call->found = one_in(20) ? NULL : block(call, size * sizeof *call->found);
        call->found_count = one_in(20) ? NULL : block(call, sizeof *call->found_count);
        pointer(call, call->found);
        word(call, size);
        pointer(call, call->found_count);
        break;
    default: abort();
    }
}

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
    if (!CHECK(rv != CKR_GENERAL_ERROR && rv != CKR_FUNCTION_FAILED && rv != CKR_DEVICE_ERROR && rv < 0x400))
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

/* Functions after which little is left to try. */
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

/* The arguments must be such that much of it works, or nothing is tried but the first checks. */
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
    state = (seed * 1000 + (uintptr_t) thread) * 2654435761u + 1;
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
