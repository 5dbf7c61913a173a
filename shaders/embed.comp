// out(row) = weight(token or position of row) * scale, or is added to. One invocation a block of 32 columns.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"

layout(local_size_x_id = 0) in;
WORDS(0, words);
layout(std430, binding = 1) readonly buffer Rows { uvec4 rows[]; }; // struct step_row
layout(std430, binding = 2) buffer Out { vec4 result[]; };
layout(push_constant) uniform Push { embed_args a; };

#define GRID 3
uvec4 W4(uint i) { return WORD(words, i); }
#include "format.glsl"

void main()
{
    uint b = gl_GlobalInvocationID.x;
    uint token = (a.word < 4 ? rows[gl_WorkGroupID.y][a.word] : 0) - a.first;
    if (b >= a.blocks || token >= a.rows) return;
    lane = token / 4 % 8;
    uint at = token / 32 * tile_words(a.blocks) + b / SUBS * uint(HEAD + SUBS * BLOCK);
    load_head(at);
    uint block_at = at + uint(HEAD) + b % SUBS * uint(BLOCK);
    load_block(block_at);
    uint to = gl_WorkGroupID.y * a.stride + b * 8;
    for (int h = 0; h < 2; h++) {
        load_half(block_at, h);
        [[unroll]] for (int j = 0; j < 4; j++) {
            if (token % 4 != uint(j)) continue;
            [[unroll]] for (int g = 0; g < 4; g++) {
                vec4 v = weights(j, g) * X_SCALE * fold(j);
                if (SCALES > 0) v *= scale(j, h);
                if (OFFSET == 1) v += offset(j, h);
                v *= a.scale;
                if (a.add != 0) v += result[to + uint(4 * h + g)];
                result[to + uint(4 * h + g)] = v;
            }
        }
    }
}
