/* A net in C on a Cortex-M without anything else: reset, then rows from the file "input" to the file "output" of the machine that
 * runs QEMU (semihosting). For each row of GALENIC_INPUTS int8: GALENIC_OUTPUTS int8, then the processor's ticks (4 bytes); at the
 * end the bytes of stack that were used (4 bytes). */
#include GALENIC_NET

enum { OPEN = 1, CLOSE = 2, WRITE = 5, READ = 6, EXIT = 0x18, PAINT = 0x5a };
enum { READ_BINARY = 1, WRITE_BINARY = 5, STOPPED_WELL = 0x20026, STOPPED_BADLY = 0x20023 };

extern uint8_t stack_bottom[], stack_top[], data_start[], data_end[], data_source[], bss_start[], bss_end[];

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define COPROCESSORS REGISTER(0xe000ed88)
#define SYSTICK_CONTROL REGISTER(0xe000e010)
#define SYSTICK_RELOAD REGISTER(0xe000e014)
#define SYSTICK_VALUE REGISTER(0xe000e018)

static const uint32_t WHOLE = 0x1000000; /* ticks from one overflow of SysTick to the next */
static volatile uint32_t overflows;
static int8_t answers[GALENIC_OUTPUTS];

/* gcc calls these two for structs and loops, and there is no library. */
void *memcpy(void *to, const void *from, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
    return to;
}

void *memset(void *to, int value, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        ((volatile uint8_t *)to)[i] = (uint8_t)value;
    return to;
}

static int ask(int what, const void *arguments)
{
    register int r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void leave(int reason)
{
    ask(EXIT, (const void *)reason);
    for (;;)
        ;
}

static int opened(const char *name, unsigned length, int mode)
{
    const uint32_t arguments[] = {(uint32_t)name, (uint32_t)mode, length};
    const int handle = ask(OPEN, arguments);
    if (handle < 0)
        leave(STOPPED_BADLY);
    return handle;
}

static int moved(int what, int handle, const void *bytes, uint32_t count) /* how many were not */
{
    const uint32_t arguments[] = {(uint32_t)handle, (uint32_t)bytes, count};
    return ask(what, arguments);
}

static uint32_t now(void)
{
    uint32_t before, value;
    do {
        before = overflows;
        value = SYSTICK_VALUE;
    } while (before != overflows);
    return before * WHOLE + (WHOLE - 1 - value);
}

static void serve(void)
{
    const int in = opened("input", 5, READ_BINARY), out = opened("output", 6, WRITE_BINARY);
    SYSTICK_RELOAD = WHOLE - 1;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 7; /* the processor's clock, its interrupt, on */
    while (!SYSTICK_VALUE) /* until it has been loaded */
        ;
    while (!moved(READ, in, galenic_input(), GALENIC_INPUTS)) {
        const uint32_t begin = now();
        const int8_t *logits = galenic_run();
        const uint32_t ticks = now() - begin;
        for (int i = 0; i < GALENIC_OUTPUTS; i++)
            answers[i] = logits[i];
        moved(WRITE, out, answers, GALENIC_OUTPUTS);
        moved(WRITE, out, &ticks, sizeof ticks);
    }
    const uint8_t *deepest = stack_bottom;
    while (deepest < stack_top && *deepest == PAINT)
        deepest++;
    const uint32_t used = (uint32_t)(stack_top - deepest);
    moved(WRITE, out, &used, sizeof used);
    const uint32_t handle = (uint32_t)out;
    ask(CLOSE, &handle);
    leave(STOPPED_WELL);
}

void reset(void)
{
    COPROCESSORS |= 0xfu << 20; /* the floating-point unit, which galenic_set_input uses */
    memcpy(data_start, data_source, (unsigned)(data_end - data_start));
    memset(bss_start, 0, (unsigned)(bss_end - bss_start));
    uint8_t *here = (uint8_t *)__builtin_frame_address(0) - 64;
    for (uint8_t *byte = stack_bottom; byte < here; byte++)
        *(volatile uint8_t *)byte = PAINT;
    serve();
}

void broken(void)
{
    leave(STOPPED_BADLY);
}

void ticked(void)
{
    overflows++;
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)stack_top, reset, broken, broken, broken, broken, broken, 0, 0, 0, 0, broken, broken, 0, broken, ticked,
};
