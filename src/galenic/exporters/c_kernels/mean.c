/* The mean over some axes. An axis is either kept or summed; its other size is 1. */
struct averaging {
    int32_t kept[3], summed[3];
    int32_t stride[3]; /* of the input, in values */
    int32_t bias;      /* -count * zero of the input */
    int32_t multiplier;
    int8_t shift;
    int16_t out_zero;
};

static void average(const int8_t *in, int8_t *out, const struct averaging *a)
{
    for (int i = 0; i < a->kept[0]; i++)
        for (int j = 0; j < a->kept[1]; j++)
            for (int k = 0; k < a->kept[2]; k++) {
                const int8_t *from = in + i * a->stride[0] + j * a->stride[1] + k * a->stride[2];
                int32_t sum = a->bias;
                for (int u = 0; u < a->summed[0]; u++)
                    for (int v = 0; v < a->summed[1]; v++)
                        for (int w = 0; w < a->summed[2]; w++)
                            sum += from[u * a->stride[0] + v * a->stride[1] + w * a->stride[2]];
                *out++ = clamped(requantize(sum, a->multiplier, a->shift) + a->out_zero, -128, 127);
            }
}
