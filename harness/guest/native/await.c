/* await NAME SECONDS KIND ARGUMENT ... [-- STEP [witness]]: waits until every service is seen healthy once or its time is
 * over, and marks each but those with a dash before their name (docs/guest.md). KIND: started; tcp PORT; file PATH; log
 * TEXT; asked: somebody else asks, and tells by a file. When all are healthy it marks STEP too (step.h). Exit code 0: all
 * healthy, 1: some were not, 2: misuse.
 *
 * What is written to a log, a file that appears, and who begins to listen are told by the kernel, and looked at at once,
 * before whoever did it goes on: the mark is of the moment at which the service became healthy, not of the one at which
 * somebody had the time to look. So it is with the last step: nothing has to be read or to be waited for before it.
 *
 * Where the kernel cannot tell who listens, that has to be asked for: at the lowest priority, so that a boot that is busy
 * is not slowed by being asked. A mark that was found by asking says how long before that the answer was still no. */
#include "health.h"
#include "listeners.h"
#include "step.h"

#define MOST 512
#define PAUSE_NS 1000000
#define SHORT_NS 100000 /* where one service is waited for by itself: what it takes shall not come in steps of 1 ms */
#define SOME_NS 20000000 /* between two looks at files, for not every filesystem tells of its own */
#define SECOND_NS 1000000000L
#define O_NONBLOCK 04000
#define CLOCK_MONOTONIC 1
#define LOWEST 19
#define SCHED_FIFO 1
#define POLLIN 1
#define IN_MODIFY 0x2
#define IN_MOVED_TO 0x80
#define IN_CREATE 0x100
#define IN_Q_OVERFLOW 0x4000
#define AT_PAGESZ 6

struct time {
    long seconds, nanoseconds;
};

/* Nanoseconds since the kernel began. */
static long now(void)
{
    struct time time = {0, 0};
    sys5(NR_clock_gettime, CLOCK_MONOTONIC, (long)&time, 0, 0, 0);
    return time.seconds * SECOND_NS + time.nanoseconds;
}

static char **checks;
static long count, began;
static char done[MOST];
static long asked[MOST]; /* when a service was last found unhealthy by who asks, not by who is told; 0: never */

static const char *name_of(long i)
{
    return checks[4 * i] + (checks[4 * i][0] == '-');
}

static int is_of_kind(long i, const char *kind)
{
    return equal(checks[4 * i + 2], kind);
}

static void mark(long i, const char *step, long unsure_us)
{
    struct line line;
    line.size = 0;
    add(&line, MARK "services/");
    add(&line, name_of(i));
    add(&line, step);
    add_cpu(&line, name_of(i));
    if (unsure_us > 0) {
        add(&line, " asked=");
        add_decimal(&line, (unsigned long)unsure_us);
    }
    say_to(open_log(), &line);
}

/* The nanoseconds that a service has left to become healthy. */
static long left_ns(long i)
{
    return number(checks[4 * i + 1], 10, NULL) * SECOND_NS - (now() - began);
}

static long least(long one, long other)
{
    return one < other ? one : other;
}

/* Asks about one service that is not done; returns 1 when it is unhealthy for good. */
static int ask(long i)
{
    static long seen[MOST];
    char **check = checks + 4 * i;
    int well = healthy(check, &seen[i]);
    if (!well && left_ns(i) > 0)
        return 0;
    long unsure_us = is_of_kind(i, "asked") ? number(text, 10, NULL) : asked[i] ? (now() - asked[i]) / 1000 : 0;
    if (*check[0] != '-')
        mark(i, well ? " ready" : " unready", well ? unsure_us : 0);
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

static int waits_for(const char *kind)
{
    for (long i = 0; i < count; i++)
        if (!done[i] && is_of_kind(i, kind))
            return 1;
    return 0;
}

/* Whether a file is the service's: its log, or what tells that it was started or is healthy. */
static int is_of(const char *file, const char *name)
{
    while (*name && *name == *file)
        name++, file++;
    return !*name && (equal(file, ".log") || equal(file, ".pid") || equal(file, ".done") ||
                      equal(file, ".healthy"));
}

static void before_all_others(void)
{
    const int priority = 1;
    sys5(NR_sched_setscheduler, 0, SCHED_FIFO, (long)&priority, 0, 0);
}

static int watch(long events, const char *folder)
{
    return sys5(NR_inotify_add_watch, events, (long)folder, IN_MODIFY | IN_CREATE | IN_MOVED_TO, 0, 0) >= 0;
}

/* Watches the deepest folder that is there of those that the file shall lie in. */
static void watch_way_to(long events, const char *file)
{
    static char folder[4096];
    long size = 0;
    while (size < 4095 && file[size])
        folder[size] = file[size], size++;
    for (folder[size] = 0; size > 0; folder[size] = 0) {
        while (size > 0 && folder[size] != '/')
            size--;
        folder[size > 0 ? size : 1] = 0;
        if (watch(events, folder))
            return;
    }
}

/* Whether anything that the kernel told may be about the service. */
static int may_be_about(long i, const char *told, long size)
{
    for (long at = 0; at < size;) {
        const unsigned int *event = (const unsigned int *)(told + at); /* watch, mask, cookie, size */
        if (event[1] & IN_Q_OVERFLOW || (is_of_kind(i, "file") && event[1] & (IN_CREATE | IN_MOVED_TO)) ||
            (event[3] && is_of(told + at + 16, name_of(i))))
            return 1;
        at += 16 + event[3];
    }
    return 0;
}

/* Asks about a file once more when its folder is watched: it may have come just before. */
static int ask_for_file(long events, long i)
{
    int code = ask(i);
    if (done[i])
        return code;
    watch_way_to(events, checks[4 * i + 3]);
    return ask(i);
}

static void read_sockets(void)
{
    slurp("/proc/net/tcp", sockets[0], sizeof(sockets[0]));
    slurp("/proc/net/tcp6", sockets[1], sizeof(sockets[1]));
}

/* Waits for what the kernel tells, and asks then about all that it may be about; about files every now and then, and about
 * whose time is over. */
static int wait_for_events(long events, long listeners)
{
    static char told[4096] __attribute__((aligned(8)));
    int code = 0, first = 1, heard = 1;
    long size = 0, pause = 0, looked = 0;
    before_all_others(); /* so that what comes after the event is not taken for what came before it */
    for (;;) {
        int files = now() - looked >= SOME_NS;
        if (listeners >= 0 && heard) {
            forget_listeners();
            read_sockets();
        }
        pause = SECOND_NS - 1;
        for (long i = 0; i < count; i++) {
            int file = is_of_kind(i, "file"), event = may_be_about(i, told, size);
            int due = first || event || (files && file) || (heard && is_of_kind(i, "tcp")) || left_ns(i) <= 0;
            if (done[i])
                continue;
            if (event)
                asked[i] = 0;
            if (due)
                code |= file ? ask_for_file(events, i) : ask(i);
            if (due && file)
                asked[i] = looked = now();
            if (!done[i])
                pause = least(pause, file ? SOME_NS : left_ns(i));
        }
        if (all_done())
            return code;
        first = heard = 0;
        size = sys5(NR_read, events, (long)told, sizeof(told), 0, 0);
        if (size <= 0) {
            struct { int fd; short wanted, found; } poll[] = {{(int)events, POLLIN, 0}, {(int)listeners, POLLIN, 0}};
            struct time time = {0, pause > 0 ? pause : 0};
            sys5(NR_ppoll, (long)poll, listeners >= 0 ? 2 : 1, (long)&time, 0, 8);
            heard = poll[1].found, size = 0;
        }
    }
}

static int wait_by_asking(void)
{
    struct time pause = {0, checks[0][0] == '-' ? SHORT_NS : PAUSE_NS};
    int code = 0;
    sys5(NR_setpriority, 0, 0, LOWEST, 0, 0);
    for (;;) {
        long before = now();
        read_sockets();
        for (long i = 0; i < count; i++) {
            if (!done[i])
                code |= ask(i);
            asked[i] = before;
        }
        if (all_done())
            return code;
        sys5(NR_nanosleep, (long)&pause, 0, 0, 0, 0);
    }
}

/* Returns a file that tells of logs, of containers that have started, and of files; negative when there is none. */
static long watch_files(void)
{
    long events = sys5(NR_inotify_init1, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0);
    return events >= 0 && watch(events, LOGS) && watch(events, BOOT_DIR) ? events : -1;
}

/* The size of a page, as the kernel tells it behind the environment. */
static long page_size(char **at)
{
    while (*at)
        at++;
    for (const long *known = (const long *)(at + 1); *known; known += 2)
        if (*known == AT_PAGESZ)
            return known[1];
    return 4096;
}

__attribute__((used)) void entry(long *stack)
{
    long events, listeners = -1, words = 0, told = 0, child = -1;
    int status = 0, code;
    char **then = NULL;

    checks = (char **)(stack + 2), began = now();
    while (words < stack[0] - 1 && !equal(checks[words], "--"))
        words += 4; /* a text that is looked for may be anything */
    if (words < stack[0] - 1)
        then = checks + words + 1; /* ends with the arguments */
    count = words / 4;
    if (words > stack[0] - 1 || count < 1 || count > MOST || (then && !*then))
        sys_exit(2);
    events = watch_files();
    if (events >= 0 && waits_for("tcp"))
        listeners = watch_listeners(page_size((char **)(stack + 2 + stack[0])));
    for (long i = 0; i < count; i++)
        told += listeners >= 0 || !is_of_kind(i, "tcp");
    if (events < 0 || !told)
        code = wait_by_asking();
    else if (told == count || (child = sys_fork()) < 0)
        code = told == count ? wait_for_events(events, listeners) : wait_by_asking();
    else {
        for (long i = 0; i < count; i++)
            done[i] = is_of_kind(i, "tcp") == !child;
        code = child ? wait_by_asking() : wait_for_events(events, listeners);
    }
    if (child) /* for this one may have been asking */
        before_all_others();
    if (child > 0)
        code |= sys5(NR_wait4, child, (long)&status, 0, 0, 0) != child || status;
    if (!code && child && then)
        say_step(then[0], then[1] != NULL);
    sys_exit(code);
}
