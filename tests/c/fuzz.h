/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Shared by the parts of the fuzz program: fuzz.c makes the calls, fuzz_arguments.c their arguments. */
#ifndef FUZZ_H
#define FUZZ_H 1

#include "hostile.h"

/*
 * A function and its arguments, a letter for each or for a pair:
 *     s session   i slot   o object   D input and length   B output and pointer to length   R output and length
 *     m mechanism   t template and count   q attributes to fill and count   h result: a handle   f flags   u user
 *     I result: a structure   l label of 32 bytes   N pointer that should be NULL   w C_WaitForSlotEvent's flags
 *     y mechanism's code   L result: objects, room and count
 * `unit`: the size of the structure, or of an output's elements.
 */
struct function { const char *name, *arguments; size_t unit; };

/* The arguments of one call, and the memory they point to. */
struct block { void *memory; size_t size; };
struct call {
    const struct function *function;
    CK_ULONG words[12];
    int count;
    struct block blocks[128];
    int used;
    /* The output with the two-call convention, if there is one. */
    unsigned char *output;
    size_t room;
    CK_ULONG *length, told;
    /* Results. */
    CK_ULONG *handle, *found, *found_count;
};

/* Makes up an argument of this kind. */
void argument(struct call *call, char kind);

/* Handles returned by the module, in any thread. */
#define POOL 16
extern CK_ULONG sessions[POOL], objects[POOL];
void to_pool(CK_ULONG *pool, CK_ULONG handle);
/* The session that this thread uses most, so that operations get further than their beginning. */
extern __thread CK_ULONG own_session;

/* Random numbers, the same for the same seed. */
void seed_thread(uint64_t seed);
CK_ULONG below(CK_ULONG limit);
int one_in(CK_ULONG count);

#endif
