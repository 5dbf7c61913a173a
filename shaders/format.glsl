// The weight format FORMAT (ggml's id). Each file describes its layout and offers
//   SUBS            blocks of 32 columns a unit; HEAD and BLOCK: uvec4 of 8 lanes for what a unit begins with, and for a block
//   SCALES          of a row in a block: 0, 1 or 2 (one a half); OFFSET: 1 where a multiple of the sum of x is added
//   load_head(at), load_block(at), load_half(at, h)   at: first uvec4 of the unit's head, of the block
//   weights(j, g)                  columns 4g..4g+3 of the half in the lane's row j: times X_SCALE, fold(j) and scale, plus offset
//   IN_ORDER        defined where weights(j, g) with odd g needs the one before it
//   bytes(j, g)                    where there are products of bytes (DOT): the same columns as signed bytes
//   scale(j, h), offset(j, h)
// The including shader gives W4(i), word i (a uvec4) of the matrix, and GRID, the binding of the codebook where the format has
// one, and sets lane.
uint lane;

// What 8 lanes load together, one uvec4, uvec2 or uint each, lies together from word at on.
uvec4 L4(uint at) { return W4(at + lane); }
uvec2 L2(uint at)
{
    uvec4 v = W4(at + (lane >> 1));
    return (lane & 1u) == 0u ? v.xy : v.zw;
}

uint L1(uint at) { return W4(at + (lane >> 2))[lane & 3u]; }

#include "planes.glsl"

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
#elif FORMAT == 16
#include "iq2_xxs.glsl"
#elif FORMAT == 17
#include "iq2_xs.glsl"
#elif FORMAT == 18
#include "iq3_xxs.glsl"
#elif FORMAT == 19
#include "iq1_s.glsl"
#elif FORMAT == 20
#include "iq4_nl.glsl"
#elif FORMAT == 21
#include "iq3_s.glsl"
#elif FORMAT == 22
#include "iq2_s.glsl"
#elif FORMAT == 23
#include "iq4_xs.glsl"
#elif FORMAT == 29
#include "iq1_m.glsl"
#elif FORMAT == 30
#include "bf16.glsl"
#elif FORMAT == 34
#include "tq1_0.glsl"
#elif FORMAT == 35
#include "tq2_0.glsl"
#elif FORMAT == 39
#include "mxfp4.glsl"
#endif

// uvec4 of one tile.
uint tile_words(uint blocks) { return (blocks / SUBS) * uint(HEAD + SUBS * BLOCK); }
