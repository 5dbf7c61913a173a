// What a page of the KV cache holds, by KV (LLM_KV_...). Each KV head has
//   K: word (d / WIDE) * 64 + position   lanes over positions load together
//   V: word position * (v_dim / WIDE) + d / WIDE   lanes over dimensions load together
// where a word is a uvec4 of WIDE values: 8 f16, 4 f32, or integers of 8 bits, or of 4 bits and 8 too large.
// Integers are in blocks of 32 dimensions, whose scales follow, for K and V alike:
//   uint (d / 64) * 64 + position   the f16 scales of two blocks
const bool QUANT = KV >= 2;
const int FOURS = KV == 0 ? 2 : KV == 1 ? 1 : KV == 2 ? 4 : 8; // of a word
const int WIDE = 4 * FOURS;

uint quant_words(uint head_dim) { return head_dim / uint(WIDE) * PIECE; }
uint scale_words(uint head_dim) { return QUANT ? (head_dim + 63) / 64 * (PIECE / 4) : 0; }
uint head_words(uint head_dim) { return quant_words(head_dim) + scale_words(head_dim); }

// Values 4 i to 4 i + 3 of a word, without their scale.
vec4 four_of(uvec4 word, int i)
{
    if (KV == 1) return uintBitsToFloat(word);
    if (KV == 0) return vec4(unpackHalf2x16(word[2 * i]), unpackHalf2x16(word[2 * i + 1]));
    if (KV == 2) return vec4(ivec4(word[i]) << ivec4(24, 16, 8, 0) >> 24);
    uint four = word[i / 2] >> 16 * (i & 1);
    return vec4(ivec4(uvec4(four) >> uvec4(0, 4, 8, 12) & 15u)) - 8.0;
}

// Of block 0 or 1 of the two.
float scale_of(uint scales, uint block) { return unpackHalf2x16(scales >> 16 * block).x; }
