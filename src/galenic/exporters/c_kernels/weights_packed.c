/* The weights of the next output channel, as bytes.
 *   BYTES    as they are
 *   NIBBLES  two weights a byte, the first in the low half; each channel begins with a byte of its own
 *   BITMAP   a bit for each weight that is not zero, the first in the lowest bit, then these weights as bytes */
enum form { BYTES, NIBBLES, BITMAP };

static int8_t scratch[SCRATCH];

static const int8_t *next_weights(const uint8_t **stored, int count, uint8_t form)
{
    const uint8_t *from = *stored;
    if (form == BYTES) {
        *stored = from + count;
        return (const int8_t *)from;
    }
    if (form == NIBBLES) {
        for (int i = 0; i < count; i++)
            scratch[i] = (int8_t)(((from[i / 2] >> (i % 2 * 4) & 15) ^ 8) - 8);
        *stored = from + (count + 1) / 2;
        return scratch;
    }
    const uint8_t *kept = from + (count + 7) / 8;
    for (int i = 0; i < count; i++)
        scratch[i] = (from[i / 8] >> i % 8 & 1) ? (int8_t)*kept++ : 0;
    *stored = kept;
    return scratch;
}
