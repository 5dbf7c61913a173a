// Merges the groups of a row's head in order. Partial results are (rows, heads, max_groups) records
// of v_dim / 4 + 1 vec4: the sums, then largest score and sum of weights. A row's groups count
// from that of the first position it sees. A head's sink is one more score, of nothing.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"
#include "cache.glsl"
#include "softmax.glsl"
#ifdef INT
#extension GL_KHR_shader_subgroup_shuffle : require
#include "int.glsl"
#endif
#ifdef INT8
#include "int8.glsl"
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const int V_DIM = 64;
layout(constant_id = 2) const bool SINKS = false;
layout(std430, binding = 0) readonly buffer Rows { uvec4 rows[]; };
WORDS(1, partial);
layout(std430, binding = 2) writeonly buffer Out { vec4 result[]; };
layout(std430, binding = 3) readonly buffer Sinks { float sinks[]; }; // (heads)
layout(push_constant) uniform Push { attention_args a; };

const uint FOURS = uint(V_DIM / 4);

#ifdef INT8
shared vec4 merged[V_DIM / 4];
#endif

vec4 read(uint i) { return uintBitsToFloat(WORD(partial, i)); }

void main()
{
    uint head = gl_WorkGroupID.x, row = gl_WorkGroupID.y, n_heads = gl_NumWorkGroups.x;
    uvec4 r = rows[row];
    if (r.y == NO_ROW) return;
    uvec2 seen = seen_by(r, a.window);
    uint groups = seen.y / GROUP - seen.x / GROUP + 1, first = (row * n_heads + head) * a.max_groups * (FOURS + 1);
    for (uint d = gl_LocalInvocationID.x; d < FOURS; d += gl_WorkGroupSize.x) {
        uint at = first;
        float before, after;
        vec4 sums = read(at + d), about = read(at + FOURS);
        state whole = state(about.x, about.y);
        for (uint g = 1; g < groups; g++) {
            at += FOURS + 1;
            about = read(at + FOURS);
            whole = merge(whole, state(about.x, about.y), before, after);
            sums = sum_of(sums, before, read(at + d), after);
        }
        if (SINKS) {
            whole = merge(whole, state(sinks[head], 1.0), before, after);
            sums *= before;
        }
        vec4 v = sums / whole.sum;
#ifdef INT
        v = uintBitsToFloat(round_block(v));
#endif
#ifdef INT8
        merged[d] = v;
#else
        result[row * (a.out_stride / 4) + head * FOURS + d] = v;
#endif
    }
#ifdef INT8
    barrier();
    for (uint b = gl_LocalInvocationID.x; b < FOURS / 8; b += gl_WorkGroupSize.x) {
        vec4 v[8];
        uvec4 words[3];
        [[unroll]] for (int k = 0; k < 8; k++) v[k] = merged[b * 8 + uint(k)];
        round_block(v, words);
        uint at = row * (a.out_stride / 4) + (head * (FOURS / 8) + b) * 3;
        [[unroll]] for (int k = 0; k < 3; k++) result[at + uint(k)] = uintBitsToFloat(words[k]);
    }
#endif
}
