/* An accumulator as an integer of the next grid: value * multiplier * 2^(shift - 31), rounded as TensorFlow Lite's reference
 * kernels round: to the nearest integer before the shift to the right, and once more after it (halves away from zero). */
static int32_t requantize(int32_t value, int32_t multiplier, int8_t shift)
{
    const int left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    const int64_t product = (int64_t)(value * (1 << left)) * multiplier;
    const int32_t high = (int32_t)((product + (product < 0 ? 1 - (1 << 30) : 1 << 30)) / ((int64_t)1 << 31));
    const int32_t mask = (int32_t)((1u << right) - 1), rest = high & mask;
    return (high >> right) + (rest > (mask >> 1) + (high < 0));
}
