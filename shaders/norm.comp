// out = in / sqrt(mean(in^2) + eps) * gain, one workgroup a row.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"
#ifdef INT
#extension GL_KHR_shader_subgroup_shuffle : require
#include "int.glsl"
#endif

layout(local_size_x_id = 0) in; // with INT, the 8 lanes of a block
WORDS(0, x);
WORDS(1, gain);
layout(std430, binding = 2) readonly buffer Outputs { uint outputs[]; };
layout(std430, binding = 3) writeonly buffer Out { vec4 result[]; };
layout(push_constant) uniform Push { norm_args a; };

shared float partial[gl_WorkGroupSize.x];

void main()
{
    uint lane = gl_LocalInvocationID.x, row = gl_WorkGroupID.x;
    uint from = (a.gather != 0 ? outputs[row] : row) * a.stride, to = row * a.stride;
    vec4 squares = vec4(0.0);
    for (uint i = lane; i < a.chunks; i += gl_WorkGroupSize.x) {
        vec4 v = uintBitsToFloat(WORD(x, from + i));
        squares = fma(v, v, squares);
    }
    partial[lane] = (squares.x + squares.y) + (squares.z + squares.w);
    barrier();
    float sum = 0.0;
    for (uint i = 0; i < gl_WorkGroupSize.x; i++) sum += partial[i];
    float scale = 1.0 / sqrt(sum / a.n + a.eps);
    for (uint i = lane; i < a.chunks; i += gl_WorkGroupSize.x) {
        vec4 v = uintBitsToFloat(WORD(x, from + i)) * scale * uintBitsToFloat(WORD(gain, i));
#ifdef INT
        v = uintBitsToFloat(round_block(v));
#endif
        result[to + i] = v;
    }
}
