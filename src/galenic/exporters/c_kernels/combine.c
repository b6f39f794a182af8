/* Two tensors value by value, either one repeated along axes where its stride is 0.
 *   multiply  (a - zero_a) (b - zero_b) on the output's grid
 *   add       (a - zero_a) 2^20 and (b - zero_b) 2^20 on one grid of twice the coarser one's scale, and their sum on the output's */
struct factor {
    int32_t multiplier;
    int8_t shift;
};

struct combination {
    int32_t size[3], stride_a[3], stride_b[3];
    int16_t zero_a, zero_b, out_zero, low, high;
    uint8_t product;
    struct factor a, b, out;
};

static int32_t combined(int32_t x, int32_t y, const struct combination *c)
{
    if (c->product)
        return requantize(x * y, c->out.multiplier, c->out.shift);
    return requantize(requantize(x * (1 << 20), c->a.multiplier, c->a.shift) + requantize(y * (1 << 20), c->b.multiplier, c->b.shift),
                      c->out.multiplier, c->out.shift);
}

static void combine(const int8_t *a, const int8_t *b, int8_t *out, const struct combination *c)
{
    for (int i = 0; i < c->size[0]; i++)
        for (int j = 0; j < c->size[1]; j++) {
            const int8_t *p = a + i * c->stride_a[0] + j * c->stride_a[1], *q = b + i * c->stride_b[0] + j * c->stride_b[1];
            for (int k = 0; k < c->size[2]; k++, p += c->stride_a[2], q += c->stride_b[2])
                *out++ = clamped(combined(*p - c->zero_a, *q - c->zero_b, c) + c->out_zero, c->low, c->high);
        }
}
