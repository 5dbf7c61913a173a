// The KV cache: pages of 64 positions; in a page each KV head has
//   K: word (d / WIDE) * 64 + position   lanes over positions load together
//   V: word position * (head_dim / WIDE) + d / WIDE   lanes over dimensions load together
// where a word is a uvec4 of WIDE values: 4 f32 or 8 f16. Both have head_dim / WIDE * 64 words a head.
const uint PIECE = 64;     // positions that are summed alone, as in ATTENTION_PIECE
const uint NO_ROW = 0x7fffffffu;
