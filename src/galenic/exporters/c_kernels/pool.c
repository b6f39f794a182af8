/* The largest, or the mean, of each window; what lies outside the map does not count. In and out have one grid. */
struct pooling {
    int32_t in_width, out_width;
    uint16_t in_height, out_height, channels;
    uint16_t kernel_height, kernel_width, stride_height, stride_width;
    int16_t pad_top, pad_left, low, high;
    uint8_t mean;
};

static void pool(const int8_t *in, int8_t *out, const struct pooling *p)
{
    for (int y = 0; y < p->out_height; y++) {
        for (int x = 0; x < p->out_width; x++) {
            const int top = y * p->stride_height - p->pad_top, left = x * p->stride_width - p->pad_left;
            for (int channel = 0; channel < p->channels; channel++) {
                int32_t largest = -128, sum = 0, count = 0;
                for (int i = top < 0 ? 0 : top; i < top + p->kernel_height && i < p->in_height; i++) {
                    for (int j = left < 0 ? 0 : left; j < left + p->kernel_width && j < p->in_width; j++) {
                        const int32_t value = in[(i * p->in_width + j) * p->channels + channel];
                        largest = value > largest ? value : largest;
                        sum += value;
                        count++;
                    }
                }
                if (p->mean) /* halves away from zero */
                    largest = (sum + (sum < 0 ? -count : count) / 2) / count;
                *out++ = clamped(largest, p->low, p->high);
            }
        }
    }
}
