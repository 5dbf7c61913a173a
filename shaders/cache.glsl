// The KV cache: pages of 64 positions, see kv.glsl.
const uint PIECE = 64;     // positions that are summed alone, as in ATTENTION_PIECE
const uint NO_ROW = 0x7fffffffu;

// The first and the last position that a row (struct step_row) sees.
uvec2 seen_by(uvec4 row, uint window)
{
    uint reach = window - 1; // of 0: beyond all positions
    return uvec2(row.y - min(row.y, reach), min(row.w, row.y + min(reach, NO_ROW)));
}
