/* await NAME SECONDS KIND ARGUMENT ... [-- PROGRAM ARGUMENT ...]: waits until every service is seen healthy once or its
 * time is over, and marks each but those with a dash before their name (docs/guest.md). KIND: started; tcp PORT; file
 * PATH; log TEXT. When all are healthy it becomes PROGRAM. Exit code 0: all healthy, 1: some were not, 2: misuse.
 *
 * What is written to a log is told by the kernel, and read at once, before whoever wrote it goes on: the mark is of the
 * moment at which the service said that it is healthy, not of the one at which somebody had the time to look.
 *
 * The rest has to be asked for. A shell that asks again and again takes a tenth of a boot's processor, one byte of
 * /proc/net/tcp a system call. This asks at the lowest priority, so that a boot that is busy is not slowed by being
 * asked, and notices within a millisecond of the processor being free. */
#include "sys.h"

#define BOOT_DIR "/run/harness/"
#define MOST 512
#define PAUSE_NS 1000000
#define SHORT_NS 100000 /* where one service is waited for by itself: what it takes shall not come in steps of 1 ms */
#define O_PATH 010000000
#define O_NONBLOCK 04000
#define CLOCK_MONOTONIC 1
#define LOWEST 19
#define SCHED_FIFO 1
#define POLLIN 1
#define LOGS "/var/log"
#define IN_MODIFY 0x2
#define IN_MOVED_TO 0x80
#define IN_CREATE 0x100
#define IN_Q_OVERFLOW 0x4000

struct time {
    long seconds, nanoseconds;
};

static char sockets[2][65536]; /* /proc/net/tcp and tcp6; who listens comes first there */
static char text[4096];

static long now(void)
{
    struct time time = {0, 0};
    sys5(NR_clock_gettime, CLOCK_MONOTONIC, (long)&time, 0, 0, 0);
    return time.seconds;
}

static int equal(const char *one, const char *other)
{
    while (*one && *one == *other)
        one++, other++;
    return *one == *other;
}

/* The number that text begins with, -1 when with none; `end` is set behind it. */
static long number(const char *from, int base, const char **end)
{
    long value = 0;
    const char *at = from;
    for (; value < 1L << 40; at++) {
        int digit = *at >= '0' && *at <= '9' ? *at - '0' : *at >= 'A' && *at <= 'F' ? *at - 'A' + 10 : 99;
        if (digit >= base)
            break;
        value = value * base + digit;
    }
    if (end)
        *end = at;
    return at == from ? -1 : value;
}

/* Reads what a file holds, as far as there is room, and ends it with a zero; the size, or -1. */
static long slurp(const char *path, char *to, long room)
{
    long fd = sys_open(path, O_RDONLY | O_CLOEXEC), size = 0, got;
    if (fd < 0)
        return -1;
    while (size < room - 1 && (got = sys5(NR_read, fd, (long)to + size, room - 1 - size, 0, 0)) > 0)
        size += got;
    sys_close(fd);
    to[size] = 0;
    return size;
}

static const char *path_of(struct line *line, const char *one, const char *two, const char *three)
{
    line->size = 0;
    add(line, one);
    add(line, two);
    add(line, three);
    line->text[line->size] = 0;
    return line->text;
}

static int exists(const char *path)
{
    long fd = sys_open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return 0;
    sys_close(fd);
    return 1;
}

static int started(const char *name)
{
    struct line line;
    return slurp(path_of(&line, BOOT_DIR, name, ".pid"), text, 16) > 0 ||
           exists(path_of(&line, BOOT_DIR, name, ".done"));
}

/* Whether a table has a socket that listens (state 0A) on the port. A row: NUMBER: ADDRESS:PORT ADDRESS:PORT STATE ... */
static int listens(const char *table, long port)
{
    for (const char *at = table; *at; at++) {
        const char *field = at;
        long local = -1;
        for (int count = 0; count < 4; count++) {
            while (*field == ' ')
                field++;
            if (count == 1) {
                const char *colon = field;
                while (*colon && *colon != ':' && *colon != '\n')
                    colon++;
                local = *colon == ':' ? number(colon + 1, 16, NULL) : -1;
            }
            if (count == 3 && local == port && field[0] == '0' && field[1] == 'A')
                return 1;
            while (*field && *field != ' ' && *field != '\n')
                field++;
        }
        while (*at && *at != '\n')
            at++;
        if (!*at)
            break;
    }
    return 0;
}

/* Whether the service's log holds the text, which is shorter than `text`; what is before `seen` does not. */
static int says(const char *name, const char *wanted, long *seen)
{
    struct line line;
    long fd = sys_open(path_of(&line, LOGS "/", name, ".log"), O_RDONLY | O_CLOEXEC), length = 0, got, found = 0;
    if (fd < 0)
        return 0;
    while (wanted[length])
        length++;
    while (!found && (got = sys5(NR_pread64, fd, (long)text, sizeof(text), *seen, 0)) >= length && got > 0) {
        long at = 0, same = 0;
        for (; at + length <= got && !found; at++) {
            for (same = 0; same < length && text[at + same] == wanted[same];)
                same++;
            found = same == length;
        }
        *seen += got - length + 1;
    }
    sys_close(fd);
    return found;
}

static int healthy(char **check, long *seen)
{
    const char *kind = check[2], *argument = check[3];
    if (equal(kind, "tcp")) {
        long port = number(argument, 10, NULL);
        return listens(sockets[0], port) || listens(sockets[1], port);
    }
    if (equal(kind, "log"))
        return says(check[0] + (*check[0] == '-'), argument, seen);
    return equal(kind, "file") ? exists(argument) : started(check[0] + (*check[0] == '-'));
}

/* Sets `group` to the cgroup of the service's first process, as /proc says it; where crun has not told its number yet,
 * to the one that crun gives a container by default. */
static char group[1024];

static void find_group(const char *name)
{
    struct line path;
    char pid[16];
    int size = 0;
    if (slurp(path_of(&path, BOOT_DIR, name, ".pid"), text, sizeof(text)) > 0) {
        while (size < 15 && text[size] >= '0' && text[size] <= '9')
            pid[size] = text[size], size++;
        pid[size] = 0;
        if (slurp(path_of(&path, "/proc/", pid, "/cgroup"), text, sizeof(text)) > 4) {
            const char *from = text + 3; /* behind 0:: */
            for (size = 0; size < 1023 && from[size] && from[size] != '\n'; size++)
                group[size] = from[size];
            group[size] = 0;
            return;
        }
    }
    group[0] = '/';
    for (size = 0; size < 1022 && name[size]; size++)
        group[1 + size] = name[size];
    group[1 + size] = 0;
}

/* Adds what the service's processes have used of the processor, in µs, where its cgroup says so. */
static void add_cpu(struct line *line, const char *name)
{
    struct line path;
    find_group(name);
    if (slurp(path_of(&path, "/sys/fs/cgroup", group, "/cpu.stat"), text, sizeof(text)) < 12)
        return;
    long used = number(text + 11, 10, NULL); /* behind usage_usec, which comes first */
    if (used < 0)
        return;
    add(line, " cpu=");
    add_decimal(line, (unsigned long)used);
}

static void mark(const char *name, const char *step)
{
    struct line line;
    line.size = 0;
    add(&line, MARK "services/");
    add(&line, name);
    add(&line, step);
    add_cpu(&line, name);
    say_to(open_log(), &line);
}

static char **checks;
static long count, began;
static char done[MOST];

static int by_event(char **check)
{
    return equal(check[2], "log");
}

/* Asks about one service that is not done; returns 1 when it is unhealthy for good. */
static int ask(long i)
{
    static long seen[MOST];
    char **check = checks + 4 * i;
    int well = healthy(check, &seen[i]);
    if (!well && now() - began < number(check[1], 10, NULL))
        return 0;
    if (*check[0] != '-')
        mark(check[0], well ? " ready" : " unready");
    done[i] = 1;
    return !well;
}

static int all_done(void)
{
    for (long i = 0; i < count; i++)
        if (!done[i])
            return 0;
    return 1;
}

/* Whether a file's name is that of a service's log. */
static int is_log_of(const char *file, const char *name)
{
    name += *name == '-';
    while (*name && *name == *file)
        name++, file++;
    return !*name && equal(file, ".log");
}

static void before_all_others(void)
{
    const int priority = 1;
    sys5(NR_sched_setscheduler, 0, SCHED_FIFO, (long)&priority, 0, 0);
}

/* Waits for logs to be written to; asks about all whose log was, and about everybody each second, for their time. */
static int wait_for_events(long events)
{
    static char told[4096] __attribute__((aligned(8)));
    int code = 0, everybody = 1;
    long size = 0;
    before_all_others(); /* so that what comes after the line is not taken for what came before it */
    for (;;) {
        for (long i = 0; i < count; i++) {
            int due = everybody;
            for (long at = 0; !done[i] && !due && at < size;) {
                const unsigned int *event = (const unsigned int *)(told + at); /* watch, mask, cookie, size */
                due = event[1] & IN_Q_OVERFLOW || (event[3] && is_log_of(told + at + 16, checks[4 * i]));
                at += 16 + event[3];
            }
            if (!done[i] && due)
                code |= ask(i);
        }
        if (all_done())
            return code;
        size = sys5(NR_read, events, (long)told, sizeof(told), 0, 0);
        everybody = 0;
        if (size <= 0) {
            struct { int fd; short wanted, found; } poll = {(int)events, POLLIN, 0};
            struct time second = {1, 0};
            everybody = sys5(NR_ppoll, (long)&poll, 1, (long)&second, 0, 8) <= 0;
            size = 0;
        }
    }
}

static int wait_by_asking(void)
{
    struct time pause = {0, checks[0][0] == '-' ? SHORT_NS : PAUSE_NS};
    int code = 0;
    sys5(NR_setpriority, 0, 0, LOWEST, 0, 0);
    for (;;) {
        slurp("/proc/net/tcp", sockets[0], sizeof(sockets[0]));
        slurp("/proc/net/tcp6", sockets[1], sizeof(sockets[1]));
        for (long i = 0; i < count; i++)
            if (!done[i])
                code |= ask(i);
        if (all_done())
            return code;
        sys5(NR_nanosleep, (long)&pause, 0, 0, 0, 0);
    }
}

__attribute__((used)) void entry(long *stack)
{
    long events, words = 0, told = 0, child = -1;
    int status = 0, code;
    char **then = NULL, *no_environment[] = {NULL};

    checks = (char **)(stack + 2), began = now();
    while (words < stack[0] - 1 && !equal(checks[words], "--"))
        words += 4; /* a text that is looked for may be anything */
    if (words < stack[0] - 1)
        then = checks + words + 1; /* ends with the arguments */
    count = words / 4;
    if (words > stack[0] - 1 || count < 1 || count > MOST || (then && !*then))
        sys_exit(2);
    for (long i = 0; i < count; i++)
        told += by_event(checks + 4 * i);
    events = told ? sys5(NR_inotify_init1, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0) : -1;
    if (events >= 0 && sys5(NR_inotify_add_watch, events, (long)LOGS, IN_MODIFY | IN_CREATE | IN_MOVED_TO, 0, 0) < 0)
        events = -1;
    if (events >= 0 && told < count && (child = sys_fork()) < 0)
        events = -1; /* then all are asked */
    if (events >= 0 && told < count)
        for (long i = 0; i < count; i++)
            done[i] = by_event(checks + 4 * i) != !child;
    code = events >= 0 && child <= 0 ? wait_for_events(events) : wait_by_asking();
    if (child) /* for this one may have been asking */
        before_all_others();
    if (child > 0)
        code |= sys5(NR_wait4, child, (long)&status, 0, 0, 0) != child || status;
    if (!code && child && then)
        sys5(NR_execve, (long)*then, (long)then, (long)no_environment, 0, 0), code = 2;
    sys_exit(code);
}
