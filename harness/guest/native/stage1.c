/* The first process: loads the modules that mounting needs, mounts the squashfs root read-only, and switches to it.
 * It is all that the initramfs runs; a shell there would cost megabytes to unpack and milliseconds at every boot. */
#include "sys.h"

#define MS_RDONLY 1
#define MS_NOSUID 2
#define MS_NODEV 4
#define MS_NOEXEC 8
#define MS_MOVE 8192
#define MS_REC 16384
#define MS_SHARED (1 << 20)
#define MNT_DETACH 2
#define AT_REMOVEDIR 0x200
#define LOOP_CONFIGURE 0x4C0A
#define LOOP_CTL_ADD 0x4C80
#define LO_FLAGS_READ_ONLY 1
#define AF_INET 2
#define SOCK_DGRAM 2
#define SIOCSIFFLAGS 0x8914
#define IFF_UP 1
#define ENOENT 2
#define EEXIST 17
#define RLIMIT_NPROC 6
#define RLIMIT_NOFILE 7

/* The root's loop device: not one of the first, which programs and people expect to be free. */
#define NUMBER 7
#define DEVICE "/dev/loop7"

/* struct loop_config of linux/loop.h */
struct loop_config {
    unsigned int fd, block_size;
    struct {
        unsigned long device, inode, rdevice, offset, sizelimit;
        unsigned int number, encrypt_type, encrypt_key_size, flags;
        unsigned char file_name[64], crypt_name[64], encrypt_key[32];
        unsigned long init[2];
    } info;
    unsigned long reserved[8];
};

struct step {
    const char *type, *target;
    unsigned long flags;
    const char *data;
};

/* In order; /dev first, for everything after may complain through it. An init that is not the harness's own gets what a
 * kernel gives one, which is BARE: LinuxKit's takes a mounted /proc for a container around it, and never ends then. */
static const struct step mounts[] = {
    {"devtmpfs", "dev", MS_NOSUID, "mode=0755"},
#ifndef BARE
    {"proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"sysfs", "sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"cgroup2", "sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666"},
    {"tmpfs", "dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"tmpfs", "run", MS_NOSUID | MS_NODEV, "mode=0755"},
    {"tmpfs", "tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"tmpfs", "var", MS_NOSUID | MS_NODEV, "mode=0755"},
#endif
};

static _Noreturn void fail(const char *what, const char *object, long error)
{
    struct line line;
    line.size = 0;
    add(&line, MARK "stage1 failed: ");
    add(&line, what);
    add(&line, " ");
    add(&line, object);
    add(&line, ": errno ");
    add_error(&line, error);
    say_to(open_log(), &line);
    /* the first process's end is a panic, which whoever watches the console knows how to read */
    sys_exit(1);
}

static void mark(const char *name)
{
    struct line line;
    line.size = 0;
    add(&line, MARK);
    add(&line, name);
    say_to(open_log(), &line);
}

/* The first mark has the machine's own count, as the last one has (mark.c): so what lies between can be checked. */
static void mark_counted(void)
{
    struct line line;
    line.size = 0;
    long fd = open_log();
    add(&line, MARK "init counter=");
    add_hex(&line, counter());
    say_to(fd, &line);
}

static void try(const char *what, const char *object, long result)
{
    if (result < 0)
        fail(what, object, result);
}

#ifdef VERITY
#include "verity.h"
#endif

static void load_modules(void)
{
    char path[] = "/modules/00.ko";
    for (int number = 0; number < 100; number++) {
        path[9] = (char)('0' + number / 10);
        path[10] = (char)('0' + number % 10);
        long fd = sys_open(path, O_RDONLY | O_CLOEXEC);
        if (fd == -ENOENT)
            return;
        try("open", path, fd);
        long result = sys5(NR_finit_module, fd, (long)"", 0, 0, 0);
#ifdef VERITY
        /* a driver says ENODEV where its hardware is not, and those that build on it miss its functions: ENOENT */
        if (result == -ENODEV || result == -ENOENT)
            result = -EEXIST;
#endif
        if (result != -EEXIST) /* another kernel has it built in, or a dependency was listed twice */
            try("load module", path, result);
        sys_close(fd);
        sys5(NR_unlinkat, AT_FDCWD, (long)path, 0, 0, 0);
    }
}

#ifndef VERITY
static void mount_root(void)
{
    static struct loop_config config;
    long file = sys_open("/root.squashfs", O_RDONLY | O_CLOEXEC);
    long loop = sys_open(DEVICE, O_RDWR | O_CLOEXEC);
    if (loop == -ENOENT) { /* a kernel that makes none by itself, or fewer */
        long control = sys_open("/dev/loop-control", O_RDWR | O_CLOEXEC);
        sys5(NR_ioctl, control, LOOP_CTL_ADD, NUMBER, 0, 0);
        sys_close(control);
        loop = sys_open(DEVICE, O_RDWR | O_CLOEXEC);
    }
    try("open", "/root.squashfs", file);
    try("open", DEVICE, loop);
    config.fd = (unsigned int)file;
    config.info.flags = LO_FLAGS_READ_ONLY;
    try("attach", "/root.squashfs", sys5(NR_ioctl, loop, LOOP_CONFIGURE, (long)&config, 0, 0));
    try("mount", DEVICE,
        sys5(NR_mount, (long)DEVICE, (long)"/newroot", (long)"squashfs", MS_RDONLY | MS_NODEV, 0));
    sys_close(loop);
    sys_close(file);
    /* nobody can reach the backing file by a name any more */
    sys5(NR_unlinkat, AT_FDCWD, (long)"/root.squashfs", 0, 0, 0);
    sys5(NR_unlinkat, AT_FDCWD, (long)"/init", 0, 0, 0);
}
#endif

static void mount_rest(void)
{
    for (unsigned int i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
        const struct step *step = &mounts[i];
        sys5(NR_mkdirat, AT_FDCWD, (long)step->target, 0755, 0, 0);
        long result = sys5(NR_mount, (long)step->type, (long)step->target, (long)step->type, (long)step->flags,
                           (long)step->data);
        if (result < 0)
            fail("mount", step->target, result);
    }
    sys5(NR_symlinkat, (long)"/proc/self/fd", AT_FDCWD, (long)"dev/fd", 0, 0);
    sys5(NR_symlinkat, (long)"/proc/self/fd/0", AT_FDCWD, (long)"dev/stdin", 0, 0);
    sys5(NR_symlinkat, (long)"/proc/self/fd/1", AT_FDCWD, (long)"dev/stdout", 0, 0);
    sys5(NR_symlinkat, (long)"/proc/self/fd/2", AT_FDCWD, (long)"dev/stderr", 0, 0);
}

#ifndef BARE
static void loopback_up(void)
{
    struct {
        char name[16];
        short flags;
        char rest[22];
    } request = {"lo", IFF_UP, ""};
    long fd = sys5(NR_socket, AF_INET, SOCK_DGRAM, 0, 0, 0);
    if (fd < 0)
        return; /* a kernel without networking boots as well */
    sys5(NR_ioctl, fd, SIOCSIFFLAGS, (long)&request, 0, 0);
    sys_close(fd);
}

/* What every process inherits, as LinuxKit's init has it: 1048576 open files (the kernel allows no more unless told),
 * and any number of processes. */
static void raise_limits(void)
{
    static const unsigned long files[2] = {1048576, 1048576}, processes[2] = {~0UL, ~0UL};
    sys5(NR_prlimit64, 0, RLIMIT_NOFILE, (long)files, 0, 0);
    sys5(NR_prlimit64, 0, RLIMIT_NPROC, (long)processes, 0, 0);
}
#endif

__attribute__((used)) void entry(long *stack)
{
    char **argv = (char **)(stack + 1);
    char **envp = argv + stack[0] + 1;
    static const char *const inits[] = {"/sbin/init", "/init", "/bin/init", "/bin/sh"};

    sys5(NR_mkdirat, AT_FDCWD, (long)"/dev", 0755, 0, 0);
    sys5(NR_mount, (long)"devtmpfs", (long)"/dev", (long)"devtmpfs", 0, 0);
    mark_counted();
#ifdef VERITY
    static struct verified root;
    read_hash(envp, &root);
    long events = listen();
    load_modules();
    mount_root(events, &root);
#else
    load_modules();
    mount_root();
#endif
    try("enter", "/newroot", sys5(NR_chdir, (long)"/newroot", 0, 0, 0, 0));
    mount_rest();
#ifndef BARE
    loopback_up();
    raise_limits();
#endif
    mark("root");
    sys5(NR_umount2, (long)"/dev", MNT_DETACH, 0, 0, 0);
    try("move", "/newroot", sys5(NR_mount, (long)".", (long)"/", 0, MS_MOVE, 0));
    try("chroot", "/newroot", sys5(NR_chroot, (long)".", 0, 0, 0, 0));
    sys5(NR_chdir, (long)"/", 0, 0, 0, 0);
#ifndef BARE
    /* as LinuxKit's init has it: containers see one another's mounts where their binds say so */
    try("share", "/", sys5(NR_mount, 0, (long)"/", 0, MS_REC | MS_SHARED, 0));
#endif
    for (unsigned int i = 0; i < sizeof(inits) / sizeof(*inits); i++) {
        argv[0] = (char *)inits[i];
        long result = sys5(NR_execve, (long)inits[i], (long)argv, (long)envp, 0, 0);
        if (result != -ENOENT)
            fail("execute", inits[i], result);
    }
    fail("execute", "/sbin/init", -ENOENT);
}
