/* The mark of a step with the machine's own count since power-on, and its witness: the same words leave as a frame of the
 * network right after, so that QEMU writes down by its own clock when they did (docs/architecture.md). */
#ifndef STEP_H
#define STEP_H
#include "sys.h"

#define AF_PACKET 17
#define SOCK_RAW 3
#define SOCK_CLOEXEC O_CLOEXEC
#define SIOCGIFNAME 0x8910
#define SIOCGIFFLAGS 0x8913
#define SIOCSIFFLAGS 0x8914
#define SIOCGIFHWADDR 0x8927
#define SIOCGIFINDEX 0x8933
#define IFF_UP 1
#define ARPHRD_ETHER 1
#define LAST_INTERFACE 16 /* among the first are the machine's own */

#if defined(__s390x__)
#define NETWORK_ORDER(number) (number)
#else
#define NETWORK_ORDER(number) ((unsigned short)(((number) & 255) << 8 | (number) >> 8))
#endif
/* IEEE 802: for local experiments. No IP, so nobody on the way opens a socket for it or answers, and who sends one needs
 * the right to send raw frames. */
#define WITNESS NETWORK_ORDER(0x88b5)

/* struct ifreq of linux/if.h */
struct interface {
    char name[16];
    union {
        int index;
        short flags;
        unsigned short family;
        struct {
            unsigned short family;
            char bytes[14];
        } address;
        char room[24];
    } is;
};

/* struct sockaddr_ll of linux/if_packet.h */
struct address {
    unsigned short family, protocol;
    int index;
    unsigned short hardware;
    unsigned char type, size, bytes[8];
};

struct frame {
    unsigned char to[6], from[6];
    unsigned short kind;
    char words[256];
} __attribute__((packed));

/* The first Ethernet interface; 0 where there is none. */
static int ethernet(long fd, struct interface *found)
{
    for (int index = 1; index <= LAST_INTERFACE; index++) {
        memset(found, 0, sizeof(*found));
        found->is.index = index;
        if (sys5(NR_ioctl, fd, SIOCGIFNAME, (long)found, 0, 0) < 0)
            continue;
        if (sys5(NR_ioctl, fd, SIOCGIFHWADDR, (long)found, 0, 0) == 0 && found->is.family == ARPHRD_ETHER)
            return 1;
    }
    return 0;
}

/* Sends the line to everybody on the first network, which is left as it was: up, or down. */
static void send(const char *line, unsigned int size)
{
    static struct frame frame;
    struct address everybody = {AF_PACKET, WITNESS, 0, 0, 0, 6, {255, 255, 255, 255, 255, 255}};
    struct interface card;
    long fd = sys5(NR_socket, AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0, 0, 0);
    if (fd < 0 || size > sizeof(frame.words) || !ethernet(fd, &card))
        return;
    frame.kind = WITNESS;
    for (unsigned int at = 0; at < 6; at++)
        frame.to[at] = 255, frame.from[at] = (unsigned char)card.is.address.bytes[at];
    for (unsigned int at = 0; at < size; at++)
        frame.words[at] = line[at];
    sys5(NR_ioctl, fd, SIOCGIFFLAGS, (long)&card, 0, 0);
    short flags = card.is.flags;
    card.is.flags = (short)(flags | IFF_UP);
    if (!(flags & IFF_UP))
        sys5(NR_ioctl, fd, SIOCSIFFLAGS, (long)&card, 0, 0);
    sys5(NR_ioctl, fd, SIOCGIFINDEX, (long)&card, 0, 0);
    everybody.index = card.is.index;
    sys6(NR_sendto, fd, (long)&frame, 14 + size, 0, (long)&everybody, sizeof(everybody));
    card.is.flags = flags;
    if (!(flags & IFF_UP))
        sys5(NR_ioctl, fd, SIOCSIFFLAGS, (long)&card, 0, 0);
}

/* Writes the mark of `step`; `witnessed`: and sends it. */
static void say_step(const char *step, int witnessed)
{
    struct line line;
    line.size = 0;
    add(&line, MARK);
    add(&line, step);
    add(&line, " counter=");
    long fd = open_log();
    /* last, so that the kernel's stamp of this line belongs to the same moment */
    add_hex(&line, counter());
    say_to(fd, &line);
    if (witnessed)
        send(line.text + sizeof(LEVEL) - 1, line.size - (sizeof(LEVEL) - 1));
}

#endif
