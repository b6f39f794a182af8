static void fill(int8_t *out, int32_t count, int8_t value)
{
    for (int32_t i = 0; i < count; i++)
        out[i] = value;
}
