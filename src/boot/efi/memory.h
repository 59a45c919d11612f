// Copying and clearing, without a C library.
#pragma once

#include "efi.h"

static inline void copy(void *to, const void *from, u64 size)
{
#ifdef __x86_64__
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
#else
    u64 *words = to;
    const u64 *next = from;
    for (; size >= 8; size -= 8)
        *words++ = *next++;
    u8 *byte = (u8 *)words;
    for (const u8 *rest = (const u8 *)next; size; size--)
        *(volatile u8 *)byte++ = *rest++; // volatile, or the compiler calls memcpy
#endif
}

static inline void clear(void *memory, u64 size)
{
    for (volatile u8 *byte = memory; size; size--)
        *byte++ = 0;
}

static inline u64 pages_of(u64 size)
{
    return (size + PAGE - 1) / PAGE;
}
