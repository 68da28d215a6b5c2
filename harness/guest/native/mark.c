/* mark STEP: writes the boot mark STEP with the machine's own count since power-on (docs/architecture.md). */
#include "sys.h"

__attribute__((used)) void entry(long *stack)
{
    struct line line;
    line.size = 0;
    if (stack[0] < 2)
        sys_exit(2);
    add(&line, MARK);
    add(&line, (const char *)stack[2]);
    add(&line, " counter=");
    long fd = open_log();
    /* last, so that the kernel's stamp of this line belongs to the same moment */
    add_hex(&line, counter());
    say_to(fd, &line);
    sys_exit(0);
}
