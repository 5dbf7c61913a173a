// Buffers that are read 16 bytes at a time: storage, or with TEXELS storage texel buffers, which llvmpipe reads by
// whole texels where it takes storage word by word (15 times slower on Zen 3, 1.2 on an AVX-512 Xeon). Uniform ones
// are a function call each in Mesa 22.3 (kernels are 1.1 times slower; with 25.0 there is no difference).
#ifdef TEXELS
#define WORDS(number, name) layout(binding = number, rgba32ui) uniform readonly uimageBuffer name
#define WORD(name, i) imageLoad(name, int(i))
#else
#define WORDS(number, name) layout(std430, binding = number) readonly buffer name##_words { uvec4 name[]; }
#define WORD(name, i) name[i]
#endif
