// The k best logits of a row and the sum of all of e^(logit - largest), see struct top. Workgroup (part, row).
//
// Of GROUPS groups at least k have a largest logit that reaches a bound, so at least k logits do: the bound
// is sought among the groups, and what reaches it is collected, in no order. With k much less than the number of
// groups that is little more than k, for few of the best share a group.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"
#include "top.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint GROUPS = 128;
layout(constant_id = 2) const uint PARTS = 1;
WORDS(0, logits);
layout(std430, binding = 1) readonly buffer Wanted { uint wanted[]; };   // struct step_top
layout(std430, binding = 2) readonly buffer Groups { uint groups[]; };   // (rows, GROUPS)
layout(std430, binding = 3) buffer Out { uint result[]; };               // struct top
layout(push_constant) uniform Push { top_args a; };

shared uint largest[GROUPS];
shared uint counts[32];
shared uint most;
shared float sums[gl_WorkGroupSize.x];

// As near to k groups as 20 bits tell, or as is good enough.
uint bound_of(uint k)
{
    uint bound = 0;
    for (int bit = 31; bit >= 12; bit--) {
        uint tried = bound | 1u << bit, n = 0;
        for (uint i = gl_LocalInvocationID.x; i < GROUPS; i += gl_WorkGroupSize.x)
            n += largest[i] >= tried ? 1 : 0;
        atomicAdd(counts[bit], n);
        barrier();
        n = counts[bit];
        if (n >= k) bound = tried;
        if (n >= k && n <= k + k / 8) break;
    }
    return max(bound, NONE + 1);
}

void main()
{
    const uint lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
    uint part = gl_WorkGroupID.x, row = gl_WorkGroupID.y;
    uint to = row * a.found, from = row * a.wanted, k = wanted[from], n_named = wanted[from + 1];
    if (k == 0) return;
    if (lane == 0) most = NONE;
    for (uint i = lane; i < 32; i += lanes) counts[i] = 0;
    barrier();
    uint mine = NONE;
    for (uint i = lane; i < GROUPS; i += lanes) {
        largest[i] = groups[row * GROUPS + i];
        mine = max(mine, largest[i]);
    }
    atomicMax(most, mine);
    barrier();
    uint bound = bound_of(k), fours = (a.n + 3) / 4;
    float best = logit_of(most);
    vec4 sum = vec4(0.0);
    for (uint i = part * lanes + lane; i < fours; i += PARTS * lanes) {
        uvec4 bits = WORD(logits, row * (a.stride / 4) + i), order = order_at(bits, i, a.n);
        // No e^x of less is a normal number; far less than the largest adds nothing.
        vec4 x = clamp(uintBitsToFloat(bits) - best, -87.0, 0.0);
        sum += mix(exp(x), vec4(0.0), equal(order, uvec4(NONE)));
        if (all(lessThan(order, uvec4(bound)))) continue;
        for (int j = 0; j < 4; j++) {
            if (order[j] < bound) continue;
            uint item = atomicAdd(result[to], 1u);
            if (item >= a.room) continue;
            result[to + a.items + 2 * item] = i * 4 + uint(j);
            result[to + a.items + 2 * item + 1] = bits[j];
        }
    }
    sums[lane] = (sum.x + sum.y) + (sum.z + sum.w);
    barrier();
    if (part == 0) {
        for (uint i = lane; i < n_named; i += lanes) {
            uint id = min(wanted[from + 2 + i], a.n - 1);
            result[to + a.names + i] = WORD(logits, row * (a.stride / 4) + id / 4)[id % 4];
        }
    }
    if (lane > 0) return;
    float all_sums = 0.0;
    for (uint i = 0; i < lanes; i++) all_sums += sums[i];
    result[to + 2 + part] = floatBitsToUint(all_sums);
    if (part > 0) return;
    result[to + 1] = floatBitsToUint(best);
    for (uint i = 2 + PARTS; i < a.items; i++) result[to + i] = 0;
}
