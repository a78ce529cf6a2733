// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Templates with every kind of error: none with an attribute of the wrong size, a contradiction or an impossible length
 * creates an object, and a refused call leaves nothing behind.
 */
#include "hostile.h"

static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE aes, public_key, private_key;

static CK_BYTE p256[] = { 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07 };
/* The generator of P-256 in a DER OCTET STRING. */
static CK_BYTE point[67] = {
    0x04, 0x41, 0x04, 0x6B, 0x17, 0xD1, 0xF2, 0xE1, 0x2C, 0x42, 0x47, 0xF8, 0xBC, 0xE6, 0xE5, 0x63, 0xA4, 0x40, 0xF2,
    0x77, 0x03, 0x7D, 0x81, 0x2D, 0xEB, 0x33, 0xA0, 0xF4, 0xA1, 0x39, 0x45, 0xD8, 0x98, 0xC2, 0x96, 0x4F, 0xE3, 0x42,
    0xE2, 0xFE, 0x1A, 0x7F, 0x9B, 0x8E, 0xE7, 0xEB, 0x4A, 0x7C, 0x0F, 0x9E, 0x16, 0x2B, 0xCE, 0x33, 0x57, 0x6B, 0x31,
    0x5E, 0xCE, 0xCB, 0xB6, 0x40, 0x68, 0x37, 0xBF, 0x51, 0xF5,
};
static CK_BYTE value[16] = "sixteen bytes...", label[5] = "label";
static CK_ULONG sixteen = 16;
static CK_BBOOL yes = 1, no = 0;
static CK_OBJECT_CLASS secret_class = CKO_SECRET_KEY, public_class = CKO_PUBLIC_KEY, data_class = CKO_DATA;
static CK_KEY_TYPE aes_type = CKK_AES, ec_type = CKK_EC;

static CK_ATTRIBUTE secret_template[] = {
    ATTRIBUTE(CKA_CLASS, secret_class), ATTRIBUTE(CKA_KEY_TYPE, aes_type), ATTRIBUTE(CKA_TOKEN, no),
    ATTRIBUTE(CKA_ENCRYPT, yes), ATTRIBUTE(CKA_EXTRACTABLE, yes), ATTRIBUTE(CKA_LABEL, label), ATTRIBUTE(CKA_VALUE, value),
};
static CK_ATTRIBUTE public_template[] = {
    ATTRIBUTE(CKA_CLASS, public_class), ATTRIBUTE(CKA_KEY_TYPE, ec_type), ATTRIBUTE(CKA_TOKEN, no),
    ATTRIBUTE(CKA_VERIFY, yes), ATTRIBUTE(CKA_LABEL, label), ATTRIBUTE(CKA_EC_PARAMS, p256), ATTRIBUTE(CKA_EC_POINT, point),
};
static CK_ATTRIBUTE data_template[] = {
    ATTRIBUTE(CKA_CLASS, data_class), ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_PRIVATE, no), ATTRIBUTE(CKA_LABEL, label),
    ATTRIBUTE(CKA_VALUE, value),
};
static CK_ATTRIBUTE generated_template[] = {
    ATTRIBUTE(CKA_TOKEN, no), ATTRIBUTE(CKA_ENCRYPT, yes), ATTRIBUTE(CKA_LABEL, label), ATTRIBUTE(CKA_VALUE_LEN, sixteen),
};
static CK_ATTRIBUTE pair_template[] = {
    ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_VERIFY, yes), ATTRIBUTE(CKA_LABEL, label), ATTRIBUTE(CKA_EC_PARAMS, p256),
};
static CK_ATTRIBUTE unwrapped_template[] = {
    ATTRIBUTE(CKA_CLASS, secret_class), ATTRIBUTE(CKA_KEY_TYPE, aes_type), ATTRIBUTE(CKA_TOKEN, no),
    ATTRIBUTE(CKA_SENSITIVE, no), ATTRIBUTE(CKA_LABEL, label),
};
static CK_ATTRIBUTE derived_template[] = {
    ATTRIBUTE(CKA_CLASS, secret_class), ATTRIBUTE(CKA_KEY_TYPE, aes_type), ATTRIBUTE(CKA_TOKEN, no),
    ATTRIBUTE(CKA_SENSITIVE, no), ATTRIBUTE(CKA_LABEL, label), ATTRIBUTE(CKA_VALUE_LEN, sixteen),
};
static CK_ATTRIBUTE copy_template[] = { ATTRIBUTE(CKA_LABEL, label), ATTRIBUTE(CKA_TOKEN, no), ATTRIBUTE(CKA_EXTRACTABLE, no) };

static CK_RV create(CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    return CALL(C_CreateObject, session, template, count, object);
}
static CK_RV generate(CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    CK_MECHANISM kind = { CKM_AES_KEY_GEN, NULL, 0 };
    return CALL(C_GenerateKey, session, &kind, template, count, object);
}
static CK_RV generate_pair(CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    CK_MECHANISM kind = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
    CK_ATTRIBUTE of_private[] = { ATTRIBUTE(CKA_TOKEN, yes) };
    CK_OBJECT_HANDLE of_public;
    return CALL(C_GenerateKeyPair, session, &kind, template, count, of_private, 1, &of_public, object);
}
static CK_RV unwrap(CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    CK_MECHANISM kind = { CKM_AES_ECB, NULL, 0 };
    return CALL(C_UnwrapKey, session, &kind, aes, value, sizeof value, template, count, object);
}
static CK_RV derive(CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    CK_ECDH1_DERIVE_PARAMS params = { CKD_NULL, 0, NULL, sizeof point, point };
    CK_MECHANISM kind = { CKM_ECDH1_DERIVE, &params, sizeof params };
    return CALL(C_DeriveKey, session, &kind, private_key, template, count, object);
}
static CK_RV copy(CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    return CALL(C_CopyObject, session, aes, template, count, object);
}

static const struct maker {
    const char *name;
    CK_RV (*call)(CK_ATTRIBUTE *, CK_ULONG, CK_OBJECT_HANDLE *);
    CK_ATTRIBUTE *template;
    CK_ULONG count;
} makers[] = {
    { "C_CreateObject, secret key", create, secret_template, COUNT(secret_template) },
    { "C_CreateObject, public key", create, public_template, COUNT(public_template) },
    { "C_CreateObject, data", create, data_template, COUNT(data_template) },
    { "C_GenerateKey", generate, generated_template, COUNT(generated_template) },
    { "C_GenerateKeyPair", generate_pair, pair_template, COUNT(pair_template) },
    { "C_UnwrapKey", unwrap, unwrapped_template, COUNT(unwrapped_template) },
    { "C_DeriveKey", derive, derived_template, COUNT(derived_template) },
    { "C_CopyObject", copy, copy_template, COUNT(copy_template) },
};

static CK_ULONG objects(void)
{
    CK_OBJECT_HANDLE found[100];
    CK_ULONG count = 0;
    EXPECT(CKR_OK, CALL(C_FindObjectsInit, session, NULL, 0));
    EXPECT(CKR_OK, CALL(C_FindObjects, session, found, COUNT(found), &count));
    EXPECT(CKR_OK, CALL(C_FindObjectsFinal, session));
    return count;
}

static CK_RV make(const struct maker *maker, const CK_ATTRIBUTE *template, CK_ULONG count)
{
    CK_OBJECT_HANDLE object = 4711;
    CK_ATTRIBUTE *fenced_template = fenced(template, count * sizeof *template);
    CK_ULONG before = objects();
    CK_RV rv = maker->call(fenced_template, count, &object);
    if (rv == CKR_OK)
        EXPECT(CKR_OK, CALL(C_DestroyObject, session, object));
    else
        CHECK(object == 4711);
    CHECK(objects() == before);
    fence_free(fenced_template, count * sizeof *template);
    return rv;
}

/* The standard's codes for an invalid template. */
static int about_the_template(CK_RV rv)
{
    return rv == CKR_ATTRIBUTE_VALUE_INVALID || rv == CKR_TEMPLATE_INCONSISTENT || rv == CKR_TEMPLATE_INCOMPLETE ||
           rv == CKR_ATTRIBUTE_READ_ONLY || rv == CKR_KEY_SIZE_RANGE || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
           rv == CKR_CURVE_NOT_SUPPORTED || rv == CKR_DOMAIN_PARAMS_INVALID || rv == CKR_WRAPPED_KEY_LEN_RANGE;
}

static void refused(const struct maker *maker, const CK_ATTRIBUTE *template, CK_ULONG count, CK_ULONG at, const char *why)
{
    CK_RV rv = make(maker, template, count);
    if (!CHECK(about_the_template(rv)))
        fprintf(stderr, "%s, attribute %#lx %s: %#lx\n", maker->name, template[at].type, why, rv);
}

static void sizes_are_checked(const struct maker *maker)
{
    for (CK_ULONG at = 0; at < maker->count; at++) {
        CK_ATTRIBUTE template[12];
        CK_BYTE *larger;
        CK_ULONG size = maker->template[at].ulValueLen;
        /* A name and data have any length. */
        if (maker->template[at].type == CKA_LABEL || (maker->template[at].type == CKA_VALUE && maker->template == data_template))
            continue;
        memcpy(template, maker->template, maker->count * sizeof *template);
        template[at].ulValueLen = 0;
        refused(maker, template, maker->count, at, "of no bytes");
        template[at].pValue = NULL;
        refused(maker, template, maker->count, at, "NULL");
        template[at].ulValueLen = size;
        EXPECT(CKR_ARGUMENTS_BAD, make(maker, template, maker->count));
        template[at].ulValueLen = ABSURD;
        CHECK(make(maker, template, maker->count) != CKR_OK);
        template[at].pValue = maker->template[at].pValue;
        CHECK(make(maker, template, maker->count) != CKR_OK);
        template[at].ulValueLen = size - 1;
        refused(maker, template, maker->count, at, "a byte short");
        larger = memset(fence(size + 1), 0, size + 1);
        memcpy(larger, maker->template[at].pValue, size);
        template[at].pValue = larger;
        template[at].ulValueLen = size + 1;
        refused(maker, template, maker->count, at, "a byte long");
        fence_free(larger, size + 1);
    }
}

static void booleans_are_0_or_1(const struct maker *maker)
{
    for (CK_ULONG at = 0; at < maker->count; at++)
        for (int other = 2; other < 256; other += 253) {
            CK_ATTRIBUTE template[12];
            CK_BBOOL neither = (CK_BBOOL) other;
            if (maker->template[at].ulValueLen != 1)
                continue;
            memcpy(template, maker->template, maker->count * sizeof *template);
            template[at].pValue = &neither;
            refused(maker, template, maker->count, at, "neither 0 nor 1");
        }
}

/* Section 4.1.1: twice the same may be taken as once; two values of one attribute are a contradiction. */
static void contradictions_are_refused(const struct maker *maker)
{
    EXPECT(CKR_OK, make(maker, maker->template, maker->count));
    for (CK_ULONG at = 0; at < maker->count; at++)
        for (int first = 0; first < 2; first++) {
            CK_ATTRIBUTE template[12];
            CK_ULONG size = maker->template[at].ulValueLen, count = maker->count + 1;
            CK_BYTE *other = fenced(maker->template[at].pValue, size);
            memcpy(template, maker->template, maker->count * sizeof *template);
            template[maker->count] = template[at];
            EXPECT(CKR_OK, make(maker, template, count));
            other[size - 1] ^= 1;
            template[first ? at : maker->count].pValue = other;
            refused(maker, template, count, at, "twice, with two values");
            fence_free(other, size);
        }
}

static void counts_are_checked(const struct maker *maker)
{
    static const CK_ATTRIBUTE_TYPE unknown[] = { 0x7FFFFFFFUL, ABSURD, CKA_VENDOR_DEFINED | 1 };
    CK_ATTRIBUTE template[12];
    CK_OBJECT_HANDLE object;
    EXPECT(CKR_ARGUMENTS_BAD, maker->call(NULL, 1, &object));
    EXPECT(CKR_ARGUMENTS_BAD, maker->call(NULL, ABSURD, &object));
    EXPECT(CKR_ARGUMENTS_BAD, maker->call(maker->template, ABSURD, &object));
    EXPECT(CKR_ARGUMENTS_BAD, maker->call(maker->template, ABSURD / sizeof *template + 1, &object));
    EXPECT(CKR_ARGUMENTS_BAD, maker->call(maker->template, maker->count, NULL));
    memcpy(template, maker->template, maker->count * sizeof *template);
    for (size_t at = 0; at < COUNT(unknown); at++) {
        template[maker->count] = (CK_ATTRIBUTE) ATTRIBUTE(unknown[at], yes);
        refused(maker, template, maker->count + 1, maker->count, "unknown");
    }
}

/* A search with an invalid template finds nothing, or is refused, and changes nothing. */
static void finds_nothing(CK_ATTRIBUTE *template, CK_ULONG count)
{
    CK_OBJECT_HANDLE found;
    CK_ULONG number = 1;
    CK_RV rv = CALL(C_FindObjectsInit, session, template, count);
    if (rv == CKR_ATTRIBUTE_VALUE_INVALID)
        return;
    EXPECT(CKR_OK, rv);
    EXPECT(CKR_OK, CALL(C_FindObjects, session, &found, 1, &number));
    CHECK(number == 0);
    EXPECT(CKR_OK, CALL(C_FindObjectsFinal, session));
}

static void searches_are_harmless(void)
{
    static const CK_ATTRIBUTE_TYPE types[] = { CKA_CLASS, CKA_TOKEN, CKA_KEY_TYPE, CKA_SENSITIVE, CKA_EC_POINT };
    CK_ATTRIBUTE both[] = { ATTRIBUTE(CKA_TOKEN, yes), ATTRIBUTE(CKA_TOKEN, no) };
    for (size_t at = 0; at < COUNT(types); at++)
        for (CK_ULONG size = 0; size < 20; size++) {
            CK_BYTE *wrong = fence(size);
            CK_ATTRIBUTE attribute = { types[at], wrong, size };
            memset(wrong, 0xEE, size);
            finds_nothing(&attribute, 1);
            fence_free(wrong, size);
        }
    finds_nothing(both, 2);
    EXPECT(CKR_ARGUMENTS_BAD, CALL(C_FindObjectsInit, session, NULL, 1));
    EXPECT(CKR_ARGUMENTS_BAD, CALL(C_FindObjectsInit, session, both, ABSURD));
}

/* Lengths that no memory has. */
static void absurd_lengths_are_refused(void)
{
    CK_BYTE some[64];
    CK_ULONG length = sizeof some;
    CK_MECHANISM digest = { CKM_SHA256, NULL, 0 }, ecdsa = { CKM_ECDSA_SHA256, NULL, 0 }, ecb = { CKM_AES_ECB, NULL, 0 };
    CK_MECHANISM long_parameter = { CKM_AES_CBC, some, ABSURD }, null_parameter = { CKM_AES_CBC, NULL, 16 };
    EXPECT(CKR_ARGUMENTS_BAD, CALL(C_GenerateRandom, session, some, ABSURD));
    EXPECT(CKR_ARGUMENTS_BAD, CALL(C_SeedRandom, session, some, ABSURD));
    EXPECT(CKR_ARGUMENTS_BAD, CALL(C_Login, session, CKU_USER, some, ABSURD));
    EXPECT(CKR_OK, CALL(C_DigestInit, session, &digest));
    EXPECT(CKR_ARGUMENTS_BAD, CALL(C_Digest, session, some, ABSURD, some, &length));
    EXPECT(CKR_OK, CALL(C_DigestInit, session, &digest));
    EXPECT(CKR_ARGUMENTS_BAD, CALL(C_DigestUpdate, session, some, ABSURD));
    EXPECT(CKR_OK, CALL(C_SignInit, session, &ecdsa, private_key));
    EXPECT(CKR_ARGUMENTS_BAD, CALL(C_SignUpdate, session, some, ABSURD));
    EXPECT(CKR_OK, CALL(C_VerifyInit, session, &ecdsa, public_key));
    EXPECT(CKR_ARGUMENTS_BAD, CALL(C_Verify, session, some, 5, some, ABSURD));
    EXPECT(CKR_OK, CALL(C_EncryptInit, session, &ecb, aes));
    EXPECT(CKR_ARGUMENTS_BAD, CALL(C_Encrypt, session, some, ABSURD, some, &length));
    EXPECT(CKR_MECHANISM_PARAM_INVALID, CALL(C_EncryptInit, session, &long_parameter, aes));
    EXPECT(CKR_MECHANISM_PARAM_INVALID, CALL(C_EncryptInit, session, &null_parameter, aes));
}

int main(int count, char **arguments)
{
    load_module(count, arguments);
    EXPECT(CKR_OK, CALL(C_Initialize, NULL));
    session = open_session();
    aes = aes_key(session);
    key_pair(session, &public_key, &private_key);
    for (size_t at = 0; at < COUNT(makers); at++) {
        fprintf(stderr, "%s\n", makers[at].name);
        contradictions_are_refused(&makers[at]);
        sizes_are_checked(&makers[at]);
        booleans_are_0_or_1(&makers[at]);
        counts_are_checked(&makers[at]);
    }
    searches_are_harmless();
    absurd_lengths_are_refused();
    EXPECT(CKR_OK, CALL(C_Finalize, NULL));
    return verdict();
}
