// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Loads key and certificate and connects as Greengrass nucleus lite 2.5.0 and newer does
 * (aws-greengrass/aws-greengrass-lite, modules/iotcored/src/tls.c and modules/ggl-http/src/gghttp_util.c):
 * OSSL_STORE_open with nothing but the URI, the first certificate, the first key; a new context for each connection.
 * Errors are printed in the nucleus's words.
 *
 *     greengrass_lite load KEY CERTIFICATE
 *     greengrass_lite connect KEY CERTIFICATE ROOT-CA HOST THING TIMES
 */
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/store.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what)
{
    ERR_print_errors_fp(stderr);
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* The first object of a type behind a URI. */
static OSSL_STORE_INFO *first(const char *uri, int type, const char *not_opened, const char *not_loaded, const char *not_found)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    if (store == NULL)
        fail(not_opened);
    while (!OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info == NULL)
            fail(not_loaded);
        if (OSSL_STORE_INFO_get_type(info) == type) {
            OSSL_STORE_close(store);
            return info;
        }
        OSSL_STORE_INFO_free(info);
    }
    fail(not_found);
    return NULL;
}

static SSL_CTX *context(const char *key, const char *certificate, const char *root_ca)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        fail("Failed to create openssl context.");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (root_ca != NULL && SSL_CTX_load_verify_file(context, root_ca) != 1)
        fail("Failed to load root CA.");
    OSSL_STORE_INFO *found = first(certificate, OSSL_STORE_INFO_CERT, "Failed to open cert store.", "Failed to extract certificate.",
                                   "Failed to extract certificate.");
    if (SSL_CTX_use_certificate(context, OSSL_STORE_INFO_get0_CERT(found)) != 1)
        fail("Failed to use certificate.");
    OSSL_STORE_INFO_free(found);
    found = first(key, OSSL_STORE_INFO_PKEY, "Failed to open key store.", "Failed to load key info.", "Failed to extract private key.");
    if (SSL_CTX_use_PrivateKey(context, OSSL_STORE_INFO_get0_PKEY(found)) != 1)
        fail("Failed to use private key.");
    OSSL_STORE_INFO_free(found);
    if (SSL_CTX_check_private_key(context) != 1)
        fail("Client certificate and private key do not match.");
    /* It requests kernel TLS too, which does not use the key. */
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    return context;
}

/* MQTT's CONNECT and CONNACK: with TLS 1.3 only a response proves that the server accepted the certificate. */
static void greet(BIO *bio, const char *thing)
{
    unsigned char packet[256] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, (unsigned char)strlen(thing)};
    unsigned char answer[4];
    size_t length = strlen(thing);
    if (length > 100)
        fail("Client ID too long.");
    packet[1] = (unsigned char)(12 + length);
    memcpy(packet + 14, thing, length);
    if (BIO_write(bio, packet, (int)(14 + length)) != (int)(14 + length))
        fail("nothing can be sent");
    if (BIO_read(bio, answer, 4) != 4 || memcmp(answer, "\x20\x02\0", 4) != 0)
        fail("the broker does not accept the client");
}

static void connect_once(char **arguments)
{
    SSL_CTX *with = context(arguments[0], arguments[1], arguments[2]);
    BIO *bio = BIO_new_ssl_connect(with);
    SSL *ssl = NULL;
    if (bio == NULL || BIO_set_conn_port(bio, "8883") != 1 || BIO_set_conn_hostname(bio, arguments[3]) != 1)
        fail("Failed to create openssl BIO.");
    BIO_get_ssl(bio, &ssl);
    SSL_set_tlsext_host_name(ssl, arguments[3]);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(ssl, arguments[3]);
    if (SSL_do_handshake(ssl) != 1) {
        fprintf(stderr, "the server's certificate: %s\n", X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
        fail("Failed TLS handshake.");
    }
    greet(bio, arguments[4]);
    printf("%s: connected, %s\n", arguments[4], SSL_get_version(ssl));
    BIO_free_all(bio);
    SSL_CTX_free(with);
}

int main(int count, char **arguments)
{
    if (count == 4 && strcmp(arguments[1], "load") == 0) {
        SSL_CTX_free(context(arguments[2], arguments[3], NULL));
        printf("loaded\n");
        return 0;
    }
    if (count != 8 || strcmp(arguments[1], "connect") != 0)
        fail("usage: greengrass_lite load KEY CERTIFICATE | connect KEY CERTIFICATE ROOT-CA HOST THING TIMES");
    for (int left = atoi(arguments[7]); left > 0; left--)
        connect_once(arguments + 2);
    return 0;
}
