// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A program that uses the token: initialise, log in, generate a key pair, sign, verify, search, encrypt and compute
 * MACs in several threads, destroy, log out, finalise; and the same once more. For valgrind (scripts/valgrind.sh).
 *
 *     life MODULE PIN THREADS ROUNDS
 */
#include "hostile.h"

#include <pthread.h>

#define CYCLES 2

static CK_OBJECT_HANDLE public_key, private_key;
static unsigned long rounds;

static CK_MECHANISM plain(CK_MECHANISM_TYPE type)
{
    CK_MECHANISM kind = { type, NULL, 0 };
    return kind;
}

static void signatures(CK_SESSION_HANDLE session, CK_BYTE number)
{
    CK_MECHANISM ecdsa = plain(CKM_ECDSA), hashed = plain(CKM_ECDSA_SHA256), sha256 = plain(CKM_SHA256);
    CK_BYTE text[40], digest[32], signature[64];
    CK_ULONG digest_len = sizeof digest, len = 0;
    memset(text, number, sizeof text);
    EXPECT(CKR_OK, CALL(C_DigestInit, session, &sha256));
    EXPECT(CKR_OK, CALL(C_Digest, session, text, sizeof text, digest, &digest_len));
    EXPECT(CKR_OK, CALL(C_SignInit, session, &ecdsa, private_key));
    EXPECT(CKR_OK, CALL(C_Sign, session, digest, sizeof digest, NULL, &len));
    CHECK(len == sizeof signature);
    EXPECT(CKR_OK, CALL(C_Sign, session, digest, sizeof digest, signature, &len));
    EXPECT(CKR_OK, CALL(C_VerifyInit, session, &hashed, public_key));
    EXPECT(CKR_OK, CALL(C_Verify, session, text, sizeof text, signature, len));
    EXPECT(CKR_OK, CALL(C_SignInit, session, &hashed, private_key));
    EXPECT(CKR_OK, CALL(C_SignUpdate, session, text, 7));
    EXPECT(CKR_OK, CALL(C_SignUpdate, session, text + 7, sizeof text - 7));
    EXPECT(CKR_OK, CALL(C_SignFinal, session, signature, &len));
    EXPECT(CKR_OK, CALL(C_VerifyInit, session, &ecdsa, public_key));
    EXPECT(CKR_OK, CALL(C_Verify, session, digest, sizeof digest, signature, len));
    digest[0] ^= 1;
    EXPECT(CKR_OK, CALL(C_VerifyInit, session, &ecdsa, public_key));
    EXPECT(CKR_SIGNATURE_INVALID, CALL(C_Verify, session, digest, sizeof digest, signature, len));
    /* Left behind: the session's end has to free it. */
    EXPECT(CKR_OK, CALL(C_SignInit, session, &hashed, private_key));
}

static void secret_keys(CK_SESSION_HANDLE session, CK_BYTE number)
{
    CK_BYTE iv[12] = { 1 }, text[40], sealed[56], opened[40], mac[32];
    CK_ULONG sealed_len = sizeof sealed, opened_len = sizeof opened, mac_len = sizeof mac;
    CK_GCM_PARAMS params = { .pIv = iv, .ulIvLen = sizeof iv, .ulIvBits = 96, .ulTagBits = 128 };
    CK_MECHANISM gcm = { CKM_AES_GCM, &params, sizeof params }, hmac = plain(CKM_SHA256_HMAC);
    CK_OBJECT_HANDLE aes = aes_key(session), key = hmac_key(session);
    memset(text, number, sizeof text);
    EXPECT(CKR_OK, CALL(C_EncryptInit, session, &gcm, aes));
    EXPECT(CKR_OK, CALL(C_Encrypt, session, text, sizeof text, sealed, &sealed_len));
    EXPECT(CKR_OK, CALL(C_DecryptInit, session, &gcm, aes));
    EXPECT(CKR_OK, CALL(C_Decrypt, session, sealed, sealed_len, opened, &opened_len));
    CHECK(opened_len == sizeof text && memcmp(text, opened, sizeof text) == 0);
    EXPECT(CKR_OK, CALL(C_SignInit, session, &hmac, key));
    EXPECT(CKR_OK, CALL(C_Sign, session, text, sizeof text, mac, &mac_len));
    EXPECT(CKR_OK, CALL(C_VerifyInit, session, &hmac, key));
    EXPECT(CKR_OK, CALL(C_Verify, session, text, sizeof text, mac, mac_len));
    EXPECT(CKR_OK, CALL(C_DestroyObject, session, key));
}

static void searches(CK_SESSION_HANDLE session)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_BBOOL yes = 1;
    CK_OBJECT_HANDLE found[4];
    CK_ULONG count = 0;
    CK_BYTE random[16], label[64];
    CK_ATTRIBUTE template[] = { ATTRIBUTE(CKA_CLASS, class), ATTRIBUTE(CKA_TOKEN, yes) };
    CK_ATTRIBUTE asked = { CKA_LABEL, label, sizeof label };
    CK_TOKEN_INFO info;
    EXPECT(CKR_OK, CALL(C_FindObjectsInit, session, template, COUNT(template)));
    EXPECT(CKR_OK, CALL(C_FindObjects, session, found, COUNT(found), &count));
    CHECK(count == 1 && found[0] == private_key);
    EXPECT(CKR_OK, CALL(C_FindObjectsFinal, session));
    EXPECT(CKR_OK, CALL(C_GetAttributeValue, session, private_key, &asked, 1));
    asked.type = CKA_VALUE;
    EXPECT(CKR_ATTRIBUTE_SENSITIVE, CALL(C_GetAttributeValue, session, private_key, &asked, 1));
    EXPECT(CKR_OK, CALL(C_GetTokenInfo, 0, &info));
    EXPECT(CKR_OK, CALL(C_GenerateRandom, session, random, sizeof random));
    EXPECT(CKR_KEY_HANDLE_INVALID, CALL(C_SignInit, session, &(CK_MECHANISM) { CKM_ECDSA, NULL, 0 }, ABSURD));
}

static void *work(void *number)
{
    for (unsigned long round = 0; round < rounds; round++) {
        CK_SESSION_HANDLE session = open_session();
        secret_keys(session, (CK_BYTE) (uintptr_t) number);
        searches(session);
        signatures(session, (CK_BYTE) (uintptr_t) number);
        EXPECT(CKR_OK, CALL(C_CloseSession, session));
    }
    return NULL;
}

static void life(char *pin, unsigned long threads)
{
    pthread_t running[16];
    CK_C_INITIALIZE_ARGS locking = { .flags = CKF_OS_LOCKING_OK };
    CK_SESSION_HANDLE session;
    EXPECT(CKR_OK, CALL(C_Initialize, &locking));
    session = open_session();
    EXPECT(CKR_PIN_INCORRECT, CALL(C_Login, session, CKU_USER, (CK_BYTE *) "another PIN", 11));
    EXPECT(CKR_OK, CALL(C_Login, session, CKU_USER, (CK_BYTE *) pin, strlen(pin)));
    key_pair(session, &public_key, &private_key);
    for (unsigned long at = 0; at < threads; at++)
        if (pthread_create(&running[at], NULL, work, (void *) (at + 1)))
            exit(2);
    for (unsigned long at = 0; at < threads; at++)
        pthread_join(running[at], NULL);
    EXPECT(CKR_OK, CALL(C_DestroyObject, session, private_key));
    EXPECT(CKR_OK, CALL(C_Logout, session));
    EXPECT(CKR_OK, CALL(C_Finalize, NULL));
}

int main(int count, char **arguments)
{
    unsigned long threads;
    load_module(count, arguments);
    if (count != 5)
        return 2;
    threads = strtoul(arguments[3], NULL, 10);
    rounds = strtoul(arguments[4], NULL, 10);
    if (threads > 16)
        return 2;
    for (int cycle = 0; cycle < CYCLES; cycle++)
        life(arguments[2], threads);
    return verdict();
}
