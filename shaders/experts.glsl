// Rows choose experts: a pair is a row and one of its slots, number row * slots + slot. A slot that no
// expert fills, the shared expert's and those of rows that are padding, has this one:
const uint NONE = 0xffffffffu;
