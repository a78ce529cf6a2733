// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Breaks a rule that no module can check: it passes a string without a NUL at its end. AddressSanitizer stops the
 * module when it reads past the end, which proves that the module itself is checked and not only its caller
 * (scripts/asan.sh).
 */
#include "hostile.h"

struct interface { CK_UTF8CHAR *name; void *list; CK_FLAGS flags; };
typedef CK_RV (*get_interface)(CK_UTF8CHAR *, void *version, struct interface **, CK_FLAGS);

int main(int count, char **arguments)
{
    struct interface *found = NULL;
    CK_UTF8CHAR *name = malloc(3);
    load_module(count, arguments);
    memcpy(name, "PKC", 3);
    EXPECT(CKR_ARGUMENTS_BAD, ((get_interface) symbol("C_GetInterface"))(name, NULL, &found, 0));
    return verdict();
}
