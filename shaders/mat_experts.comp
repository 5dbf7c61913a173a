// y(pair) = W x for pairs of a row and an expert that it chose, each with the expert's own W: COLUMNS
// pairs of one expert at a time. Or every row has every matrix, as heads are.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#ifdef SHUFFLE
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#include "args.h"
#include "words.glsl"

layout(local_size_x_id = 0, local_size_y_id = 1) in; // 8 lanes a tile; pieces of K
layout(constant_id = 2) const int COLUMNS = 1;
layout(constant_id = 3) const int MATRICES = 1;      // 2: y is gated
layout(constant_id = 4) const int PAIRS = 0;         // of a workgroup: its own; those that order has; rows of one matrix
layout(constant_id = 5) const bool BIAS = false;     // of each expert's rows
layout(constant_id = 6) const int ACTIVATION = 0;    // of the gate
layout(constant_id = 7) const bool GATE_WAITS = false; // in y: of the only matrix, up

WORDS(0, first); // experts, a.words apart
WORDS(1, second);
WORDS(2, x);
layout(std430, binding = 3) buffer Y { vec4 y[]; };
layout(std430, binding = 4) readonly buffer Chosen { uvec2 chosen[]; }; // (rows, slots): expert, weight
layout(std430, binding = 5) readonly buffer Order { uint order[]; };    // pairs, those of an expert together
WORDS(6, biases); // (experts, a.bias_stride), then those of the second matrix
layout(push_constant) uniform Push { experts_args a; };
#define ACT(i) 0.0 // none that experts have wants numbers
#include "activation.glsl"

uint columns_at[COLUMNS];
#define GRID 7
#define X_AT(n) columns_at[n]
#include "mat.glsl"
#include "experts.glsl"

// As enum pairs_of has them.
const int IN_ORDER_OF_EXPERTS = 1, OF_ALL = 2;

const int SILU_CLAMPED = 7;

// alpha 1.702, limit 7: transformers, modeling_gpt_oss.py
vec4 of_gate(vec4 v)
{
    if (ACTIVATION != SILU_CLAMPED) return activate(v);
    v = min(v, vec4(7.0));
    return v / (1.0 + exp(-max(1.702 * v, vec4(-80.0))));
}

vec4 of_up(vec4 v) { return ACTIVATION == SILU_CLAMPED ? clamp(v, vec4(-7.0), vec4(7.0)) + 1.0 : v; }

uint expert;
uint places[COLUMNS]; // in y; NONE: of no pair

void find_pairs()
{
    uint pairs[COLUMNS];
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        uint i = gl_WorkGroupID.x * uint(COLUMNS) + uint(n);
        pairs[n] = PAIRS == IN_ORDER_OF_EXPERTS ? order[i] : i;
    }
    expert = pairs[0] == NONE ? NONE : chosen[pairs[0]].x;
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        columns_at[n] = (pairs[n] == NONE ? pairs[0] : pairs[n]) / a.x_slots * a.x_stride;
        places[n] = pairs[n] == NONE ? NONE : pairs[n] * a.y_stride;
    }
}

void find_rows()
{
    uint each = gl_NumWorkGroups.x / a.x_slots, row = gl_WorkGroupID.x % each * uint(COLUMNS);
    expert = gl_WorkGroupID.x / each;
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        columns_at[n] = a.x_at + (row + uint(n)) * a.x_row + expert * a.x_stride;
        places[n] = (row + uint(n)) * a.y_row + expert * a.y_stride;
    }
}

void main()
{
    if (PAIRS == OF_ALL) find_rows();
    else find_pairs();
    uint local = expert - a.first;
    if (local >= a.n) return; // another dispatch's, or none's

    lane = gl_LocalInvocationID.x & 7u;
    uint tile = (gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y) * (gl_WorkGroupSize.x / 8) + gl_LocalInvocationID.x / 8;
    uint row = tile * 32 + lane * 4;
    if (!multiply(0, local * a.words + tile * tile_words(a.blocks), tile * 32 < a.rows ? a.blocks : 0) || row >= a.rows) return;

    vec4 bias = vec4(0.0), second_bias = vec4(0.0);
    if (BIAS) {
        uint at = expert * a.bias_stride + a.y_at + row / 4;
        bias = uintBitsToFloat(WORD(biases, at));
        if (MATRICES == 2) second_bias = uintBitsToFloat(WORD(biases, at + a.second_bias));
    }
    [[unroll]] for (int n = 0; n < COLUMNS; n++) {
        if (places[n] == NONE) continue;
        uint y_at = places[n] + a.y_at + row / 4;
        vec4 v = sums[n] + bias;
        v = GATE_WAITS ? y[y_at] * of_up(v) : of_gate(v);
        if (MATRICES == 2) v *= of_up(sums[SUMS - COLUMNS + n] + second_bias);
        y[y_at] = v;
    }
}
