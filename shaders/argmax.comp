// The index of the largest logit of a row, ties to the lowest; NaN never wins. One workgroup a row.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"

layout(local_size_x_id = 0) in;
WORDS(0, logits);
layout(std430, binding = 1) writeonly buffer Out { uint result[]; };
layout(push_constant) uniform Push { argmax_args a; };

shared float best_value[gl_WorkGroupSize.x];
shared uint best_index[gl_WorkGroupSize.x];
const uint NONE = 0xffffffffu;

void main()
{
    uint lane = gl_LocalInvocationID.x, row = gl_WorkGroupID.x;
    float value = 0.0;
    uint index = NONE;
    for (uint i = lane; i * 4 < a.n; i += gl_WorkGroupSize.x) {
        vec4 v = uintBitsToFloat(WORD(logits, row * (a.stride / 4) + i));
        for (int k = 0; k < 4; k++) {
            if (i * 4 + uint(k) >= a.n) continue;
            // The bits say what is NaN: a compiler may assume that no comparison sees one.
            bool number = (floatBitsToUint(v[k]) & 0x7fffffffu) <= 0x7f800000u;
            if (number && (index == NONE || v[k] > value)) {
                value = v[k];
                index = i * 4 + uint(k);
            }
        }
    }
    best_value[lane] = value;
    best_index[lane] = index;
    barrier();
    if (lane > 0) return;
    for (uint i = 1; i < gl_WorkGroupSize.x; i++) {
        uint other = best_index[i];
        if (other == NONE) continue;
        if (index == NONE || best_value[i] > value || (best_value[i] == value && other < index)) {
            value = best_value[i];
            index = other;
        }
    }
    result[row] = index == NONE ? 0 : index;
}
