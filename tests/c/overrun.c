/*
 * Breaks the one promise that no module can check: a string that ends with no NUL. Under AddressSanitizer the module is
 * stopped when it reads on, which shows that the module itself is watched and not only its caller (scripts/asan.sh).
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
