// What follows attention in a layer, for one row, in one dispatch: x += o attended, its norm, gate and up, x += down
// of that, the norm and q, k and v of the next layer. Each is a phase, whose tasks are tiles of 32 rows or a norm.
// Workgroups draw tasks in order, and wait for those of the phase before. What they wait for is under way in a
// workgroup that has begun; yet nothing depends on that: one that has waited for long does what is missing itself.
// No phase writes what an earlier one reads or writes, so that a task may be done twice. Lanes are 8.
#version 450
#extension GL_EXT_control_flow_attributes : require
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "args.h"
#include "words.glsl"
#ifdef INT
#include "int.glsl"
#endif

layout(local_size_x_id = 0) in;
layout(constant_id = 1) const int ACTIVATION = 0;
layout(constant_id = 2) const int SPINS = 0;   // that a workgroup waits in all
layout(constant_id = 3) const int STAMINA = 0; // blocks after which it draws no more: llvmpipe ends long loops
const int COLUMNS = 1, MATRICES = 1;

WORDS(0, first); // all matrices
layout(binding = 1, rgba32ui) uniform coherent readonly uimageBuffer x;      // what the phases leave, see below
layout(std430, binding = 2) coherent writeonly buffer Made { vec4 made[]; }; // the same
WORDS(3, x_in);
layout(std430, binding = 4) writeonly buffer Out { vec4 x_out[]; };
WORDS(5, gain);
WORDS(6, next_gain);
layout(std430, binding = 7) writeonly buffer Qkv { vec4 qkv[]; };
layout(std430, binding = 8) coherent buffer Tasks { uint tasks[]; };         // 0 before and after
layout(push_constant) uniform Push { tail_args a; };
#define ACT(i) a.act[i]
#include "activation.glsl"
#define ONE_BUFFER
#define X_AT(n) 0
#ifdef INT
#include "mat_int.glsl"
vec4 product(uint x_at, uint at, uint blocks)
{
    add_matrix(0, x_at, at, blocks);
    return sums[0];
}
#else
#include "mat.glsl"
vec4 product(uint x_at, uint at, uint blocks)
{
    multiply(x_at, at, blocks);
    return sums[0];
}
#endif

// The phases; of tasks[]: what has been drawn, workgroups that have ended, tasks of each phase that are done,
// and whether a task is.
const uint O = 0, NORM = 1, GATE_UP = 2, DOWN = 3, NEXT_NORM = 4, QKV = 5, PHASES = 6;
const uint DRAWN = 0, ENDED = 1, DONE = 2, IS_DONE = DONE + PHASES;

uint tasks_of(uint phase)
{
    return phase == GATE_UP ? a.hidden : phase == QKV ? a.qkv_tiles : phase == NORM || phase == NEXT_NORM ? 1 : a.dim;
}

uint first_task(uint phase)
{
    uint n = 0;
    [[unroll]] for (uint p = 0; p < PHASES; p++) n += p < phase ? tasks_of(p) : 0;
    return n;
}

uint phase_of(uint task)
{
    uint phase = 0;
    [[unroll]] for (uint p = 1; p < PHASES; p++) phase = task >= first_task(p) ? p : phase;
    return phase;
}

// Where rows begin in made: the attended one, those that products take, what o and down have made, and x between.
const uint ROW = 8; // vec4 of a block
uint normed_at() { return a.heads * ROW; }
uint hidden_at() { return normed_at() + a.dim * ROW; }
uint next_normed_at() { return hidden_at() + a.hidden * ROW; }
uint o_at() { return next_normed_at() + a.dim * ROW; }
uint down_at() { return o_at() + a.dim * ROW; }
uint middle_at() { return down_at() + a.dim * ROW; }

uint blocks_of(uint phase) { return phase == O ? a.heads : phase == DOWN ? a.hidden : a.dim; }

vec4 rounded(vec4 v)
{
#ifdef INT
    return uintBitsToFloat(round_block(v));
#else
    return v;
#endif
}

void make_tile(uint phase, uint tile)
{
    const uint blocks = blocks_of(phase), skip = tile * tile_words(blocks), to = tile * 8 + lane;
    const uint x_at = phase == O ? 0 : phase == GATE_UP ? normed_at() : phase == DOWN ? hidden_at() : next_normed_at();
    const uint at = phase == O ? a.o : phase == GATE_UP ? a.gate : phase == DOWN ? a.down : a.qkv;
    vec4 v = vec4(0.0);
    [[dont_unroll]] for (uint m = 0; m < (phase == GATE_UP ? 2 : 1); m++) {
        vec4 p = product(x_at, (m == 0 ? at : a.up) + skip, blocks);
        v = m == 0 ? p : activate(v) * p;
    }
    if (phase == QKV) qkv[to] = v;
    else if (phase == GATE_UP) made[hidden_at() + to] = rounded(v);
    else made[(phase == O ? o_at() : down_at()) + to] = v;
}

// x as it was and what has been added to it.
bool is_next;
vec4 sum_of_x(uint i)
{
    uvec4 before = WORD(x_in, i);
    if (is_next) before = WORD(x, middle_at() + i);
    return uintBitsToFloat(WORD(x, (is_next ? down_at() : o_at()) + i)) + uintBitsToFloat(before);
}
vec4 gain_of_x(uint i)
{
    uvec4 g = WORD(gain, i);
    if (is_next) g = WORD(next_gain, i);
    return uintBitsToFloat(g);
}
#define NORM_IN(i) sum_of_x(i)
#define NORM_GAIN(i) gain_of_x(i)
#include "norm.glsl"

void make_norm(uint phase, uint chunks)
{
    is_next = phase == NEXT_NORM;
    const float scale = norm_scale(0, chunks, a.n, a.eps, 0.0);
    for (uint i = lane; i < chunks; i += 8) {
        if (is_next) x_out[i] = sum_of_x(i);
        else made[middle_at() + i] = sum_of_x(i);
        made[(is_next ? next_normed_at() : normed_at()) + i] = rounded(norm_four(0, i, scale));
    }
}

// Adds to a counter, by all lanes together; what it was. Of 0: looks at it, which a plain load does not do, since
// llvmpipe takes no notice of barriers.
uint count(uint counter, uint n)
{
    uint before = 0;
    if (lane == 0) before = atomicAdd(tasks[counter], n);
    return subgroupShuffle(before, 0u);
}

void make(uint task)
{
    const uint phase = phase_of(task);
    const bool is_norm = phase == NORM || phase == NEXT_NORM;
    if (!is_norm) make_tile(phase, task - first_task(phase));
    if (is_norm) make_norm(phase, a.dim * 8);
    memoryBarrier();
    if (lane == 0 && atomicExchange(tasks[IS_DONE + task], 1u) == 0u) atomicAdd(tasks[DONE + phase], 1u);
}

// Whether what the task needs is there.
int spins = 0;
bool is_ready(uint task)
{
    const uint phase = phase_of(task);
    if (phase == 0) return true;
    const uint n = tasks_of(phase - 1);
    bool ready = count(DONE + phase - 1, 0) == n;
    for (; !ready && spins < SPINS; spins++) ready = count(DONE + phase - 1, 0) == n;
    memoryBarrier();
    return ready;
}

// The first task of the first phase that has some to do; none, if others have done the one at hand, too.
uint first_missing()
{
    uint phase = 0;
    while (phase < PHASES && count(DONE + phase, 0) == tasks_of(phase)) phase++;
    return first_task(phase);
}

void main()
{
    lane = gl_LocalInvocationID.x;
    const uint all = first_task(PHASES);
    uint task = count(DRAWN, 1);
    for (uint done = 0; task < all;) {
        [[dont_unroll]] for (uint t = is_ready(task) ? task : first_missing(); t <= task; t++) {
            while (t < task && count(IS_DONE + t, 0) != 0) t++;
            make(t);
        }
        done += blocks_of(phase_of(task));
        if (done >= uint(STAMINA)) break;
        task = count(DRAWN, 1);
    }
    if (count(ENDED, 1) + 1u != gl_NumWorkGroups.x) return;
    for (uint i = lane; i < IS_DONE + all; i += 8) tasks[i] = 0u;
}
