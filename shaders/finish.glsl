// With ROW, attention.comp merges what it has summed, as merge.comp does: at once where the row sees a single
// group of positions, else the workgroup of a KV head that finishes last.
layout(std430, binding = 10) writeonly buffer Result { vec4 out_values[]; };
layout(std430, binding = 11) coherent buffer Finished { uint finished[]; }; // groups of each column; 0 before and after
layout(std430, binding = 12) readonly buffer Sinks { float sinks[]; };      // (heads)

vec4 ready[TURNS * PART_FOURS]; // of a head: what a lane has

// More lanes than a head has shares take several heads together, one after the other.
#ifdef SHUFFLE
const int ABREAST = 1;
#else
const int ABREAST = LANES > SHARES ? LANES / SHARES : 1;
#endif
const int FULL_BLOCKS = V_DIM / 32; // of a head

#ifdef INT8
shared vec4 merged[ABREAST * V_DIM / 4];
#endif

// Blocks of 32 as eight lanes hold them, four dimensions each.
#ifdef INT
void write_ready(uint head, uint own, uint n)
{
    const uint lane = gl_LocalInvocationID.x;
    [[unroll]] for (int b = 0; b < TURNS * PART_FOURS; b++) {
        uint from = uint(b % PART_FOURS * 8 / PART_FOURS) + lane / uint(PART_FOURS);
        vec4 v = vec4(0.0);
        [[unroll]] for (int f = 0; f < PART_FOURS; f++) {
            vec4 four = subgroupShuffle(ready[b / PART_FOURS * PART_FOURS + f], from);
            if (lane % uint(PART_FOURS) == uint(f)) v = four;
        }
        uvec4 word = round_block(v);
        if (b < FULL_BLOCKS) out_values[(head * uint(FULL_BLOCKS) + uint(b)) * 8 + lane] = uintBitsToFloat(word);
    }
}
#else
// Of heads `head` to head + n - 1, of which the lane has number `own`.
void write_ready(uint head, uint own, uint n)
{
    const uint lane = gl_LocalInvocationID.x - own * uint(SHARES);
    [[unroll]] for (int t = 0; t < TURNS; t++) {
        uint share = uint(t * LANES) + lane;
        if (own >= n || share >= uint(SHARES)) continue;
        [[unroll]] for (int f = 0; f < PART_FOURS; f++) {
            uint four = own * uint(V_DIM / 4) + share * uint(PART_FOURS) + uint(f);
#ifdef INT8
            merged[four] = ready[t * PART_FOURS + f];
#else
            out_values[head * uint(V_DIM / 4) + four] = ready[t * PART_FOURS + f];
#endif
        }
    }
#ifdef INT8
    barrier();
    for (uint b = gl_LocalInvocationID.x; b < n * uint(FULL_BLOCKS); b += uint(LANES)) {
        vec4 v[8];
        uvec4 words[3];
        [[unroll]] for (int k = 0; k < 8; k++) v[k] = merged[b * 8 + uint(k)];
        round_block(v, words);
        [[unroll]] for (int k = 0; k < 3; k++) out_values[(head * uint(FULL_BLOCKS) + b) * 3 + uint(k)] = uintBitsToFloat(words[k]);
    }
    barrier();
#endif
}
#endif

void finish(uint head, uint own, uint n, state whole)
{
    float before = 1.0, after;
    if (SINKS) whole = merge(whole, state(sinks[head + min(own, n - 1)], 1.0), before, after);
    [[unroll]] for (int i = 0; i < TURNS * PART_FOURS; i++) {
        if (SINKS) ready[i] *= before;
        ready[i] /= whole.sum;
    }
    write_ready(head, own, n);
}

uint groups_of_row() { return seen[0].y / GROUP - seen[0].x / GROUP + 1; }

#ifdef TEXELS
// llvmpipe gives each thread half of the workgroups, one behind the other: these take the groups of positions in the
// order in which they begin, so that the last group, which is not full, is not all in one half.
void draw()
{
    const uint all = gl_NumWorkGroups.x * gl_NumWorkGroups.y, drawn = gl_NumWorkGroups.y;
    uint n = 0;
    if (gl_LocalInvocationID.x == 0) n = atomicAdd(finished[drawn], 1u);
    n = subgroupShuffle(n, 0u);
    if (n + 1 == all && gl_LocalInvocationID.x == 0) finished[drawn] = 0u;
    own_group = n / gl_NumWorkGroups.y;
    column = n % gl_NumWorkGroups.y;
}
#endif

// Whether all others of the row's groups have left their results.
#ifndef SHUFFLE
shared uint finished_before;
#endif
bool is_last(uint groups)
{
    memoryBarrierBuffer();
#ifdef SHUFFLE
    uint n = 0;
    if (gl_LocalInvocationID.x == 0) n = atomicAdd(finished[column], 1u);
    n = subgroupShuffle(n, 0u);
#else
    barrier();
    if (gl_LocalInvocationID.x == 0) finished_before = atomicAdd(finished[column], 1u);
    barrier();
    uint n = finished_before;
#endif
    if (n + 1 != groups) return false;
    memoryBarrierBuffer();
    if (gl_LocalInvocationID.x == 0) finished[column] = 0u;
    return true;
}

// Of n heads, ABREAST at most, from head `head` on.
void merge_groups(uint head, uint n, uint groups)
{
    const uint own = ABREAST > 1 ? gl_LocalInvocationID.x / uint(SHARES) : 0, lane = gl_LocalInvocationID.x - own * uint(SHARES);
    uint at = (head + min(own, n - 1)) * a.max_groups * uint(V_DIM / 4 + 1);
    state whole = state(LOWEST, 0.0);
    for (uint g = 0; g < groups; g++) {
        vec4 about = result[at + uint(V_DIM / 4)];
        state now = state(about.x, about.y);
        float before = 0.0, after = 1.0;
        if (g == 0) whole = now;
        else whole = merge(whole, now, before, after);
        [[unroll]] for (int t = 0; t < TURNS; t++) {
            uint share = min(uint(t * LANES) + lane, uint(SHARES - 1));
            [[unroll]] for (int f = 0; f < PART_FOURS; f++) {
                vec4 v = result[at + share * uint(PART_FOURS) + uint(f)];
                ready[t * PART_FOURS + f] = g == 0 ? v : sum_of(ready[t * PART_FOURS + f], before, v, after);
            }
        }
        at += uint(V_DIM / 4 + 1);
    }
    finish(head, own, n, whole);
}

void merge_all(uint groups)
{
    const uint all = uint(PARTS * HEADS);
    for (uint i = 0; i < all; i += uint(ABREAST)) merge_groups(column * all + i, min(all - i, uint(ABREAST)), groups);
}
