// The largest logit of each of GROUPS groups of a row: id % GROUPS is the group, so that
// neighbours, which are often likely together, do not share one. Workgroup (part, row).
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"
#include "top.glsl"

layout(local_size_x_id = 0) in; // a multiple of SLOTS
layout(constant_id = 1) const uint GROUPS = 128;
layout(constant_id = 2) const uint PARTS = 4;
WORDS(0, logits);
layout(std430, binding = 1) readonly buffer Wanted { uint wanted[]; };         // struct step_top
layout(std430, binding = 2) writeonly buffer Groups { uvec4 groups[]; };       // (rows, FOURS)
layout(std430, binding = 3) writeonly buffer Out { uint result[]; };           // struct top
layout(push_constant) uniform Push { top_args a; };

const uint FOURS = GROUPS / 4, SLOTS = FOURS / PARTS;
shared uvec4 best[gl_WorkGroupSize.x];

void main()
{
    uint lane = gl_LocalInvocationID.x, part = gl_WorkGroupID.x, row = gl_WorkGroupID.y;
    if (wanted[row * a.wanted] == 0) return;
    uvec4 most = uvec4(NONE);
    uint fours = (a.n + 3) / 4, step = gl_WorkGroupSize.x / SLOTS * FOURS;
    for (uint i = lane / SLOTS * FOURS + part * SLOTS + lane % SLOTS; i < fours; i += step)
        most = max(most, order_at(WORD(logits, row * (a.stride / 4) + i), i, a.n));
    best[lane] = most;
    barrier();
    if (lane >= SLOTS) return;
    for (uint i = lane + SLOTS; i < gl_WorkGroupSize.x; i += SLOTS) most = max(most, best[i]);
    groups[row * FOURS + part * SLOTS + lane] = most;
    if (part == 0 && lane == 0) result[row * a.found] = 0; // the count of items
}
