// The k best logits of a row and the sum of all of e^(logit - largest), see struct top. Workgroup (part, row).
//
// Of GROUPS groups at least k have a largest logit that reaches a bound, so at least k logits do: the bound is
// sought among the groups, and what reaches it is collected from those that have it, in no order. With k much less
// than the number of groups that is little more than k, for few of the best share a group.
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
WORDS(2, groups); // (rows, FOURS)
layout(std430, binding = 3) buffer Out { uint result[]; };               // struct top
layout(push_constant) uniform Push { top_args a; };

const uint FOURS = GROUPS / 4;
shared uint chosen[GROUPS]; // the part's groups that reach the bound
shared uint n_chosen;
shared uint counts[32];
shared uint most;
shared float sums[gl_WorkGroupSize.x];

uvec4 group_four(uint i) { return WORD(groups, gl_WorkGroupID.y * FOURS + i); }

void find_most()
{
    uvec4 mine = uvec4(NONE);
    for (uint i = gl_LocalInvocationID.x; i < FOURS; i += gl_WorkGroupSize.x) mine = max(mine, group_four(i));
    atomicMax(most, max(max(mine.x, mine.y), max(mine.z, mine.w)));
    barrier();
}

// As near to k groups as 20 bits tell, or as is good enough.
uint bound_of(uint k)
{
    uint bound = 0;
    for (int bit = 31; bit >= 12; bit--) {
        uint tried = bound | 1u << bit;
        uvec4 reach = uvec4(0);
        for (uint i = gl_LocalInvocationID.x; i < FOURS; i += gl_WorkGroupSize.x)
            reach += uvec4(greaterThanEqual(group_four(i), uvec4(tried)));
        atomicAdd(counts[bit], (reach.x + reach.y) + (reach.z + reach.w));
        barrier();
        uint n = counts[bit];
        if (n >= k) bound = tried;
        if (n >= k && n <= k + k / 8) break;
    }
    return max(bound, NONE + 1);
}

void choose_groups(uint bound)
{
    for (uint i = gl_WorkGroupID.x + PARTS * gl_LocalInvocationID.x; i < FOURS; i += PARTS * gl_WorkGroupSize.x) {
        uvec4 four = group_four(i);
        for (int j = 0; j < 4; j++)
            if (four[j] >= bound) chosen[atomicAdd(n_chosen, 1u)] = i * 4 + uint(j);
    }
    barrier();
}

void collect(uint bound, uint from, uint to)
{
    for (uint g = 0; g < n_chosen; g++) {
        uint first = chosen[g];
        for (uint id = first + GROUPS * gl_LocalInvocationID.x; id < a.n; id += GROUPS * gl_WorkGroupSize.x) {
            uint bits = WORD(logits, from + id / 4)[first % 4];
            if (order_of(uvec4(bits)).x < bound) continue;
            uint item = atomicAdd(result[to], 1u);
            if (item >= a.room) continue;
            result[to + a.items + 2 * item] = id;
            result[to + a.items + 2 * item + 1] = bits;
        }
    }
}

// Of one invocation.
float sum_of(uint from, float best)
{
    const uint lanes = gl_WorkGroupSize.x, fours = (a.n + 3) / 4;
    vec4 sum = vec4(0.0);
    for (uint i = gl_WorkGroupID.x * lanes + gl_LocalInvocationID.x; i < fours; i += PARTS * lanes) {
        uvec4 bits = WORD(logits, from + i);
        // No e^x of less is a normal number; far less than the largest adds nothing.
        vec4 x = clamp(uintBitsToFloat(bits) - best, -87.0, 0.0);
        bvec4 number = lessThanEqual(bits & 0x7fffffffu, uvec4(0x7f800000u));
        x = mix(vec4(-87.0), x, number);
        if (i * 4 + 4 > a.n) x = mix(vec4(-87.0), x, lessThan(i * 4 + uvec4(0, 1, 2, 3), uvec4(a.n)));
        sum += exp(x);
    }
    return (sum.x + sum.y) + (sum.z + sum.w);
}

void main()
{
    const uint lane = gl_LocalInvocationID.x, lanes = gl_WorkGroupSize.x;
    uint part = gl_WorkGroupID.x, row = gl_WorkGroupID.y, from = row * (a.stride / 4), to = row * a.found;
    uint k = wanted[row * a.wanted], n_named = wanted[row * a.wanted + 1];
    if (k == 0) return;
    if (lane == 0) most = NONE;
    if (lane == 0) n_chosen = 0;
    for (uint i = lane; i < 32; i += lanes) counts[i] = 0;
    barrier();
    find_most();
    uint bound = bound_of(k);
    choose_groups(bound);
    collect(bound, from, to);
    if (part == 0) {
        for (uint i = lane; i < n_named; i += lanes) {
            uint id = min(wanted[row * a.wanted + 2 + i], a.n - 1);
            result[to + a.names + i] = WORD(logits, from + id / 4)[id % 4];
        }
    }
    float best = logit_of(most);
    sums[lane] = sum_of(from, best);
    barrier();
    if (lane > 0) return;
    float all_sums = 0.0;
    for (uint i = 0; i < lanes; i++) all_sums += sums[i];
    result[to + 2 + part] = floatBitsToUint(all_sums);
    if (part > 0) return;
    result[to + 1] = floatBitsToUint(best);
    for (uint i = 2 + PARTS; i < a.items; i++) result[to + i] = 0;
}
