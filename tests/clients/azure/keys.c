// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The calls that Azure's key service (aziot-keyd of IoT Identity Service, which IoT Edge uses) makes to a PKCS#11 module, in the
 * order in which its Rust crates `pkcs11` and `aziot-keys` make them.
 *
 *     keys MODULE TOKEN load   LABEL [PIN]    finds the key pair; exits with 3 if there is none
 *     keys MODULE TOKEN create LABEL [PIN]    finds the key pair, or generates one: RSA is tried first, as the identity service asks
 *     keys MODULE TOKEN renew  LABEL [PIN]    destroys the key pair and generates another
 *     keys MODULE TOKEN delete LABEL [PIN]    destroys the key pair
 *     keys MODULE TOKEN move   FROM  TO [PIN] destroys the key pair TO, and gives FROM its label
 *
 * load, create and renew then read the public key and sign: the digest is the file msg.sha (32 bytes), the public key goes to the file
 * point (65 bytes), the signature to the file signature (64 bytes). An empty PIN is none.
 *
 * Without `pkcs11_base_slot` the service keeps no session: each request loads the module, and unloads it.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

static void expect(int is_so, const char *what, CK_RV rv)
{
    if (!is_so) {
        fprintf(stderr, "%s: 0x%lx\n", what, rv);
        exit(1);
    }
}
#define EXPECT(condition) expect(!!(condition), #condition, 0)
#define OK(call) do { CK_RV rv_ = (call); expect(rv_ == CKR_OK, #call, rv_); } while (0)

/* The service brings mutexes. */
static CK_RV create_mutex(void **mutex)
{
    *mutex = malloc(sizeof(pthread_mutex_t));
    return pthread_mutex_init(*mutex, NULL) == 0 ? CKR_OK : CKR_GENERAL_ERROR;
}
static CK_RV destroy_mutex(void *mutex)
{
    pthread_mutex_destroy(mutex);
    free(mutex);
    return CKR_OK;
}
static CK_RV lock_mutex(void *mutex) { return pthread_mutex_lock(mutex) == 0 ? CKR_OK : CKR_GENERAL_ERROR; }
static CK_RV unlock_mutex(void *mutex) { return pthread_mutex_unlock(mutex) == 0 ? CKR_OK : CKR_MUTEX_NOT_LOCKED; }

static const char *path, *token, *pin;
static void *library;
static CK_FUNCTION_LIST *module;
static CK_SESSION_HANDLE session;

static void load(void)
{
    static int loaded;
    CK_C_INITIALIZE_ARGS arguments = {create_mutex, destroy_mutex, lock_mutex, unlock_mutex, CKF_LIBRARY_CANT_CREATE_OS_THREADS, NULL};
    CK_INFO info;
    CK_C_GetFunctionList list;

    /* Newer versions of the service add this flag, older ones do not. */
    if (loaded++ % 2 == 1)
        arguments.flags |= CKF_OS_LOCKING_OK;
    library = dlopen(path, RTLD_NOW);
    EXPECT(library != NULL);
    list = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
    EXPECT(list != NULL);
    OK(list(&module));
    EXPECT(module->version.major == 2 && module->version.minor >= 1);
    OK(module->C_Initialize(&arguments));
    OK(module->C_GetInfo(&info));
    EXPECT(info.cryptokiVersion.major == 2 && info.cryptokiVersion.minor >= 20);
}

/* Slots are never counted first: a list without room is a way to ask for their number. */
static CK_SLOT_ID slot_of(const char *label)
{
    CK_SLOT_ID none, *slots = &none;
    CK_ULONG count = 0, i;
    CK_TOKEN_INFO info;

    EXPECT(module->C_GetSlotList(CK_TRUE, slots, &count) == CKR_BUFFER_TOO_SMALL);
    slots = calloc(count, sizeof *slots);
    OK(module->C_GetSlotList(CK_TRUE, slots, &count));
    for (i = 0; i < count; i++) {
        OK(module->C_GetTokenInfo(slots[i], &info));
        if ((info.flags & CKF_TOKEN_INITIALIZED) != 0 && strncmp((char *)info.label, label, strlen(label)) == 0
            && strspn((char *)info.label + strlen(label), " ") >= sizeof info.label - strlen(label))
            return slots[i];
    }
    EXPECT(!"a token of this label");
    return 0;
}

/* Before each call that may need it, unless the session's state shows a login. */
static void log_in(void)
{
    CK_SESSION_INFO info;
    CK_RV rv;

    OK(module->C_GetSessionInfo(session, &info));
    if (info.state == CKS_RW_USER_FUNCTIONS || pin == NULL)
        return;
    rv = module->C_Login(session, CKU_USER, (unsigned char *)pin, strlen(pin));
    expect(rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN, "C_Login", rv);
}

/* A request begins. */
static void begin(void)
{
    load();
    OK(module->C_OpenSession(slot_of(token), CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
}

/* It ends. */
static void end(void)
{
    OK(module->C_CloseSession(session));
    OK(module->C_Finalize(NULL));
    EXPECT(dlclose(library) == 0);
}

/* The first object of this class and label; 0 if there is none. One is asked for at a time. */
static CK_OBJECT_HANDLE find(CK_OBJECT_CLASS class, const char *label)
{
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, (void *)label, strlen(label)}};
    CK_OBJECT_HANDLE found = 0;
    CK_ULONG count = 0;

    OK(module->C_FindObjectsInit(session, template, 2));
    OK(module->C_FindObjects(session, &found, 1, &count));
    OK(module->C_FindObjectsFinal(session));
    return count == 1 ? found : 0;
}

/* The key pair of this label; 0 if one of the two is missing. */
static int key_pair(const char *label, CK_OBJECT_HANDLE *public, CK_OBJECT_HANDLE *private)
{
    CK_KEY_TYPE type = CKK_RSA;
    CK_ATTRIBUTE key_type = {CKA_KEY_TYPE, &type, sizeof type};

    log_in();
    *public = find(CKO_PUBLIC_KEY, label);
    if (*public == 0)
        return 0;
    OK(module->C_GetAttributeValue(session, *public, &key_type, 1));
    EXPECT(type == CKK_EC);
    *private = find(CKO_PRIVATE_KEY, label);
    if (*private == 0)
        return 0;
    type = CKK_RSA;
    OK(module->C_GetAttributeValue(session, *private, &key_type, 1));
    EXPECT(type == CKK_EC);
    return 1;
}

/* The public key first. */
static void delete(const char *label)
{
    static const CK_OBJECT_CLASS classes[] = {CKO_PUBLIC_KEY, CKO_PRIVATE_KEY};
    CK_OBJECT_HANDLE old;
    int i;

    log_in();
    for (i = 0; i < 2; i++) {
        old = find(classes[i], label);
        if (old != 0)
            OK(module->C_DestroyObject(session, old));
    }
}

static CK_RV generate(CK_MECHANISM_TYPE type, CK_ATTRIBUTE *parameters, CK_ULONG count, const char *label)
{
    static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_MECHANISM mechanism = {type, NULL, 0};
    CK_ATTRIBUTE of_public[7];
    CK_ATTRIBUTE common[] = {
        {CKA_ENCRYPT, &yes, sizeof yes}, {CKA_PRIVATE, &no, sizeof no}, {CKA_TOKEN, &yes, sizeof yes}, {CKA_VERIFY, &yes, sizeof yes},
        {CKA_LABEL, (void *)label, strlen(label)},
    };
    CK_ATTRIBUTE of_private[] = {
        {CKA_DECRYPT, &yes, sizeof yes}, {CKA_PRIVATE, &yes, sizeof yes}, {CKA_SENSITIVE, &yes, sizeof yes},
        {CKA_SIGN, &yes, sizeof yes}, {CKA_TOKEN, &yes, sizeof yes}, {CKA_LABEL, (void *)label, strlen(label)},
    };
    CK_OBJECT_HANDLE public = 0, private = 0;
    CK_RV rv;

    delete(label);
    memcpy(of_public, parameters, count * sizeof *parameters);
    memcpy(of_public + count, common, sizeof common);
    rv = module->C_GenerateKeyPair(session, &mechanism, of_public, count + 5, of_private, 6, &public, &private);
    EXPECT(rv != CKR_OK || (public != 0 && private != 0));
    return rv;
}

static CK_RV generate_ec(const char *label)
{
    static unsigned char curve[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    CK_ATTRIBUTE parameters = {CKA_EC_PARAMS, curve, sizeof curve};

    return generate(CKM_EC_KEY_PAIR_GEN, &parameters, 1, label);
}

static CK_RV generate_rsa(const char *label)
{
    static unsigned char exponent[] = {1, 0, 1};
    CK_ULONG bits = 2048;
    CK_ATTRIBUTE parameters[] = {{CKA_MODULUS_BITS, &bits, sizeof bits}, {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent}};

    return generate(CKM_RSA_PKCS_KEY_PAIR_GEN, parameters, 2, label);
}

/* Public key, then private key: each is found by the old label. */
static void rename_pair(const char *from, const char *to)
{
    static const CK_OBJECT_CLASS classes[] = {CKO_PUBLIC_KEY, CKO_PRIVATE_KEY};
    CK_ATTRIBUTE label = {CKA_LABEL, (void *)to, strlen(to)};
    int i;

    log_in();
    for (i = 0; i < 2; i++) {
        CK_OBJECT_HANDLE object = find(classes[i], from);

        EXPECT(object != 0);
        OK(module->C_SetAttributeValue(session, object, &label, 1));
    }
}

/* An attribute of any length: its length first. */
static CK_ULONG attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, unsigned char *value, CK_ULONG size)
{
    CK_ATTRIBUTE asked = {type, NULL, 0};

    OK(module->C_GetAttributeValue(session, object, &asked, 1));
    EXPECT(asked.ulValueLen <= size);
    asked.pValue = value;
    OK(module->C_GetAttributeValue(session, object, &asked, 1));
    return asked.ulValueLen;
}

static void write_file(const char *path, const unsigned char *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");

    EXPECT(file != NULL && fwrite(bytes, 1, count, file) == count && fclose(file) == 0);
}

/* Two requests: the public key, and a signature. */
static void use(const char *label)
{
    CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
    unsigned char digest[32], params[16], point[80], signature[256];
    CK_OBJECT_HANDLE public, private;
    CK_ULONG length = sizeof signature;
    FILE *file = fopen("msg.sha", "rb");

    EXPECT(file != NULL && fread(digest, 1, sizeof digest, file) == sizeof digest && fclose(file) == 0);

    begin();
    EXPECT(key_pair(label, &public, &private));
    EXPECT(attribute(public, CKA_EC_PARAMS, params, sizeof params) == 10);
    /* An OCTET STRING of 65 bytes. */
    EXPECT(attribute(public, CKA_EC_POINT, point, sizeof point) == 67 && point[0] == 4 && point[1] == 65);
    write_file("point", point + 2, 65);
    end();

    begin();
    EXPECT(key_pair(label, &public, &private));
    log_in();
    OK(module->C_SignInit(session, &ecdsa, private));
    OK(module->C_Sign(session, digest, sizeof digest, signature, &length));
    EXPECT(length == 64);
    write_file("signature", signature, length);
    end();
}

int main(int count, char **arguments)
{
    const char *verb, *label;
    CK_OBJECT_HANDLE public, private;
    CK_RV rv;
    int moves, there;

    if (count < 5)
        return 2;
    path = arguments[1];
    token = arguments[2];
    verb = arguments[3];
    label = arguments[4];
    moves = strcmp(verb, "move") == 0;
    pin = count > 5 + moves && *arguments[5 + moves] != 0 ? arguments[5 + moves] : NULL;

    if (moves && count > 5) {
        begin();
        delete(arguments[5]);
        end();
        begin();
        rename_pair(label, arguments[5]);
        end();
        return 0;
    }
    begin();
    if (strcmp(verb, "delete") == 0) {
        delete(label);
        end();
        return 0;
    }
    if (strcmp(verb, "renew") == 0) {
        OK(generate_ec(label));
        there = 1;
    } else {
        there = key_pair(label, &public, &private);
    }
    if (!there && strcmp(verb, "create") == 0) {
        rv = generate_rsa(label);
        EXPECT(rv == CKR_MECHANISM_INVALID);
        rv = generate_ec(label);
        expect(rv == CKR_OK, "C_GenerateKeyPair", rv);
        there = 1;
    }
    end();
    if (!there)
        return 3;
    use(label);
    return 0;
}
