/* The few system calls the guest's native programs need, without a C library: they are a few kB and start at once. */
#ifndef SYS_H
#define SYS_H

#define NULL ((void *)0)
#define O_RDONLY 0
#define O_WRONLY 1
#define O_RDWR 2
#define O_CLOEXEC 02000000
#define AT_FDCWD (-100)

#if defined(__x86_64__)
enum { NR_read = 0, NR_write = 1, NR_close = 3, NR_ioctl = 16, NR_socket = 41, NR_sendto = 44,
       NR_setsockopt = 54, NR_execve = 59, NR_exit = 60,
       NR_chdir = 80, NR_chroot = 161, NR_mount = 165, NR_umount2 = 166, NR_openat = 257, NR_mkdirat = 258,
       NR_unlinkat = 263, NR_symlinkat = 266, NR_finit_module = 313,
       NR_pread64 = 17, NR_nanosleep = 35, NR_setpriority = 141, NR_sched_setscheduler = 144, NR_clock_gettime = 228,
       NR_bind = 49, NR_clone = 56, NR_wait4 = 61, NR_inotify_add_watch = 254, NR_inotify_init1 = 294, NR_kill = 62,
       NR_ppoll = 271, NR_prlimit64 = 302, NR_mmap = 9, NR_bpf = 321,
       NR_getdents64 = 217 };
static long sys6(long n, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long ret;
    __asm__ volatile("syscall" : "=a"(ret) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}
/* The kernel enters with the stack pointer at argc. */
__asm__(".globl _start\n_start:\n\txor %ebp,%ebp\n\tmov %rsp,%rdi\n\tand $-16,%rsp\n\tcall entry\n\thlt\n");
static inline unsigned long counter(void)
{
    unsigned int low, high;
    __asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high));
    return ((unsigned long)high << 32) | low;
}
#elif defined(__aarch64__)
enum { NR_ioctl = 29, NR_mkdirat = 34, NR_unlinkat = 35, NR_symlinkat = 36, NR_umount2 = 39, NR_mount = 40,
       NR_chdir = 49, NR_chroot = 51, NR_openat = 56, NR_close = 57, NR_read = 63, NR_write = 64, NR_exit = 93,
       NR_socket = 198, NR_sendto = 206, NR_setsockopt = 208, NR_execve = 221, NR_finit_module = 273,
       NR_pread64 = 67, NR_nanosleep = 101, NR_clock_gettime = 113, NR_sched_setscheduler = 119, NR_setpriority = 140,
       NR_ppoll = 73, NR_kill = 129, NR_bind = 200, NR_prlimit64 = 261,
       NR_inotify_init1 = 26, NR_inotify_add_watch = 27, NR_clone = 220, NR_wait4 = 260, NR_mmap = 222, NR_bpf = 280,
       NR_getdents64 = 61 };
static long sys6(long n, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n\tmov x29,#0\n\tmov x30,#0\n\tmov x0,sp\n\tbl entry\n\tbrk #0\n");
static inline unsigned long counter(void)
{
    unsigned long value;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(value));
    return value;
}
#elif defined(__s390x__)
enum { NR_exit = 1, NR_read = 3, NR_write = 4, NR_close = 6, NR_execve = 11, NR_chdir = 12, NR_mount = 21,
       NR_umount2 = 52, NR_ioctl = 54, NR_chroot = 61, NR_openat = 288, NR_mkdirat = 289, NR_unlinkat = 294,
       NR_symlinkat = 297, NR_finit_module = 344, NR_socket = 359, NR_setsockopt = 366, NR_sendto = 369,
       NR_setpriority = 97, NR_sched_setscheduler = 156, NR_nanosleep = 162, NR_pread64 = 180, NR_clock_gettime = 260,
       NR_kill = 37, NR_ppoll = 302, NR_prlimit64 = 334, NR_bind = 361,
       NR_wait4 = 114, NR_clone = 120, NR_inotify_add_watch = 285, NR_inotify_init1 = 324, NR_mmap = 90, NR_bpf = 351,
       NR_getdents64 = 220 };
static long sys6(long n, long a, long b, long c, long d, long e, long f)
{
    register long r1 __asm__("1") = n;
    register long r2 __asm__("2") = a;
    register long r3 __asm__("3") = b;
    register long r4 __asm__("4") = c;
    register long r5 __asm__("5") = d;
    register long r6 __asm__("6") = e;
    register long r7 __asm__("7") = f;
    __asm__ volatile("svc 0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6), "d"(r7) : "memory", "cc");
    return r2;
}
/* The ABI wants a register save area of 160 bytes below the stack pointer that the caller hands over. */
__asm__(".globl _start\n_start:\n\tlgr %r2,%r15\n\tlghi %r0,-16\n\tngr %r15,%r0\n\taghi %r15,-160\n\t"
        "lghi %r11,0\n\tbrasl %r14,entry\n\tj .\n");
static inline unsigned long counter(void)
{
    unsigned long value;
    __asm__ volatile("stck %0" : "=Q"(value) : : "cc");
    return value;
}
#else
#error "no system calls known for this architecture"
#endif

static inline long sys5(long n, long a, long b, long c, long d, long e) { return sys6(n, a, b, c, d, e, 0); }

static inline long sys_open(const char *path, int flags) { return sys5(NR_openat, AT_FDCWD, (long)path, flags, 0, 0); }
static inline long sys_close(long fd) { return sys5(NR_close, fd, 0, 0, 0, 0); }
static inline long sys_write(long fd, const void *data, unsigned long size)
{
    return sys5(NR_write, fd, (long)data, (long)size, 0, 0);
}
static inline _Noreturn void sys_exit(int code)
{
    for (;;)
        sys5(NR_exit, code, 0, 0, 0, 0);
}

#define SIGCHLD 17

/* As fork(2). */
static inline long sys_fork(void)
{
#if defined(__s390x__)
    return sys5(NR_clone, 0, SIGCHLD, 0, 0, 0); /* the stack comes first */
#else
    return sys5(NR_clone, SIGCHLD, 0, 0, 0, 0);
#endif
}

/* As mmap(2), shared; NULL where that fails. */
static inline void *sys_map(long fd, long size, long protection, long offset)
{
    const long shared = 1;
#if defined(__s390x__)
    const long arguments[] = {0, size, protection, shared, fd, offset};
    long at = sys5(NR_mmap, (long)arguments, 0, 0, 0, 0);
#else
    long at = sys6(NR_mmap, 0, size, protection, shared, fd, offset);
#endif
    return at < 0 && at > -4096 ? NULL : (void *)at;
}

/* GCC may call these even in freestanding code. */
void *memset(void *to, int byte, unsigned long size)
{
    volatile unsigned char *out = to;
    while (size--)
        *out++ = (unsigned char)byte;
    return to;
}

/* A line under construction: too long a one is cut, never overrun. */
struct line {
    char text[256];
    unsigned int size;
};

static inline void add(struct line *line, const char *text)
{
    while (*text && line->size < sizeof(line->text) - 2)
        line->text[line->size++] = *text++;
}

static inline void add_hex(struct line *line, unsigned long value)
{
    char digits[17];
    int at = 16;
    digits[16] = 0;
    do {
        digits[--at] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    add(line, digits + at);
}

static inline void add_decimal(struct line *line, unsigned long value)
{
    char digits[21];
    int at = 20;
    digits[20] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    add(line, digits + at);
}

/* The errors that a first process meets, by name: the same numbers on all three architectures. */
static const struct { unsigned char number; const char *name; } error_names[] = {
    {1, "EPERM"}, {2, "ENOENT"}, {5, "EIO"}, {6, "ENXIO"}, {8, "ENOEXEC"}, {12, "ENOMEM"}, {13, "EACCES"},
    {16, "EBUSY"}, {17, "EEXIST"}, {19, "ENODEV"}, {20, "ENOTDIR"}, {22, "EINVAL"}, {28, "ENOSPC"}, {38, "ENOSYS"},
    {80, "ELIBBAD"}, {95, "EOPNOTSUPP"}, {126, "ENOKEY"}, {129, "EKEYREJECTED"},
};

/* Adds a failed call's error, which is negative as the kernel returns it: "19 (ENODEV)". */
static inline void add_error(struct line *line, long result)
{
    add_decimal(line, (unsigned long)-result);
    for (unsigned int i = 0; i < sizeof(error_names) / sizeof(*error_names); i++)
        if (error_names[i].number == (unsigned long)-result) {
            add(line, " (");
            add(line, error_names[i].name);
            add(line, ")");
        }
}

/* Facility user, severity critical: `quiet` lets it through, and the kernel's own log stays free of errors. */
#define LEVEL "<10>"
#define MARK LEVEL "harness: "

static inline long open_log(void) { return sys_open("/dev/kmsg", O_WRONLY | O_CLOEXEC); }

static inline void say_to(long fd, struct line *line)
{
    line->text[line->size++] = '\n';
    sys_write(fd, line->text, line->size);
    sys_close(fd);
}

#endif
