// The norm of rows, one workgroup each; or of the parts that rows are made of, each with its own gains.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#ifdef SHUFFLE
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#include "args.h"
#include "words.glsl"
#ifdef INT
#include "int.glsl"
#endif
#ifdef INT8
#include "int8.glsl"
#endif

layout(local_size_x_id = 0) in; // with SHUFFLE, 8 lanes
layout(constant_id = 1) const bool CENTERED = false;
layout(constant_id = 2) const bool BIAS = false;
layout(constant_id = 3) const bool ADD = false; // to what result holds
WORDS(0, x);
WORDS(1, gain);
layout(std430, binding = 2) readonly buffer Outputs { uint outputs[]; };
layout(std430, binding = 3) buffer Out { vec4 result[]; };
layout(std430, binding = 4) readonly buffer Bias { vec4 bias[]; };
layout(push_constant) uniform Push { norm_args a; };

#define NORM_IN(i) uintBitsToFloat(WORD(x, i))
#define NORM_GAIN(i) uintBitsToFloat(WORD(gain, i))
#include "norm.glsl"

uint from, to, part;
float mean, scale;

vec4 value(uint i)
{
    vec4 v = CENTERED ? (NORM_IN(from + i) - mean) * scale : NORM_IN(from + i) * scale;
    v *= NORM_GAIN(part + i);
    if (BIAS) v += bias[part + i];
    if (ADD) v = (v + result[to + i]) * a.scale;
    return v;
}

void main()
{
    uint row = gl_WorkGroupID.x;
    part = gl_WorkGroupID.y * a.chunks;
    to = row * a.stride + a.at + part;
    from = (a.gather != 0 ? outputs[row] : row) * a.stride + a.at + part;
    mean = CENTERED ? norm_mean(from, a.chunks, a.n) : 0.0;
    scale = norm_scale(from, a.chunks, a.n, a.eps, mean);
#ifdef INT8 // a block an invocation
    to = row * a.stride + (a.at + part) / 8 * 3;
    for (uint b = gl_LocalInvocationID.x; b < a.chunks / 8; b += gl_WorkGroupSize.x) {
        vec4 v[8];
        uvec4 words[3];
        [[unroll]] for (int k = 0; k < 8; k++) v[k] = value(b * 8 + uint(k));
        round_block(v, words);
        [[unroll]] for (int k = 0; k < 3; k++) result[to + b * 3 + uint(k)] = uintBitsToFloat(words[k]);
    }
#else
    for (uint i = gl_LocalInvocationID.x; i < a.chunks; i += gl_WorkGroupSize.x) {
        vec4 v = value(i);
#ifdef INT
        v = uintBitsToFloat(round_block(v));
#endif
        result[to + i] = v;
    }
#endif
}
