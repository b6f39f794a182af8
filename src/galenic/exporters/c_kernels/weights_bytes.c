/* The weights of the next output channel: they lie there as bytes. */
static const int8_t *next_weights(const uint8_t **stored, int count, uint8_t form)
{
    const uint8_t *from = *stored;
    (void)form;
    *stored = from + count;
    return (const int8_t *)from;
}
