// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Every function that fills a buffer of the caller keeps the conventions of the standard (PKCS#11 base, section 5.2),
 * whatever the buffer's size and alignment: NULL is a length query; a short one gives CKR_BUFFER_TOO_SMALL and the
 * length, and is unchanged like the operation; a larger one gets no byte more than the length.
 */
#include "hostile.h"

/* p11-kit's header ends with 2.40. */
typedef CK_RV (*authenticated_wrap)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE, CK_OBJECT_HANDLE, CK_BYTE *,
                                    CK_ULONG, CK_BYTE *, CK_ULONG *);
struct interface { CK_UTF8CHAR *name; void *list; CK_FLAGS flags; };
typedef CK_RV (*interface_list)(struct interface *, CK_ULONG *);
struct message_params {
    CK_BYTE *iv;
    CK_ULONG iv_len, iv_fixed_bits, generator;
    CK_BYTE *tag;
    CK_ULONG tag_bits;
};
typedef CK_RV (*message_init)(CK_SESSION_HANDLE, CK_MECHANISM *, CK_OBJECT_HANDLE);
typedef CK_RV (*message)(CK_SESSION_HANDLE, void *, CK_ULONG, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG, CK_BYTE *,
                         CK_ULONG *);
typedef CK_RV (*message_begin)(CK_SESSION_HANDLE, void *, CK_ULONG, CK_BYTE *, CK_ULONG);
typedef CK_RV (*message_next)(CK_SESSION_HANDLE, void *, CK_ULONG, CK_BYTE *, CK_ULONG, CK_BYTE *, CK_ULONG *, CK_FLAGS);
#define END_OF_MESSAGE 1UL
typedef CK_RV (*session_cancel)(CK_SESSION_HANDLE, CK_FLAGS);

static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE aes, hmac, wrapped_key, public_key, private_key;
static CK_BYTE text[48] = "forty-eight bytes of text, or some of them.....";
static CK_BYTE sealed[256];
static CK_ULONG sealed_len;
static CK_BYTE iv[16] = "an initial value";

static CK_MECHANISM gcm(void)
{
    static CK_GCM_PARAMS params;
    CK_MECHANISM kind = { CKM_AES_GCM, &params, sizeof params };
    params.pIv = iv;
    params.ulIvLen = 12;
    params.ulIvBits = 96;
    params.pAAD = text;
    params.ulAADLen = 5;
    params.ulTagBits = 128;
    return kind;
}

static CK_MECHANISM cbc_pad(void)
{
    CK_MECHANISM kind = { CKM_AES_CBC_PAD, iv, sizeof iv };
    return kind;
}

static CK_MECHANISM plain(CK_MECHANISM_TYPE type)
{
    CK_MECHANISM kind = { type, NULL, 0 };
    return kind;
}

/* --- what fills a buffer: how it is begun, and the call ----------------------------------------------------------- */

static void begin_digest(void) { CK_MECHANISM kind = plain(CKM_SHA256); EXPECT(CKR_OK, CALL(C_DigestInit, session, &kind)); }
static void begin_digest_parts(void) { begin_digest(); EXPECT(CKR_OK, CALL(C_DigestUpdate, session, text, 48)); }
static CK_RV digest(void *out, CK_ULONG *len) { return CALL(C_Digest, session, text, 48, out, len); }
static CK_RV digest_final(void *out, CK_ULONG *len) { return CALL(C_DigestFinal, session, out, len); }

static void begin_sign_with(CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key)
{
    CK_MECHANISM kind = plain(type);
    EXPECT(CKR_OK, CALL(C_SignInit, session, &kind, key));
}
static void begin_ecdsa(void) { begin_sign_with(CKM_ECDSA, private_key); }
static void begin_ecdsa_parts(void)
{
    begin_sign_with(CKM_ECDSA_SHA256, private_key);
    EXPECT(CKR_OK, CALL(C_SignUpdate, session, text, 48));
}
static void begin_hmac(void) { begin_sign_with(CKM_SHA256_HMAC, hmac); }
static void begin_cmac_parts(void)
{
    begin_sign_with(CKM_AES_CMAC, aes);
    EXPECT(CKR_OK, CALL(C_SignUpdate, session, text, 48));
}
static void begin_short_hmac(void)
{
    CK_ULONG length = 5;
    CK_MECHANISM kind = { CKM_SHA256_HMAC_GENERAL, &length, sizeof length };
    EXPECT(CKR_OK, CALL(C_SignInit, session, &kind, hmac));
}
static CK_RV sign(void *out, CK_ULONG *len) { return CALL(C_Sign, session, text, 32, out, len); }
static CK_RV sign_final(void *out, CK_ULONG *len) { return CALL(C_SignFinal, session, out, len); }

static void begin_encrypt_with(CK_MECHANISM kind) { EXPECT(CKR_OK, CALL(C_EncryptInit, session, &kind, aes)); }
static void begin_gcm(void) { begin_encrypt_with(gcm()); }
static void begin_cbc_pad(void) { begin_encrypt_with(cbc_pad()); }
static void begin_ecb(void) { begin_encrypt_with(plain(CKM_AES_ECB)); }
static void begin_cbc_pad_parts(void)
{
    CK_BYTE out[48];
    CK_ULONG len = sizeof out;
    begin_cbc_pad();
    EXPECT(CKR_OK, CALL(C_EncryptUpdate, session, text, 21, out, &len));
}
static void begin_gcm_parts(void)
{
    CK_BYTE out[48];
    CK_ULONG len = sizeof out;
    begin_gcm();
    EXPECT(CKR_OK, CALL(C_EncryptUpdate, session, text, 21, out, &len));
}
static CK_RV encrypt(void *out, CK_ULONG *len) { return CALL(C_Encrypt, session, text, 48, out, len); }
static CK_RV encrypt_update(void *out, CK_ULONG *len) { return CALL(C_EncryptUpdate, session, text, 37, out, len); }
static CK_RV encrypt_final(void *out, CK_ULONG *len) { return CALL(C_EncryptFinal, session, out, len); }

/* Encrypts 37 bytes, and begins to decrypt them. */
static void begin_decrypt_of(CK_MECHANISM kind)
{
    sealed_len = sizeof sealed;
    EXPECT(CKR_OK, CALL(C_EncryptInit, session, &kind, aes));
    EXPECT(CKR_OK, CALL(C_Encrypt, session, text, 37, sealed, &sealed_len));
    EXPECT(CKR_OK, CALL(C_DecryptInit, session, &kind, aes));
}
static void begin_decrypt_gcm(void) { begin_decrypt_of(gcm()); }
static void begin_decrypt_cbc_pad(void) { begin_decrypt_of(cbc_pad()); }
static void decrypt_parts(void)
{
    CK_BYTE out[64];
    CK_ULONG len = sizeof out;
    EXPECT(CKR_OK, CALL(C_DecryptUpdate, session, sealed, sealed_len, out, &len));
}
static void begin_decrypt_gcm_parts(void) { begin_decrypt_gcm(); decrypt_parts(); }
static void begin_decrypt_cbc_pad_parts(void) { begin_decrypt_cbc_pad(); decrypt_parts(); }
static CK_RV decrypt(void *out, CK_ULONG *len) { return CALL(C_Decrypt, session, sealed, sealed_len, out, len); }
static CK_RV decrypt_update(void *out, CK_ULONG *len) { return CALL(C_DecryptUpdate, session, sealed, 33, out, len); }
static CK_RV decrypt_final(void *out, CK_ULONG *len) { return CALL(C_DecryptFinal, session, out, len); }

/* Two operations that go on with the same data. */
static void begin_digest_and_cbc(void)
{
    CK_MECHANISM kind = { CKM_AES_CBC, iv, sizeof iv };
    begin_digest();
    begin_encrypt_with(kind);
}
static CK_RV digest_encrypt(void *out, CK_ULONG *len) { return CALL(C_DigestEncryptUpdate, session, text, 48, out, len); }
static void begin_sign_and_cbc_pad(void) { begin_hmac(); begin_cbc_pad(); }
static CK_RV sign_encrypt(void *out, CK_ULONG *len) { return CALL(C_SignEncryptUpdate, session, text, 48, out, len); }

/* Messages of 3.0: the tag has its own place, and a length query or a short buffer does not change the series. */
static CK_BYTE tag[16];
static CK_RV any_message(const char *name, CK_BYTE *in, CK_ULONG in_len, void *out, CK_ULONG *len)
{
    struct message_params params = { iv, 12, 0, 0, tag, 128 };
    return ((message) symbol(name))(session, &params, sizeof params, text, 5, in, in_len, out, len);
}
static void begin_messages(const char *name)
{
    CK_MECHANISM kind = plain(CKM_AES_GCM);
    EXPECT(CKR_OK, ((message_init) symbol(name))(session, &kind, aes));
}
static void begin_encrypt_message(void) { begin_messages("C_MessageEncryptInit"); }
static CK_RV encrypt_message(void *out, CK_ULONG *len) { return any_message("C_EncryptMessage", text, 37, out, len); }
static void begin_decrypt_message(void)
{
    begin_encrypt_message();
    sealed_len = sizeof sealed;
    EXPECT(CKR_OK, encrypt_message(sealed, &sealed_len));
    begin_messages("C_MessageDecryptInit");
}
static CK_RV decrypt_message(void *out, CK_ULONG *len)
{
    return any_message("C_DecryptMessage", sealed, sealed_len, out, len);
}


/* The same in parts. */
static void begin_parts(const char *name)
{
    struct message_params params = { iv, 12, 0, 0, tag, 128 };
    EXPECT(CKR_OK, ((message_begin) symbol(name))(session, &params, sizeof params, text, 5));
}
static CK_RV part(const char *name, CK_BYTE *in, CK_ULONG in_len, void *out, CK_ULONG *len, CK_FLAGS flags)
{
    struct message_params params = { iv, 12, 0, 0, tag, 128 };
    return ((message_next) symbol(name))(session, &params, sizeof params, in, in_len, out, len, flags);
}
static void begin_encrypt_parts(void) { begin_encrypt_message(); begin_parts("C_EncryptMessageBegin"); }
static CK_RV encrypt_part(void *out, CK_ULONG *len) { return part("C_EncryptMessageNext", text, 37, out, len, 0); }
static CK_RV encrypt_last_part(void *out, CK_ULONG *len)
{
    return part("C_EncryptMessageNext", text, 37, out, len, END_OF_MESSAGE);
}
static void begin_decrypt_parts(void)
{
    CK_BYTE out[1];
    CK_ULONG len = sizeof out;
    begin_decrypt_message();
    begin_parts("C_DecryptMessageBegin");
    EXPECT(CKR_OK, part("C_DecryptMessageNext", sealed, 21, out, &len, 0));
    CHECK(len == 0);
}
static CK_RV decrypt_last_part(void *out, CK_ULONG *len)
{
    return part("C_DecryptMessageNext", sealed + 21, sealed_len - 21, out, len, END_OF_MESSAGE);
}

static void nothing(void) { }
static CK_RV wrap(void *out, CK_ULONG *len)
{
    CK_MECHANISM kind = cbc_pad();
    return CALL(C_WrapKey, session, &kind, aes, wrapped_key, out, len);
}
static CK_RV wrap_authenticated(void *out, CK_ULONG *len)
{
    CK_MECHANISM kind = gcm();
    authenticated_wrap function = (authenticated_wrap) symbol("C_WrapKeyAuthenticated");
    return function(session, &kind, aes, wrapped_key, text, 3, out, len);
}
static CK_RV slots(void *out, CK_ULONG *len) { return CALL(C_GetSlotList, 0, out, len); }
static CK_RV slots_with_token(void *out, CK_ULONG *len) { return CALL(C_GetSlotList, 1, out, len); }
static CK_RV mechanisms(void *out, CK_ULONG *len) { return CALL(C_GetMechanismList, 0, out, len); }
static CK_RV interfaces(void *out, CK_ULONG *len)
{
    return ((interface_list) symbol("C_GetInterfaceList"))(out, len);
}
static CK_RV state(void *out, CK_ULONG *len) { return CALL(C_GetOperationState, session, out, len); }

/* `is_padded`: how long the text is, is known only when it was decrypted, so a question is answered with the most it can
 * be (the standard allows that). */
static const struct filler {
    const char *name;
    void (*begin)(void);
    CK_RV (*call)(void *out, CK_ULONG *len);
    size_t unit;
    int is_padded;
} fillers[] = {
    { "C_GetSlotList", nothing, slots, sizeof(CK_SLOT_ID), 0 },
    { "C_GetSlotList, present", nothing, slots_with_token, sizeof(CK_SLOT_ID), 0 },
    { "C_GetMechanismList", nothing, mechanisms, sizeof(CK_MECHANISM_TYPE), 0 },
    { "C_GetInterfaceList", nothing, interfaces, sizeof(struct interface), 0 },
    { "C_Digest", begin_digest, digest, 1, 0 },
    { "C_DigestFinal", begin_digest_parts, digest_final, 1, 0 },
    { "C_Sign, ECDSA", begin_ecdsa, sign, 1, 0 },
    { "C_SignFinal, ECDSA", begin_ecdsa_parts, sign_final, 1, 0 },
    { "C_Sign, HMAC", begin_hmac, sign, 1, 0 },
    { "C_Sign, 5 bytes of HMAC", begin_short_hmac, sign, 1, 0 },
    { "C_SignFinal, CMAC", begin_cmac_parts, sign_final, 1, 0 },
    { "C_Encrypt, ECB", begin_ecb, encrypt, 1, 0 },
    { "C_Encrypt, CBC_PAD", begin_cbc_pad, encrypt, 1, 0 },
    { "C_Encrypt, GCM", begin_gcm, encrypt, 1, 0 },
    { "C_EncryptUpdate, CBC_PAD", begin_cbc_pad, encrypt_update, 1, 0 },
    { "C_EncryptUpdate, GCM", begin_gcm, encrypt_update, 1, 0 },
    { "C_EncryptFinal, CBC_PAD", begin_cbc_pad_parts, encrypt_final, 1, 0 },
    { "C_EncryptFinal, GCM", begin_gcm_parts, encrypt_final, 1, 0 },
    { "C_Decrypt, CBC_PAD", begin_decrypt_cbc_pad, decrypt, 1, 1 },
    { "C_Decrypt, GCM", begin_decrypt_gcm, decrypt, 1, 0 },
    { "C_DecryptUpdate, CBC_PAD", begin_decrypt_cbc_pad, decrypt_update, 1, 0 },
    { "C_DecryptFinal, CBC_PAD", begin_decrypt_cbc_pad_parts, decrypt_final, 1, 1 },
    { "C_DecryptFinal, GCM", begin_decrypt_gcm_parts, decrypt_final, 1, 0 },
    { "C_DigestEncryptUpdate, CBC", begin_digest_and_cbc, digest_encrypt, 1, 0 },
    { "C_SignEncryptUpdate, CBC_PAD", begin_sign_and_cbc_pad, sign_encrypt, 1, 0 },
    { "C_EncryptMessage", begin_encrypt_message, encrypt_message, 1, 0 },
    { "C_DecryptMessage", begin_decrypt_message, decrypt_message, 1, 0 },
    { "C_EncryptMessageNext", begin_encrypt_parts, encrypt_part, 1, 0 },
    { "C_EncryptMessageNext, last", begin_encrypt_parts, encrypt_last_part, 1, 0 },
    { "C_DecryptMessageNext, last", begin_decrypt_parts, decrypt_last_part, 1, 0 },
    { "C_WrapKey", nothing, wrap, 1, 0 },
    { "C_WrapKeyAuthenticated", nothing, wrap_authenticated, 1, 0 },
    { "C_GetOperationState", begin_digest_parts, state, 1, 0 },
};

static void begin(const struct filler *filler)
{
    /* All active operations: the flags of all operations. */
    ((session_cancel) symbol("C_SessionCancel"))(session, ABSURD);
    filler->begin();
}

/* One call with a buffer of `room` units, told to have `told`; answers what it says of the length. */
static CK_RV call_with(const struct filler *filler, CK_ULONG room, CK_ULONG told, CK_ULONG *length)
{
    /* The length is at an odd address, and so is the buffer of an odd number of bytes. */
    CK_BYTE odd[sizeof(CK_ULONG) + 1], *place = odd + 1;
    size_t size = room * filler->unit;
    CK_BYTE *buffer = fence(size);
    CK_RV rv;
    memset(buffer, 0x5C, size);
    memcpy(place, &told, sizeof told);
    rv = filler->call(buffer, (CK_ULONG *) (void *) place);
    memcpy(length, place, sizeof *length);
    if (rv != CKR_OK)
        for (size_t at = 0; at < size; at++)
            if (!CHECK(buffer[at] == 0x5C))
                break;
    fence_free(buffer, size);
    return rv;
}

static void keeps_the_conventions(const struct filler *filler)
{
    CK_ULONG most = 0, length = 0, needed;
    CK_RV rv;
    begin(filler);
    rv = filler->call(NULL, &most);
    /* The only function here that a token may lack. */
    if (filler->call == state && (rv == CKR_STATE_UNSAVEABLE || rv == CKR_FUNCTION_NOT_SUPPORTED))
        return;
    if (!CHECK(rv == CKR_OK)) {
        fprintf(stderr, "%s: asked for the length, it returned %#lx\n", filler->name, rv);
        return;
    }
    /* A length query works with any value in the length. */
    length = 3;
    EXPECT(CKR_OK, filler->call(NULL, &length));
    CHECK(length == most);
    /* Exactly the returned length, in a buffer that ends at the wall. */
    begin(filler);
    EXPECT(CKR_OK, call_with(filler, most, most, &needed));
    CHECK(filler->is_padded ? needed <= most : needed == most);
    begin(filler);
    EXPECT(CKR_OK, call_with(filler, most, ABSURD, &length));
    CHECK(length == needed);
    begin(filler);
    EXPECT(CKR_OK, call_with(filler, most + 1, most + 1, &length));
    CHECK(length == needed);
    begin(filler);
    EXPECT(CKR_OK, call_with(filler, needed, needed, &length));
    CHECK(length == needed);
    /* All that is shorter, in turn, and then what fits: the operation was kept. */
    begin(filler);
    for (CK_ULONG room = 0; room < needed; room++) {
        EXPECT(CKR_BUFFER_TOO_SMALL, call_with(filler, room, room, &length));
        CHECK(length == needed);
    }
    EXPECT(CKR_OK, call_with(filler, needed, needed, &length));
    CHECK(length == needed);
    /* Without a pointer to the length. */
    begin(filler);
    EXPECT(CKR_ARGUMENTS_BAD, filler->call(NULL, NULL));
    begin(filler);
    EXPECT(CKR_ARGUMENTS_BAD, filler->call(sealed, NULL));
}

/* C_FindObjects gives as many as there is room for, and no more than there are. */
static void searches_fill_their_arrays(void)
{
    CK_OBJECT_HANDLE all[64], *some;
    CK_ULONG count = 0, again = 0;
    EXPECT(CKR_OK, CALL(C_FindObjectsInit, session, NULL, 0));
    EXPECT(CKR_OK, CALL(C_FindObjects, session, all, COUNT(all), &count));
    CHECK(count > 4 && count < COUNT(all));
    EXPECT(CKR_OK, CALL(C_FindObjects, session, all, COUNT(all), &again));
    CHECK(again == 0);
    EXPECT(CKR_OK, CALL(C_FindObjectsFinal, session));
    for (CK_ULONG room = 0; room <= count; room++) {
        some = fence(room * sizeof *some);
        EXPECT(CKR_OK, CALL(C_FindObjectsInit, session, NULL, 0));
        EXPECT(CKR_OK, CALL(C_FindObjects, session, some, room, &again));
        CHECK(again == room && memcmp(some, all, room * sizeof *some) == 0);
        EXPECT(CKR_ARGUMENTS_BAD, CALL(C_FindObjects, session, NULL, 1, &again));
        EXPECT(CKR_ARGUMENTS_BAD, CALL(C_FindObjects, session, some, room, NULL));
        EXPECT(CKR_OK, CALL(C_FindObjectsFinal, session));
        fence_free(some, room * sizeof *some);
    }
    /* An absurd room, where only as many fit as there are. */
    some = fence(count * sizeof *some);
    EXPECT(CKR_OK, CALL(C_FindObjectsInit, session, NULL, 0));
    EXPECT(CKR_OK, CALL(C_FindObjects, session, some, ABSURD, &again));
    CHECK(again == count);
    EXPECT(CKR_OK, CALL(C_FindObjectsFinal, session));
    fence_free(some, count * sizeof *some);
}

/* One attribute into a buffer of `room` bytes that is told to have `told`; the structure is at an odd address. */
static CK_RV attribute_into(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, CK_ULONG room, CK_ULONG told, CK_ULONG *length)
{
    CK_BYTE odd[sizeof(CK_ATTRIBUTE) + 1], *place = odd + 1, *buffer = fence(room);
    CK_ATTRIBUTE request = { type, buffer, told };
    CK_RV rv;
    memcpy(place, &request, sizeof request);
    rv = CALL(C_GetAttributeValue, session, object, (CK_ATTRIBUTE *) (void *) place, 1);
    memcpy(&request, place, sizeof request);
    CHECK(request.type == type && request.pValue == buffer);
    *length = request.ulValueLen;
    fence_free(buffer, room);
    return rv;
}

static void attributes_keep_the_conventions(void)
{
    CK_OBJECT_HANDLE objects[64];
    CK_ULONG count = 0, length, values = 0;
    EXPECT(CKR_OK, CALL(C_FindObjectsInit, session, NULL, 0));
    EXPECT(CKR_OK, CALL(C_FindObjects, session, objects, COUNT(objects), &count));
    EXPECT(CKR_OK, CALL(C_FindObjectsFinal, session));
    for (CK_ULONG at = 0; at < count; at++)
        for (CK_ATTRIBUTE_TYPE type = 0; type < 0x400; type++) {
            CK_ATTRIBUTE question = { type, NULL, 0 };
            CK_RV rv = CALL(C_GetAttributeValue, session, objects[at], &question, 1);
            if (rv != CKR_OK) {
                CHECK(rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE);
                CHECK(question.ulValueLen == CK_UNAVAILABLE_INFORMATION);
                continue;
            }
            values++;
            EXPECT(CKR_OK, attribute_into(objects[at], type, question.ulValueLen, question.ulValueLen, &length));
            CHECK(length == question.ulValueLen);
            EXPECT(CKR_OK, attribute_into(objects[at], type, question.ulValueLen, ABSURD, &length));
            CHECK(length == question.ulValueLen);
            if (question.ulValueLen > 0) {
                CK_ULONG room = question.ulValueLen - 1;
                EXPECT(CKR_BUFFER_TOO_SMALL, attribute_into(objects[at], type, room, room, &length));
                CHECK(length == CK_UNAVAILABLE_INFORMATION);
            }
        }
    CHECK(values > 60);
}

int main(int count, char **arguments)
{
    load_module(count, arguments);
    EXPECT(CKR_OK, CALL(C_Initialize, NULL));
    session = open_session();
    aes = aes_key(session);
    hmac = hmac_key(session);
    wrapped_key = hmac_key(session);
    key_pair(session, &public_key, &private_key);
    for (size_t at = 0; at < COUNT(fillers); at++) {
        fprintf(stderr, "%s\n", fillers[at].name);
        keeps_the_conventions(&fillers[at]);
    }
    searches_fill_their_arrays();
    attributes_keep_the_conventions();
    EXPECT(CKR_OK, CALL(C_Finalize, NULL));
    return verdict();
}
