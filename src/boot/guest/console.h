/* What the init tells on the console, and how it gives up. */
#ifndef CONSOLE_H
#define CONSOLE_H
#include "syscall.h"

static void say(const char *text) {
    long len = 0;
    while (text[len])
        len++;
    call(SYS_write, 1, (long)text, len, 0, 0);
}

static void say_error(const char *what, const char *name, long error) {
    char digits[] = "000)\n";
    for (int at = 2; at >= 0; at--, error /= 10)
        digits[at] = (char)('0' + error % 10);
    say("lkit: cannot ");
    say(what);
    say(" `");
    say(name);
    say("` (error ");
    say(digits);
}

/* Powers the machine off, so that nobody waits for a boot that will not come. `error` is below zero. */
static void fail(const char *what, const char *name, long error) {
    say_error(what, name, -error);
    call(SYS_reboot, 0xfee1dead, 672274793, 0x4321fedc, 0, 0);
    for (;;)
        call(SYS_reboot, 0xfee1dead, 672274793, 0xcdef0123, 0, 0);
}

static void pause(long milliseconds) {
    struct {
        long seconds, nanoseconds;
    } time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    call(SYS_nanosleep, (long)&time, 0, 0, 0, 0);
}
#endif
