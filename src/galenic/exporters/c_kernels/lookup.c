/* A function of one value, such as an activation or another grid, as a table of its 256 answers. */
static void lookup(const int8_t *in, int8_t *out, int32_t count, const int8_t *table)
{
    for (int32_t i = 0; i < count; i++)
        out[i] = table[(uint8_t)in[i]];
}
