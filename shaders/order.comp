// Puts the pairs of each expert together, in groups of COLUMNS that NONE fills up. One workgroup. Which
// pairs share a group is a matter of chance and changes no result.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "experts.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint EXPERTS = 1;
layout(constant_id = 2) const uint COLUMNS = 1;
layout(std430, binding = 0) readonly buffer Chosen { uvec2 chosen[]; };
layout(std430, binding = 1) writeonly buffer Order { uint order[]; };
layout(push_constant) uniform Push { order_args a; };

shared uint counts[EXPERTS];
shared uint places[EXPERTS]; // of the next pair

uint padded(uint e) { return (counts[e] + COLUMNS - 1) / COLUMNS * COLUMNS; }

void main()
{
    const uint lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
    for (uint e = lane; e < EXPERTS; e += lanes) counts[e] = 0;
    barrier();
    for (uint p = lane; p < a.n_pairs; p += lanes) {
        uint e = chosen[p].x;
        if (e < EXPERTS) atomicAdd(counts[e], 1u);
    }
    barrier();
    for (uint e = lane; e < EXPERTS; e += lanes) {
        uint place = 0;
        for (uint i = 0; i < e; i++) place += padded(i);
        places[e] = place;
        for (uint i = counts[e]; i < padded(e); i++) order[place + i] = NONE;
    }
    barrier();
    uint end = places[EXPERTS - 1] + padded(EXPERTS - 1);
    barrier(); // places move from here on
    for (uint i = end + lane; i < a.n_order; i += lanes) order[i] = NONE;
    for (uint p = lane; p < a.n_pairs; p += lanes) {
        uint e = chosen[p].x;
        if (e < EXPERTS) order[atomicAdd(places[e], 1u)] = p;
    }
}
