// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * wolfSSL as a TLS client whose key is in a PKCS#11 token. It sends a line to a server on this host that returns it reversed.
 *
 *     client MODULE TOKEN KEY 1.2|1.3 CA CERTIFICATE PORT
 *
 * TOKEN and KEY are labels. The ephemeral keys of the handshake are wolfSSL's own: only the key KEY belongs to the token's device.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/cryptocb.h>
#include <wolfssl/wolfcrypt/wc_pkcs11.h>

#define DEVICE 1

static void expect(int expected, int result, const char *call)
{
    if (result != expected) {
        fprintf(stderr, "%s returned %d\n", call, result);
        exit(1);
    }
}
#define EXPECT(expected, call) expect(expected, call, #call)

static int connected_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int peer = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT(0, connect(peer, (struct sockaddr *)&address, sizeof address));
    return peer;
}

int main(int count, char **arguments)
{
    const char hello[] = "hello\n";
    char answer[16] = "";
    Pkcs11Dev device;
    Pkcs11Token token;
    WOLFSSL_CTX *context;
    WOLFSSL *connection;
    int peer;

    if (count != 8)
        return 2;
    EXPECT(WOLFSSL_SUCCESS, wolfSSL_Init());
    EXPECT(0, wc_Pkcs11_Initialize(&device, arguments[1], NULL));
    EXPECT(0, wc_Pkcs11Token_InitName_NoLogin(&token, &device, arguments[2], (int)strlen(arguments[2])));
    EXPECT(0, wc_Pkcs11Token_Open(&token, 0));
    EXPECT(0, wc_CryptoCb_RegisterDevice(DEVICE, wc_Pkcs11_CryptoDevCb, &token));

    context = wolfSSL_CTX_new(strcmp(arguments[4], "1.3") == 0 ? wolfTLSv1_3_client_method() : wolfTLSv1_2_client_method());
    EXPECT(WOLFSSL_SUCCESS, wolfSSL_CTX_load_verify_locations(context, arguments[5], NULL));
    EXPECT(WOLFSSL_SUCCESS, wolfSSL_CTX_use_certificate_file(context, arguments[6], WOLFSSL_FILETYPE_PEM));
    EXPECT(WOLFSSL_SUCCESS, wolfSSL_CTX_use_PrivateKey_Label(context, arguments[3], DEVICE));

    connection = wolfSSL_new(context);
    peer = connected_to(atoi(arguments[7]));
    EXPECT(WOLFSSL_SUCCESS, wolfSSL_check_domain_name(connection, "localhost"));
    EXPECT(WOLFSSL_SUCCESS, wolfSSL_set_fd(connection, peer));
    EXPECT(WOLFSSL_SUCCESS, wolfSSL_connect(connection));
    EXPECT((int)strlen(hello), wolfSSL_write(connection, hello, (int)strlen(hello)));
    EXPECT((int)strlen(hello), wolfSSL_read(connection, answer, sizeof answer - 1));
    printf("%s: %s", wolfSSL_get_version(connection), answer);
    EXPECT(0, strcmp(answer, "olleh\n"));

    wolfSSL_free(connection);
    close(peer);
    wolfSSL_CTX_free(context);
    wc_Pkcs11Token_Final(&token);
    wc_Pkcs11_Finalize(&device);
    wolfSSL_Cleanup();
    return 0;
}
