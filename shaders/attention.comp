// Attention of one row's query heads that share a KV head, over one group of up to four pieces of 64 positions. Each piece is
// summed alone from a fresh softmax state, then merged in order, so that the result depends on absolute positions only.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#include "args.h"
#include "words.glsl"
#include "cache.glsl"
#include "softmax.glsl"

layout(local_size_x_id = 0) in;               // divides 64
layout(constant_id = 1) const int HEADS = 1;  // query heads at a time
layout(constant_id = 2) const int HEAD_DIM = 64;
layout(constant_id = 3) const bool F16 = false;
layout(constant_id = 4) const int PARTS = 1;  // turns that take a KV head's queries, HEADS each
layout(constant_id = 5) const bool ALONE = false; // one group is all there is: out, not partial, is written

WORDS(0, qkv);
layout(std430, binding = 1) readonly buffer Rows { uvec4 rows[]; }; // struct step_row
layout(std430, binding = 2) readonly buffer Pages { uint pages[]; };
WORDS(3, k_pages);
WORDS(4, v_pages);
layout(std430, binding = 5) writeonly buffer Out { vec4 result[]; }; // out or partial, see merge.comp
layout(push_constant) uniform Push { attention_args a; };

const int LANES = int(gl_WorkGroupSize.x);
const int MINE = int(PIECE) / LANES;              // positions of a lane
const int WIDE = F16 ? 8 : 4;
const int WORDS = HEAD_DIM / WIDE;                // of a position
const int SPANS = (WORDS + LANES - 1) / LANES;    // words of a lane's share of the output

shared float scores[HEADS * int(PIECE)];
shared float lane_max[HEADS * LANES];
shared float lane_sum[HEADS * LANES];

vec4 total[HEADS * SPANS * 2];
vec4 sums[HEADS * SPANS * 2];

vec4 first_four(uvec4 word) { return F16 ? vec4(unpackHalf2x16(word.x), unpackHalf2x16(word.y)) : uintBitsToFloat(word); }
vec4 last_four(uvec4 word) { return vec4(unpackHalf2x16(word.z), unpackHalf2x16(word.w)); }

void attend(uvec4 r, uint head)
{
    uint lane = gl_LocalInvocationID.x, group = gl_WorkGroupID.x, kv_head = gl_WorkGroupID.y, row = gl_WorkGroupID.z;
    uint q_at = (row * a.stride + a.q) / 4 + head * uint(HEAD_DIM / 4);

    state whole[HEADS];
    uint first = group * (GROUP / PIECE), last = min(first + GROUP / PIECE, r.y / PIECE + 1);
    for (uint p = first; p < last; p++) {
        uint count = min(r.y + 1 - p * PIECE, PIECE);
        uint at = (pages[r.z + p] * a.n_kv_heads + kv_head) * uint(WORDS) * PIECE;

        // Scores: lanes over positions.
        vec4 dots[HEADS * MINE];
        [[unroll]] for (int i = 0; i < HEADS * MINE; i++) dots[i] = vec4(0.0);
        for (int d = 0; d < WORDS; d++) {
            vec4 q0[HEADS], q1[HEADS];
            [[unroll]] for (int h = 0; h < HEADS; h++) {
                uint q = q_at + uint(h * (HEAD_DIM / 4) + d * (WIDE / 4));
                q0[h] = uintBitsToFloat(WORD(qkv, q));
                if (F16) q1[h] = uintBitsToFloat(WORD(qkv, q + 1));
            }
            [[unroll]] for (int i = 0; i < MINE; i++) {
                uvec4 word = WORD(k_pages, at + uint(d) * PIECE + uint(i * LANES) + lane);
                vec4 k0 = first_four(word);
                [[unroll]] for (int h = 0; h < HEADS; h++) {
                    dots[h * MINE + i] = fma(q0[h], k0, dots[h * MINE + i]);
                    if (F16) dots[h * MINE + i] = fma(q1[h], last_four(word), dots[h * MINE + i]);
                }
            }
        }
        float score[HEADS * MINE];
        [[unroll]] for (int h = 0; h < HEADS; h++) {
            float m = LOWEST;
            [[unroll]] for (int i = 0; i < MINE; i++) {
                vec4 s = dots[h * MINE + i];
                score[h * MINE + i] = ((s.x + s.y) + (s.z + s.w)) * a.scale;
                if (uint(i * LANES) + lane >= count) score[h * MINE + i] = LOWEST;
                m = max(m, score[h * MINE + i]);
            }
            lane_max[h * LANES + int(lane)] = m;
        }
        barrier();

        // Weights, and their sum.
        state now[HEADS];
        [[unroll]] for (int h = 0; h < HEADS; h++) {
            now[h].most = lane_max[h * LANES];
            for (int i = 1; i < LANES; i++) now[h].most = max(now[h].most, lane_max[h * LANES + i]);
            float sum = 0.0;
            [[unroll]] for (int i = 0; i < MINE; i++) {
                float w = uint(i * LANES) + lane < count ? weight_of(score[h * MINE + i], now[h].most) : 0.0;
                scores[h * int(PIECE) + i * LANES + int(lane)] = w;
                sum += w;
            }
            lane_sum[h * LANES + int(lane)] = sum;
        }
        barrier();
        [[unroll]] for (int h = 0; h < HEADS; h++) {
            now[h].sum = 0.0;
            for (int i = 0; i < LANES; i++) now[h].sum += lane_sum[h * LANES + i];
        }

        // Output: lanes over dimensions.
        [[unroll]] for (int i = 0; i < HEADS * SPANS * 2; i++) sums[i] = vec4(0.0);
        for (uint i = 0; i < count; i++) {
            [[unroll]] for (int s = 0; s < SPANS; s++) {
                uint d = uint(s * LANES) + lane;
                uvec4 word = uvec4(0u);
                if (WORDS % LANES == 0 || d < uint(WORDS)) word = WORD(v_pages, at + i * uint(WORDS) + d);
                [[unroll]] for (int h = 0; h < HEADS; h++) {
                    float w = scores[uint(h) * PIECE + i];
                    int to = (h * SPANS + s) * 2;
                    sums[to] = fma(vec4(w), first_four(word), sums[to]);
                    if (F16) sums[to + 1] = fma(vec4(w), last_four(word), sums[to + 1]);
                }
            }
        }
        [[unroll]] for (int h = 0; h < HEADS; h++) {
            float before, after;
            whole[h] = p == first ? now[h] : merge(whole[h], now[h], before, after);
            [[unroll]] for (int i = 0; i < SPANS * 2; i++) {
                int to = h * SPANS * 2 + i;
                total[to] = p == first ? sums[to] : total[to] * before + sums[to] * after;
            }
        }
        barrier();
    }

    [[unroll]] for (int h = 0; h < HEADS; h++) {
        uint at = ALONE ? row * (a.out_stride / 4) + (head + uint(h)) * uint(HEAD_DIM / 4)
                        : ((row * (a.n_kv_heads * uint(PARTS * HEADS)) + head + uint(h)) * a.max_groups + group) * uint(HEAD_DIM / 4 + 1);
        if (!ALONE && lane == 0) result[at + uint(HEAD_DIM / 4)] = vec4(whole[h].most, whole[h].sum, 0.0, 0.0);
        [[unroll]] for (int s = 0; s < SPANS; s++) {
            uint d = uint(s * LANES) + lane;
            if (d >= uint(WORDS)) continue;
            [[unroll]] for (int i = 0; i < WIDE / 4; i++) {
                vec4 v = total[(h * SPANS + s) * 2 + i];
                result[at + d * uint(WIDE / 4) + uint(i)] = ALONE ? v / whole[h].sum : v;
            }
        }
    }
}

void main()
{
    uvec4 r = rows[gl_WorkGroupID.z];
    if (r.y == NO_ROW || gl_WorkGroupID.x * GROUP > r.y) return;
    for (int part = 0; part < PARTS; part++) attend(r, (gl_WorkGroupID.y * uint(PARTS) + uint(part)) * uint(HEADS));
}
