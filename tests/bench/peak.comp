// How fast the device multiplies and adds in f32: 16 independent chains a lane, which converge to 1.
#version 450

layout(local_size_x_id = 0) in;
layout(std430, binding = 0) buffer Out { vec4 results[]; };
layout(push_constant) uniform Push { uint steps; float factor, addend; }; // 128 operations a step

#define CHAINS                     \
    a = a * factor + addend;       \
    b = b * factor + addend;       \
    c = c * factor + addend;       \
    d = d * factor + addend;

void main()
{
    vec4 a = vec4(gl_LocalInvocationID.x), b = a + 1.0, c = a + 2.0, d = a + 3.0;
    for (uint i = 0u; i < steps; i++) {
        CHAINS CHAINS CHAINS CHAINS
    }
    results[gl_GlobalInvocationID.x] = a + b + c + d;
}
