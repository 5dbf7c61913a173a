// Word i of the matrix at hand, in one of the buffers first and second of the including shader; with ONE_BUFFER
// in the first.
int matrix;
uvec4 W4(uint i)
{
#ifndef ONE_BUFFER
    if (matrix == 1) return WORD(second, i);
#endif
    return WORD(first, i);
}
