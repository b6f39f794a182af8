/* Convolution in one and two dimensions, grouped, depthwise, dilated; a dense layer is one of a 1 x 1 map. */
struct convolution {
    int32_t in_width, in_channels, out_width, group_in; /* of signals and dense layers, these are long */
    uint16_t in_height, out_height, out_channels, group_out;
    uint16_t kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width;
    int16_t pad_top, pad_left;
    int16_t in_zero, out_zero, low, high;
    uint8_t form;
    const uint8_t *weights; /* an output channel after the other: kernel_height x kernel_width x group_in */
    const int32_t *bias, *multiplier;
    const int8_t *shift;
};

#define TERM(i) (weights[i] * (values[i] - zero))

static int32_t dot(const int8_t *weights, const int8_t *values, int count, int32_t zero)
{
    int32_t sum = 0;
    for (; count >= 4; count -= 4, weights += 4, values += 4)
        sum += TERM(0) + TERM(1) + TERM(2) + TERM(3);
    for (int i = 0; i < count; i++)
        sum += TERM(i);
    return sum;
}

static void convolve(const int8_t *in, int8_t *out, const struct convolution *c)
{
    const int row = c->kernel_width * c->group_in, whole = c->group_in == c->in_channels && c->dilation_width == 1;
    const uint8_t *stored = c->weights;
    for (int channel = 0; channel < c->out_channels; channel++) {
        const int8_t *weights = next_weights(&stored, c->kernel_height * row, c->form);
        const int8_t *slice = in + channel / c->group_out * c->group_in;
        int8_t *answer = out + channel;
        for (int top = -c->pad_top, y = 0; y < c->out_height; y++, top += c->stride_height) {
            for (int left = -c->pad_left, x = 0; x < c->out_width; x++, left += c->stride_width) {
                int32_t sum = c->bias[channel];
                for (int i = 0; i < c->kernel_height; i++) {
                    const int line = top + i * c->dilation_height;
                    if (line < 0 || line >= c->in_height)
                        continue;
                    const int8_t *values = slice + line * c->in_width * c->in_channels;
                    if (whole) { /* neighbours in the map are neighbours in memory */
                        const int from = left < 0 ? -left : 0;
                        const int room = c->in_width - left, to = room < c->kernel_width ? room : c->kernel_width;
                        if (to > from)
                            sum += dot(weights + i * row + from * c->group_in, values + (left + from) * c->in_channels,
                                       (to - from) * c->group_in, c->in_zero);
                        continue;
                    }
                    for (int j = 0; j < c->kernel_width; j++) {
                        const int column = left + j * c->dilation_width;
                        if (column >= 0 && column < c->in_width)
                            sum += dot(weights + i * row + j * c->group_in, values + column * c->in_channels, c->group_in,
                                       c->in_zero);
                    }
                }
                *answer = clamped(requantize(sum, c->multiplier[channel], c->shift[channel]) + c->out_zero, c->low, c->high);
                answer += c->out_channels;
            }
        }
    }
}
