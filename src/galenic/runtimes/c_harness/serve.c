/* A net in C as a process that answers frames (galenic/runtimes/frames.py) until its stdin closes.
 *
 *     rows  (n, GALENIC_INPUTS) int8   ->   answ  nanoseconds (8 bytes), then (n, GALENIC_OUTPUTS) int8
 */
#define _POSIX_C_SOURCE 199309L
#include GALENIC_NET
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void take(void *to, size_t count)
{
    if (fread(to, 1, count, stdin) != count)
        exit(0);
}

static void run(uint64_t rows)
{
    int8_t *inputs = malloc(rows * GALENIC_INPUTS + 1), *outputs = malloc(rows * GALENIC_OUTPUTS + 1);
    if (!inputs || !outputs)
        exit(1);
    take(inputs, rows * GALENIC_INPUTS);
    const int64_t begin = now_ns();
    for (uint64_t row = 0; row < rows; row++) {
        memcpy(galenic_input(), inputs + row * GALENIC_INPUTS, GALENIC_INPUTS);
        memcpy(outputs + row * GALENIC_OUTPUTS, galenic_run(), GALENIC_OUTPUTS);
    }
    const int64_t took = now_ns() - begin;
    const uint64_t length = sizeof took + rows * GALENIC_OUTPUTS;
    fwrite("answ", 1, 4, stdout);
    fwrite(&length, 1, 8, stdout);
    fwrite(&took, 1, sizeof took, stdout);
    fwrite(outputs, 1, rows * GALENIC_OUTPUTS, stdout);
    fflush(stdout);
    free(inputs);
    free(outputs);
}

int main(void)
{
    char kind[4];
    uint64_t length;
    for (;;) {
        take(kind, 4);
        take(&length, 8);
        if (memcmp(kind, "rows", 4) || length % GALENIC_INPUTS)
            return 2;
        run(length / GALENIC_INPUTS);
    }
}
