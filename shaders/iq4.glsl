// The sixteen levels of IQ4_NL and IQ4_XS (ggml's kvalues_iq4nl), four in a word: chosen, not loaded, for
// arrays of constants that are indexed at run time are slow and lose some devices.
uvec4 level_words(uvec4 q)
{
    uvec4 low = mix(uvec4(0xbfad9881u), uvec4(0xf6eaddcfu), notEqual(q & 4u, uvec4(0)));
    uvec4 high = mix(uvec4(0x26190d01u), uvec4(0x71594535u), notEqual(q & 4u, uvec4(0)));
    return mix(low, high, notEqual(q & 8u, uvec4(0)));
}

vec4 chosen_levels(uvec4 q) { return vec4(ivec4(level_words(q) << (24u - 8u * (q & 3u))) >> 24); }

uint level_bytes(uvec4 q)
{
    uvec4 v = (level_words(q) >> (8u * (q & 3u)) & 255u) << uvec4(0, 8, 16, 24);
    return v.x | v.y | v.z | v.w;
}

#ifdef SHUFFLE
// Each of the 8 lanes holds two levels.
vec2 own_levels;

void load_levels() { own_levels = chosen_levels(uvec4(lane, lane + 8u, 0u, 0u)).xy; }

float level(uint q)
{
    float low = subgroupShuffle(own_levels.x, q & 7u), high = subgroupShuffle(own_levels.y, q & 7u);
    return (q & 8u) == 0u ? low : high;
}

vec4 levels(uvec4 q) { return vec4(level(q.x), level(q.y), level(q.z), level(q.w)); }
#else
void load_levels() {}
vec4 levels(uvec4 q) { return chosen_levels(q); }
#endif
