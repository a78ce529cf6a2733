/*
 * What Azure's key service (aziot-keyd of the IoT identity service, and IoT Edge's) does with a module, call by call, as its
 * Rust crate `pkcs11` does it: loads it, takes a label's key pair away, makes another one, reads its public key and signs.
 *
 *     keys MODULE TOKEN LABEL DIGEST POINT SIGNATURE [PIN]
 *
 * TOKEN and LABEL are labels, DIGEST is a file of 32 bytes. The public key (65 bytes) goes to the file POINT, the signature (64
 * bytes) to SIGNATURE.
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

/* The service brings mutexes, and does not say that the system's will do. */
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

static CK_FUNCTION_LIST *module;
static CK_SESSION_HANDLE session;

static void load(const char *path)
{
    CK_C_INITIALIZE_ARGS arguments = {create_mutex, destroy_mutex, lock_mutex, unlock_mutex, CKF_LIBRARY_CANT_CREATE_OS_THREADS, NULL};
    CK_INFO info;
    void *library = dlopen(path, RTLD_NOW);
    CK_C_GetFunctionList list;

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

/* Before whatever may need it, and not if the session's state says that it is done. */
static void log_in(const char *pin)
{
    CK_SESSION_INFO info;
    CK_RV rv;

    OK(module->C_GetSessionInfo(session, &info));
    if (info.state == CKS_RW_USER_FUNCTIONS || pin == NULL)
        return;
    rv = module->C_Login(session, CKU_USER, (unsigned char *)pin, strlen(pin));
    expect(rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN, "C_Login", rv);
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

static void generate(const char *label, CK_OBJECT_HANDLE *public, CK_OBJECT_HANDLE *private)
{
    static unsigned char curve[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
    static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE of_public[] = {
        {CKA_EC_PARAMS, curve, sizeof curve}, {CKA_ENCRYPT, &yes, sizeof yes}, {CKA_PRIVATE, &no, sizeof no},
        {CKA_TOKEN, &yes, sizeof yes}, {CKA_VERIFY, &yes, sizeof yes}, {CKA_LABEL, (void *)label, strlen(label)},
    };
    CK_ATTRIBUTE of_private[] = {
        {CKA_DECRYPT, &yes, sizeof yes}, {CKA_PRIVATE, &yes, sizeof yes}, {CKA_SENSITIVE, &yes, sizeof yes},
        {CKA_SIGN, &yes, sizeof yes}, {CKA_TOKEN, &yes, sizeof yes}, {CKA_LABEL, (void *)label, strlen(label)},
    };
    static const CK_OBJECT_CLASS classes[] = {CKO_PUBLIC_KEY, CKO_PRIVATE_KEY};
    CK_OBJECT_HANDLE old;
    int i;

    /* The pair of before, its public key first. */
    for (i = 0; i < 2; i++) {
        old = find(classes[i], label);
        if (old != 0)
            OK(module->C_DestroyObject(session, old));
    }
    OK(module->C_GenerateKeyPair(session, &mechanism, of_public, 6, of_private, 6, public, private));
    EXPECT(*public != 0 && *private != 0);
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

int main(int count, char **arguments)
{
    const char *label, *pin;
    unsigned char digest[32], params[16], point[80], signature[256];
    CK_OBJECT_HANDLE public, private;
    CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
    CK_ULONG length = sizeof signature;
    CK_KEY_TYPE type = CKK_EC;
    CK_ATTRIBUTE key_type = {CKA_KEY_TYPE, &type, sizeof type};
    FILE *file;

    if (count < 7)
        return 2;
    label = arguments[3];
    pin = count > 7 ? arguments[7] : NULL;
    file = fopen(arguments[4], "rb");
    EXPECT(file != NULL && fread(digest, 1, sizeof digest, file) == sizeof digest);

    load(arguments[1]);
    OK(module->C_OpenSession(slot_of(arguments[2]), CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
    log_in(pin);
    generate(label, &public, &private);

    /* Found anew, as when the service starts again. */
    EXPECT(find(CKO_PUBLIC_KEY, label) == public);
    EXPECT(find(CKO_PRIVATE_KEY, label) == private);
    OK(module->C_GetAttributeValue(session, private, &key_type, 1));
    EXPECT(type == CKK_EC);
    EXPECT(attribute(public, CKA_EC_PARAMS, params, sizeof params) == 10);
    /* An OCTET STRING of 65 bytes. */
    EXPECT(attribute(public, CKA_EC_POINT, point, sizeof point) == 67 && point[0] == 4 && point[1] == 65);
    write_file(arguments[5], point + 2, 65);

    log_in(pin);
    OK(module->C_SignInit(session, &ecdsa, private));
    OK(module->C_Sign(session, digest, sizeof digest, signature, &length));
    EXPECT(length == 64);
    write_file(arguments[6], signature, length);

    OK(module->C_CloseSession(session));
    OK(module->C_Finalize(NULL));
    return 0;
}
