// The weight format FORMAT (ggml's id). Each file describes its layout and offers
//   SUBS            blocks of 32 columns a unit; HEAD and BLOCK: uvec4 of 8 lanes for what a unit begins with, and for a block
//   SCALES          of a block and row: 0, 1 or 2 (one a half); OFFSET: 1 where a multiple of the sum of x is added
//   load_head(at, lane), load_block(at, lane)   at: uvec4 index of the unit's head, of the block
//   weights(j, g) * fold(j)                     columns 4g..4g+3 of the lane's row j, before scale
//   scale(j, h), offset(j, h)                   of half h
// A weight is scale * (weights * fold) + offset.
//
// The including shader gives W4(i): word i, a uvec4, of the matrix.
#include "planes.glsl"

// The same memory as uvec2.
uvec2 W2(uint i)
{
    uvec4 v = W4(i >> 1);
    return (i & 1u) == 0u ? v.xy : v.zw;
}

#if FORMAT == 0
#include "f32.glsl"
#elif FORMAT == 1
#include "f16.glsl"
#elif FORMAT == 2
#include "q4_0.glsl"
#elif FORMAT == 3
#include "q4_1.glsl"
#elif FORMAT == 6
#include "q5_0.glsl"
#elif FORMAT == 7
#include "q5_1.glsl"
#elif FORMAT == 8
#include "q8_0.glsl"
#elif FORMAT == 10
#include "q2_k.glsl"
#elif FORMAT == 11
#include "q3_k.glsl"
#elif FORMAT == 12
#include "q4_k.glsl"
#elif FORMAT == 13
#include "q5_k.glsl"
#elif FORMAT == 14
#include "q6_k.glsl"
#elif FORMAT == 30
#include "bf16.glsl"
#endif

// uvec4 of one tile.
uint tile_words(uint blocks) { return (blocks / SUBS) * uint(HEAD + SUBS * BLOCK); }
