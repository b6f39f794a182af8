/* A copy in another order, or of a part, or into a part: sizes and strides of up to four axes. */
struct arrangement {
    int32_t size[4], stride_in[4], stride_out[4];
};

static void arrange(const int8_t *in, int8_t *out, const struct arrangement *a)
{
    for (int i = 0; i < a->size[0]; i++)
        for (int j = 0; j < a->size[1]; j++)
            for (int k = 0; k < a->size[2]; k++)
                for (int l = 0; l < a->size[3]; l++)
                    out[i * a->stride_out[0] + j * a->stride_out[1] + k * a->stride_out[2] + l * a->stride_out[3]] =
                        in[i * a->stride_in[0] + j * a->stride_in[1] + k * a->stride_in[2] + l * a->stride_in[3]];
}
