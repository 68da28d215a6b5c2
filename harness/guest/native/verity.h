/* A root that cannot be changed unseen: a squashfs in one partition, and in another a tree of hashes over its blocks, which
 * the kernel compares with each block that it reads (dm-verity). The tree's own hash is the word `roothash=` of the
 * kernel's command line; its first half is the UUID of the one partition, its second half of the other (the UAPI group's
 * Discoverable Partitions Specification). Whichever disk has partitions of these UUIDs is taken: what lies in them is
 * believed as far as the hash goes, and what is not right ends in a panic. */
#ifndef VERITY_H
#define VERITY_H

#define AF_NETLINK 16
#define SOCK_RAW 3
#define SOCK_NONBLOCK 04000
#define NETLINK_KOBJECT_UEVENT 15
#define POLLIN 1
#define CLOCK_MONOTONIC 1
#define EAGAIN 11
#define ENODEV 19
#define EINVAL 22
#define DT_BLK 6

#define PATIENCE 30 /* seconds until the disk has to be there */
#define SECTOR 512
#define BLOCK "4096"
#define SECTORS_PER_BLOCK 8
#define HASH 32 /* bytes: SHA-256 */
#define HALF (HASH / 2)
#define NAME 20 /* the most of a disk's name: two paths of it have room in the table */
#define VERIFIED "/dev/dm-0"

/* linux/dm-ioctl.h */
#define DM_DEV_CREATE 0xc138fd03UL
#define DM_DEV_SUSPEND 0xc138fd06UL
#define DM_TABLE_LOAD 0xc138fd09UL
#define DM_READONLY_FLAG 1
struct dm_request {
    unsigned int version[3], data_size, data_start, target_count;
    int open_count;
    unsigned int flags, event_number, padding;
    unsigned long device;
    char name[128], uuid[129], rest[7];
    struct {
        unsigned long start, length;
        int status;
        unsigned int next;
        char type[16], parameters[sizeof(((struct line *)0)->text)];
    } target;
};

/* struct linux_dirent64 */
struct entry {
    unsigned long inode, offset;
    unsigned short size;
    unsigned char type;
    char name[];
};

struct verified {
    unsigned char hash[HASH];
    char hash_text[2 * HASH + 1], uuid_text[HASH + 5], disk[NAME + 1];
    unsigned long data, tree; /* the numbers of the partitions */
};

/* What disks hold is written with the lowest byte first, on every architecture. */
static unsigned long number_at(const unsigned char *at, int size)
{
    unsigned long value = 0;
    while (size--)
        value = value << 8 | at[size];
    return value;
}

static int hex_digit(char letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* The kernel hands the words that it does not know on to its first process, in the environment. */
static void read_hash(char **envp, struct verified *root)
{
    static const char word[] = "roothash=";
    const char *text = NULL;
    for (; *envp && !text; envp++)
        for (unsigned int at = 0; (*envp)[at] == word[at]; at++)
            if (at + 2 == sizeof(word))
                text = *envp + at + 1;
    if (!text)
        fail("read", word, -ENOENT);
    unsigned int size = 0;
    for (; text[size] && hex_digit(text[size]) >= 0 && size < 2 * HASH; size++) {
        unsigned char *byte = &root->hash[size / 2];
        *byte = (unsigned char)(*byte << 4 | hex_digit(text[size]));
        root->hash_text[size] = text[size];
    }
    if (size != 2 * HASH || text[size])
        fail("read", word, -EINVAL);
    for (unsigned int from = 0, to = 0; from < HASH; from++) {
        if (from == 8 || from == 12 || from == 16 || from == 20)
            root->uuid_text[to++] = '-';
        root->uuid_text[to++] = text[from];
    }
}

/* Listens to what the kernel tells of devices, from before it looks for any: none is missed. */
static long listen(void)
{
    struct {
        unsigned short family, pad;
        unsigned int process, groups;
    } kernel = {AF_NETLINK, 0, 0, 1};
    long fd = sys5(NR_socket, AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | O_CLOEXEC, NETLINK_KOBJECT_UEVENT, 0, 0);
    try("listen to", "uevents", fd);
    try("listen to", "uevents", sys5(NR_bind, fd, (long)&kernel, sizeof(kernel), 0, 0));
    return fd;
}

static long seconds(void)
{
    long now[2] = {0, 0};
    sys5(NR_clock_gettime, CLOCK_MONOTONIC, (long)now, 0, 0, 0);
    return now[0];
}

/* Waits until something was told and takes all of it; 0 when it is too late. */
static int something_came(long events, long until)
{
    static char told[8192];
    struct {
        int fd;
        short wanted, seen;
    } poll = {(int)events, POLLIN, 0};
    long left[2] = {until - seconds(), 0};
    if (left[0] <= 0 || sys5(NR_ppoll, (long)&poll, 1, (long)left, 0, 0) <= 0)
        return 0;
    /* more than it had room for is an error as well: then a look around tells */
    while (sys5(NR_read, events, (long)told, sizeof(told), 0, 0) != -EAGAIN)
        ;
    return 1;
}

/* A partition's UUID as half a hash: of the first three numbers of a UUID a disk has the lowest byte first. */
static int is_half(const unsigned char *uuid, const unsigned char *half)
{
    static const unsigned char order[HALF] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int at = 0; at < HALF; at++)
        if (uuid[order[at]] != half[at])
            return 0;
    return 1;
}

/* The number of the disk's partition that has this half of the hash for its UUID; 0: there is none. */
static unsigned long partition_of(long disk, const unsigned char *half)
{
    static unsigned char header[SECTOR], entry[128];
    static const char magic[] = "EFI PART";
    if (sys5(NR_pread64, disk, (long)header, SECTOR, SECTOR, 0) != SECTOR)
        return 0;
    for (int at = 0; magic[at]; at++)
        if (header[at] != (unsigned char)magic[at])
            return 0;
    unsigned long table = number_at(header + 72, 8) * SECTOR, count = number_at(header + 80, 4);
    unsigned long size = number_at(header + 84, 4);
    for (unsigned long number = 0; number < count && number < 128; number++) {
        long got = sys5(NR_pread64, disk, (long)entry, sizeof(entry), (long)(table + number * size), 0);
        if (got == sizeof(entry) && is_half(entry + 16, half))
            return number + 1;
    }
    return 0;
}

/* Puts the path of a disk's partition together: /dev/vda3, and /dev/nvme0n1p3 after a digit. */
static void path_of(struct line *path, const char *disk, unsigned long number)
{
    path->size = 0;
    add(path, "/dev/");
    add(path, disk);
    char last = path->text[path->size - 1];
    if (number && last >= '0' && last <= '9')
        add(path, "p");
    if (number)
        add_decimal(path, number);
    path->text[path->size] = 0;
}

static long open_part(const char *disk, unsigned long number)
{
    struct line path;
    path_of(&path, disk, number);
    return sys_open(path.text, O_RDONLY | O_CLOEXEC);
}

/* Whether a disk has both partitions, and the kernel has found them too. */
static int has_root(const char *disk, const unsigned char *hash, unsigned long *data, unsigned long *tree)
{
    long fd = open_part(disk, 0);
    *data = partition_of(fd, hash), *tree = partition_of(fd, hash + HALF);
    sys_close(fd);
    if (!*data || !*tree)
        return 0;
    long one = open_part(disk, *data), other = open_part(disk, *tree);
    sys_close(one);
    sys_close(other);
    return one >= 0 && other >= 0;
}

static int comes_before(const char *one, const char *other)
{
    while (*one && *one == *other)
        one++, other++;
    return *one < *other;
}

/* Looks at all disks that are there. Of several with these UUIDs it takes the first by name, so that every boot does. */
static int found_root(struct verified *root)
{
    static char entries[4096];
    long folder = sys_open("/dev", O_RDONLY | O_CLOEXEC), size;
    int found = 0;
    while ((size = sys5(NR_getdents64, folder, (long)entries, sizeof(entries), 0, 0)) > 0)
        for (long at = 0; at < size; at += ((struct entry *)(entries + at))->size) {
            const struct entry *entry = (struct entry *)(entries + at);
            unsigned int length = 0;
            while (entry->name[length])
                length++;
            if (entry->type != DT_BLK || length > NAME || (found && !comes_before(entry->name, root->disk)))
                continue;
            unsigned long data, tree;
            if (!has_root(entry->name, root->hash, &data, &tree))
                continue;
            root->data = data, root->tree = tree;
            for (unsigned int letter = 0; letter <= length; letter++)
                root->disk[letter] = entry->name[letter];
            found = 1;
        }
    sys_close(folder);
    return found;
}

static void find_root(long events, struct verified *root)
{
    long until = seconds() + PATIENCE;
    while (!found_root(root))
        if (!something_came(events, until))
            fail("find partition", root->uuid_text, -ENODEV);
    sys_close(events);
}

static void ask_mapper(long control, unsigned long what, struct dm_request *request, const char *name)
{
    request->version[0] = 4;
    request->data_size = sizeof(*request);
    request->data_start = sizeof(*request) - sizeof(request->target);
    for (int at = 0; "root"[at]; at++)
        request->name[at] = "root"[at];
    try(name, VERIFIED, sys5(NR_ioctl, control, (long)what, (long)request, 0, 0));
}

/* The tree's own head (cryptsetup's "verity superblock") tells how many blocks there are and what is hashed before each:
 * nobody vouches for these two, and with others no hash is right. */
static void map_root(const struct verified *root)
{
    static struct {
        char magic[8];
        unsigned char kinds[24];
        char algorithm[32];
        unsigned char block_sizes[8], blocks[8], salt_size[2], pad[6], salt[HASH];
        unsigned char rest[SECTOR - 88 - HASH];
    } head;
    static struct dm_request create, load, resume;
    struct line line, data, tree;
    path_of(&data, root->disk, root->data);
    path_of(&tree, root->disk, root->tree);
    long fd = sys_open(tree.text, O_RDONLY | O_CLOEXEC);
    try("read", tree.text, sys5(NR_pread64, fd, (long)&head, sizeof(head), 0, 0));
    sys_close(fd);
    for (int at = 0; "verity"[at]; at++)
        if (head.magic[at] != "verity"[at])
            fail("read", tree.text, -EINVAL);

    line.size = 0;
    add(&line, "1 ");
    add(&line, data.text);
    add(&line, " ");
    add(&line, tree.text);
    add(&line, " " BLOCK " " BLOCK " ");
    add_decimal(&line, number_at(head.blocks, 8));
    add(&line, " 1 sha256 ");
    add(&line, root->hash_text);
    add(&line, " ");
    for (int at = 0; at < HASH; at++) {
        char digits[3] = {"0123456789abcdef"[head.salt[at] >> 4], "0123456789abcdef"[head.salt[at] & 15], 0};
        add(&line, digits);
    }
    add(&line, " 1 panic_on_corruption");

    long control = sys_open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
    try("open", "/dev/mapper/control", control);
    ask_mapper(control, DM_DEV_CREATE, &create, "create");
    load.flags = DM_READONLY_FLAG;
    load.target_count = 1;
    load.target.length = number_at(head.blocks, 8) * SECTORS_PER_BLOCK;
    for (int at = 0; "verity"[at]; at++)
        load.target.type[at] = "verity"[at];
    for (unsigned int at = 0; at < line.size; at++)
        load.target.parameters[at] = line.text[at];
    ask_mapper(control, DM_TABLE_LOAD, &load, "verify");
    ask_mapper(control, DM_DEV_SUSPEND, &resume, "begin with");
    sys_close(control);
}

static void mount_root(long events, struct verified *root)
{
    find_root(events, root);
    map_root(root);
    try("mount", VERIFIED,
        sys5(NR_mount, (long)VERIFIED, (long)"/newroot", (long)"squashfs", MS_RDONLY | MS_NODEV, 0));
    sys5(NR_unlinkat, AT_FDCWD, (long)"/init", 0, 0, 0);
}

#endif
