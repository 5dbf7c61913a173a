/* hashed_ids.h - many texts' ids in one number (FNV-1a). */
#ifndef HASHED_IDS_H
#define HASHED_IDS_H

#include <stdint.h>

enum { HASHED_TEXTS = 500 }; /* to a hash */

#define HASHED_IDS_BEGIN 0xcbf29ce484222325u
#define HASHED_IDS_END (-1) /* of a text */

static inline uint64_t hashed_ids_add(uint64_t hash, int32_t id)
{
    return (hash ^ (uint32_t)id) * 0x100000001b3u;
}

#endif
