// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Initialises the module as its environment says, and checks the number of slots against the program's second argument.
 */
#include "hostile.h"

int main(int count, char **arguments)
{
    CK_ULONG slots = 0;

    load_module(count, arguments);
    if (count != 3)
        return 2;
    EXPECT(CKR_OK, CALL(C_Initialize, NULL));
    EXPECT(CKR_OK, CALL(C_GetSlotList, CK_FALSE, NULL, &slots));
    CHECK(slots == strtoul(arguments[2], NULL, 10));
    EXPECT(CKR_OK, CALL(C_Finalize, NULL));
    return verdict();
}
