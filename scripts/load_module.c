// SPDX-License-Identifier: MIT OR Apache-2.0
/* Loads a PKCS#11 module as programs do, and prints its information: load_module MODULE.so
 *
 * Exits with 0 only if the module could be loaded, initialised and queried. scripts/package.sh runs it for each
 * architecture that packages are built for. */
#include <dlfcn.h>
#include <stdio.h>

#include <p11-kit/pkcs11.h>

/* Prints what went wrong and ends the program. */
#define CHECK(call)                                              \
    do {                                                         \
        CK_RV rv = (call);                                       \
        if (rv != CKR_OK) {                                      \
            fprintf(stderr, #call ": 0x%lx\n", (unsigned long)rv); \
            return 1;                                            \
        }                                                        \
    } while (0)

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: load_module MODULE.so\n");
        return 2;
    }
    void *module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (module == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    CK_C_GetFunctionList get_function_list = (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
    if (get_function_list == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    CK_FUNCTION_LIST_PTR list;
    CK_INFO info;
    CK_ULONG slots = 0;
    CHECK(get_function_list(&list));
    CHECK(list->C_Initialize(NULL));
    CHECK(list->C_GetInfo(&info));
    CHECK(list->C_GetSlotList(CK_FALSE, NULL, &slots));
    CHECK(list->C_Finalize(NULL));
    printf("%.32s, PKCS#11 %d.%d, CK_ULONG has %zu bytes, %lu slots\n", (const char *)info.libraryDescription,
           info.cryptokiVersion.major, info.cryptokiVersion.minor, sizeof(CK_ULONG), (unsigned long)slots);
    return 0;
}
