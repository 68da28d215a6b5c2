/* What is known of a service: whether it is healthy, and what it has used of the processor. */
#ifndef HEALTH_H
#define HEALTH_H
#include "sys.h"

#define BOOT_DIR "/run/harness"
#define O_PATH 010000000
#define LOGS "/var/log"

static char sockets[2][65536]; /* /proc/net/tcp and tcp6; who listens comes first there */
static char text[4096];

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
    return slurp(path_of(&line, BOOT_DIR "/", name, ".pid"), text, 16) > 0 ||
           exists(path_of(&line, BOOT_DIR "/", name, ".done"));
}

/* Whether a program that asks for the service's health has told that it is healthy (init/boot): `text` is then for how
 * many microseconds that may have been so. */
static int told_healthy(const char *name)
{
    struct line line;
    return slurp(path_of(&line, BOOT_DIR "/", name, ".healthy"), text, 16) > 0;
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
    if (equal(kind, "asked"))
        return told_healthy(check[0]);
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
    if (slurp(path_of(&path, BOOT_DIR "/", name, ".pid"), text, sizeof(text)) > 0) {
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

#endif
