// Which experts a row takes, and by what their outputs are multiplied. One workgroup a row.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "softmax.glsl"
#include "experts.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint EXPERTS = 1;
layout(constant_id = 2) const uint USED = 1;
layout(constant_id = 3) const uint GROUPS = 1; // of experts; only those of a.groups_used groups are taken
layout(constant_id = 4) const uint GATE = 0;
layout(constant_id = 5) const bool NORMALISE = false; // the weights, to a sum of 1
layout(constant_id = 6) const uint TERMS = 0; // 1: biases of the logits, 2: of the choice, 4: scales; in this order
layout(constant_id = 7) const uint SHARED = 0;

layout(std430, binding = 0) readonly buffer Logits { float logits[]; };
layout(std430, binding = 1) readonly buffer Rows { uvec4 rows[]; }; // struct step_row
layout(std430, binding = 2) readonly buffer Terms { float terms[]; };
layout(std430, binding = 3) writeonly buffer Chosen { uvec2 chosen[]; };
layout(push_constant) uniform Push { router_args a; };

// As enum router_gate has them.
const uint SOFTMAX = 0, SIGMOID = 1, SOFTMAX_CHOSEN = 2;
// As enum shared_expert has them.
const uint PLAIN = 1, GATED = 2;

shared float probabilities[EXPERTS];
shared float scores[EXPERTS]; // by which they are chosen
shared float group_scores[GROUPS];
shared uint picks[USED];

const uint IN_GROUP = EXPERTS / GROUPS;
const uint LANES = gl_WorkGroupSize.x;
uint lane;

float sigmoid(float v) { return 1.0 / (1.0 + exp(min(-v, 80.0))); }

// Rises with v; every bit pattern has its place, so that NaNs cannot share one.
uint key_of(float v)
{
    uint bits = floatBitsToUint(v);
    return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}

bool before(float other, uint other_index, float own, uint own_index)
{
    uint a = key_of(other), b = key_of(own);
    return a > b || (a == b && other_index < own_index);
}

void make_softmax()
{
    float most = LOWEST, sum = 0.0;
    for (uint e = 0; e < EXPERTS; e++) most = max(most, probabilities[e]);
    barrier();
    for (uint e = lane; e < EXPERTS; e += LANES) probabilities[e] = weight_of(probabilities[e], most);
    barrier();
    for (uint e = 0; e < EXPERTS; e++) sum += probabilities[e];
    barrier();
    for (uint e = lane; e < EXPERTS; e += LANES) probabilities[e] /= sum;
}

void make_probabilities(uint row)
{
    for (uint e = lane; e < EXPERTS; e += LANES) {
        float logit = logits[row * a.stride + e];
        if ((TERMS & 1u) != 0u) logit += terms[e];
        probabilities[e] = GATE == SIGMOID ? sigmoid(logit) : logit;
    }
    barrier();
    if (GATE == SOFTMAX) make_softmax();
    for (uint e = lane; e < EXPERTS; e += LANES) {
        float bias = (TERMS & 2u) != 0u ? terms[(TERMS & 1u) * EXPERTS + e] : 0.0;
        scores[e] = probabilities[e] + bias;
    }
    barrier();
}

// A group is worth what its two best are (DeepSeek-V3); the rest of the groups are out.
void drop_groups()
{
    for (uint g = lane; g < GROUPS; g += LANES) {
        float best = LOWEST, second = LOWEST;
        for (uint i = 0; i < IN_GROUP; i++) {
            float s = scores[g * IN_GROUP + i];
            second = max(second, min(s, best));
            best = max(best, s);
        }
        group_scores[g] = IN_GROUP > 1 ? best + second : best;
    }
    barrier();
    for (uint g = lane; g < GROUPS; g += LANES) {
        uint rank = 0;
        for (uint i = 0; i < GROUPS; i++) rank += uint(before(group_scores[i], i, group_scores[g], g));
        if (rank < a.groups_used) continue;
        for (uint i = 0; i < IN_GROUP; i++) scores[g * IN_GROUP + i] = uintBitsToFloat(0xff800000u);
    }
    barrier();
}

// An expert's place is the number of those before it: a permutation, whatever the scores are.
void pick()
{
    for (uint e = lane; e < EXPERTS; e += LANES) {
        uint rank = 0;
        for (uint i = 0; i < EXPERTS; i++) rank += uint(before(scores[i], i, scores[e], e));
        if (rank < USED) picks[rank] = e;
    }
    barrier();
}

void write(uint row)
{
    float most = LOWEST, sum = 0.0;
    for (uint i = 0; i < USED; i++) most = max(most, probabilities[picks[i]]);
    for (uint i = 0; i < USED; i++) {
        float p = probabilities[picks[i]];
        sum += GATE == SOFTMAX_CHOSEN ? weight_of(p, most) : p;
    }
    float scale = a.scale;
    if (GATE == SOFTMAX_CHOSEN) scale /= sum;
    else if (NORMALISE) scale /= max(sum, 6.103515625e-5); // the least normal f16, as llama.cpp has it
    for (uint i = lane; i < USED; i += LANES) {
        float p = probabilities[picks[i]];
        if (GATE == SOFTMAX_CHOSEN) p = weight_of(p, most);
        if ((TERMS & 4u) != 0u) p *= terms[((TERMS & 1u) + (TERMS >> 1 & 1u)) * EXPERTS + picks[i]];
        chosen[row * a.slots + i] = uvec2(picks[i], floatBitsToUint(p * scale));
    }
    if (SHARED == 0 || lane > 0) return;
    float weight = SHARED == GATED ? sigmoid(logits[row * a.stride + a.shared_at]) : 1.0;
    chosen[row * a.slots + USED] = uvec2(NONE, floatBitsToUint(weight));
}

void main()
{
    uint row = gl_WorkGroupID.x;
    lane = gl_LocalInvocationID.x;
    if (rows[row].y == a.no_row) {
        for (uint i = lane; i < a.slots; i += LANES) chosen[row * a.slots + i] = uvec2(NONE, 0u);
        return;
    }
    make_probabilities(row);
    if (GROUPS > 1) drop_groups();
    pick();
    write(row);
}
