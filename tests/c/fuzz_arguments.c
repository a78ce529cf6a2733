// SPDX-License-Identifier: MIT OR Apache-2.0
/* Arguments, of every kind and quality. See fuzz.h. */
#include "fuzz.h"

/* --- what everybody knows ----------------------------------------------------------------------------------------- */

CK_ULONG sessions[POOL], objects[POOL];

/* xorshift64*: the same everywhere. */
static __thread uint64_t state;
static uint64_t number(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 2685821657736338717ULL) >> 16;
}
void seed_thread(uint64_t seed) { state = seed * 2654435761u + 1; }

CK_ULONG below(CK_ULONG limit) { return (CK_ULONG) (number() % limit); }
int one_in(CK_ULONG count) { return below(count) == 0; }

__thread CK_ULONG own_session;

static CK_ULONG from_pool(CK_ULONG *pool)
{
    if (one_in(20))
        return one_in(2) ? ABSURD : below(40);
    if (pool == sessions && !one_in(4))
        return own_session;
    return __atomic_load_n(&pool[below(POOL)], __ATOMIC_RELAXED);
}
void to_pool(CK_ULONG *pool, CK_ULONG handle)
{
    __atomic_store_n(&pool[below(POOL)], handle, __ATOMIC_RELAXED);
}

/* --- the memory of one call --------------------------------------------------------------------------------------- */

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
        /* More than any result here. */
        call->room = 8192;
        call->told = ABSURD;
    }
    call->output = one_in(8) ? NULL : memset(block(call, call->room), 0x5C, call->room);
    call->length = one_in(20) ? NULL : copy(call, &call->told, sizeof call->told);
    pointer(call, call->output);
    pointer(call, call->length);
}

/* p11-kit's header ends with 2.40, and lacks some of it. */
#ifndef CKM_HKDF_DERIVE
#define CKM_HKDF_DERIVE 0x402aUL
#endif
struct hkdf_params {
    CK_BBOOL extract, expand;
    CK_MECHANISM_TYPE hash;
    CK_ULONG salt_type;
    CK_BYTE *salt;
    CK_ULONG salt_len;
    CK_OBJECT_HANDLE salt_key;
    CK_BYTE *info;
    CK_ULONG info_len;
};
struct tls_kdf_params {
    CK_MECHANISM_TYPE prf;
    CK_BYTE *label;
    CK_ULONG label_len;
    CK_BYTE *client_random;
    CK_ULONG client_random_len;
    CK_BYTE *server_random;
    CK_ULONG server_random_len;
    CK_BYTE *context;
    CK_ULONG context_len;
};

struct message_params {
    CK_BYTE *iv;
    CK_ULONG iv_len, iv_fixed_bits, generator;
    CK_BYTE *tag;
    CK_ULONG tag_bits;
};

static const CK_MECHANISM_TYPE deriving[] = { CKM_ECDH1_DERIVE, CKM_HKDF_DERIVE, CKM_TLS12_KDF };
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

/* Mostly one that fits the function. */
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
    case 6: return deriving[below(COUNT(deriving))];
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

/* Bytes of a parameter: their length is right, or there are none. */
static CK_BYTE *part(struct call *call, CK_ULONG *len)
{
    *len = one_in(12) ? ABSURD : below(60);
    return *len == ABSURD || one_in(5) ? NULL : bytes(call, *len);
}

static void hkdf(struct call *call, CK_MECHANISM *made)
{
    struct hkdf_params params;
    memset(&params, 0, sizeof params);
    params.extract = (CK_BBOOL) !one_in(3);
    params.expand = (CK_BBOOL) !one_in(5);
    params.hash = digests[one_in(3) ? below(COUNT(digests)) : 1];
    params.salt_type = one_in(8) ? ABSURD : (CK_ULONG) 1 << below(3);
    params.salt = part(call, &params.salt_len);
    params.salt_key = from_pool(objects);
    params.info = part(call, &params.info_len);
    made->pParameter = copy(call, &params, sizeof params);
    made->ulParameterLen = sizeof params;
}

/* The parameter of a message, mostly a good one. */
static void message_parameter(struct call *call)
{
    struct message_params params = { NULL, 12, 0, one_in(3) ? below(6) : 0, NULL, 128 };
    if (one_in(8))
        params.iv_len = one_in(2) ? ABSURD : below(20);
    if (one_in(8))
        params.iv_fixed_bits = one_in(2) ? ABSURD : below(100);
    if (one_in(8))
        params.tag_bits = one_in(2) ? ABSURD : 8 * below(17);
    params.iv = one_in(20) ? NULL : bytes(call, params.iv_len == ABSURD ? 12 : params.iv_len);
    params.tag = one_in(20) ? NULL : bytes(call, params.tag_bits == ABSURD ? 16 : params.tag_bits / 8);
    pointer(call, one_in(20) ? NULL : copy(call, &params, sizeof params));
    word(call, one_in(20) ? ABSURD : sizeof params);
}

static void tls_kdf(struct call *call, CK_MECHANISM *made)
{
    struct tls_kdf_params params;
    memset(&params, 0, sizeof params);
    params.prf = digests[one_in(3) ? below(COUNT(digests)) : 1];
    params.label = part(call, &params.label_len);
    params.client_random = part(call, &params.client_random_len);
    params.server_random = part(call, &params.server_random_len);
    params.context = part(call, &params.context_len);
    made->pParameter = copy(call, &params, sizeof params);
    made->ulParameterLen = sizeof params;
}

/* Mostly a valid one. */
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
    case CKM_HKDF_DERIVE: kind = 8; break;
    case CKM_TLS12_KDF: kind = 9; break;
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
    case 8:
        hkdf(call, &made);
        break;
    case 9:
        tls_kdf(call, &made);
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

/* The attributes that the function needs to succeed; returns their number. */
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

void argument(struct call *call, char kind)
{
    size_t size;
    switch (kind) {
    case 's': word(call, from_pool(sessions)); break;
    case 'o': word(call, from_pool(objects)); break;
    case 'i': word(call, one_in(10) ? below(ABSURD) : 0); break;
    case 'D': input(call); break;
    case 'P': message_parameter(call); break;
    case 'e': word(call, one_in(20) ? below(ABSURD) : below(2)); break;
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
