// How fast the device reads: each workgroup sums a contiguous piece, 8 loads of 16 bytes in flight a lane.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "words.glsl"

layout(local_size_x_id = 0) in;
WORDS(0, data);
layout(std430, binding = 1) buffer Out { uvec4 sums[]; };
layout(push_constant) uniform Push { uint steps; }; // of 8 loads

void main()
{
    uint lanes = gl_WorkGroupSize.x, at = gl_WorkGroupID.x * steps * 8u * lanes + gl_LocalInvocationID.x;
    uvec4 s0 = uvec4(0), s1 = uvec4(0), s2 = uvec4(0), s3 = uvec4(0);
    for (uint i = 0u; i < steps; i++, at += 8u * lanes) {
        s0 += WORD(data, at);
        s1 += WORD(data, at + lanes);
        s2 += WORD(data, at + 2u * lanes);
        s3 += WORD(data, at + 3u * lanes);
        s0 += WORD(data, at + 4u * lanes);
        s1 += WORD(data, at + 5u * lanes);
        s2 += WORD(data, at + 6u * lanes);
        s3 += WORD(data, at + 7u * lanes);
    }
    sums[gl_GlobalInvocationID.x] = s0 + s1 + s2 + s3;
}
