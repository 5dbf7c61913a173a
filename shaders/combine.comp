// x(row) += what the row's slots have made, times their weights, in the router's order.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"
#include "experts.glsl"

layout(local_size_x_id = 0) in;
layout(std430, binding = 0) readonly buffer Chosen { uvec2 chosen[]; };
WORDS(1, made); // (rows, slots, a.stride)
layout(std430, binding = 2) buffer X { vec4 x[]; };
layout(push_constant) uniform Push { combine_args a; };

void main()
{
    uint i = gl_GlobalInvocationID.x, row = gl_WorkGroupID.y, pair = row * a.slots;
    if (i >= a.chunks || chosen[pair].x == NONE) return;
    vec4 sum = vec4(0.0);
    for (uint s = 0; s < a.slots; s++, pair++)
        sum = fma(vec4(uintBitsToFloat(chosen[pair].y)), uintBitsToFloat(WORD(made, pair * a.stride + i)), sum);
    x[row * a.stride + i] += sum;
}
