/* Hears the machine's power button, and lets the system go down in order: init powers off on SIGUSR2.
 * It looks at every input device there is, and at those that come later, and sleeps otherwise. Where the kernel has no
 * driver for a button on a GPIO line (Debian's for arm64 has none), it looks at the line that the device tree names. */
#include "sys.h"

#define AF_NETLINK 16
#define SOCK_RAW 3
#define SOCK_CLOEXEC 02000000
#define NETLINK_KOBJECT_UEVENT 15
#define POLLIN 1
#define EV_KEY 1
#define KEY_POWER 116
#define KEY_POWER2 356
#define SIGUSR2 12
#define INIT 1
#define DEVICES 32
#define NEWS DEVICES       /* the kernel's news of devices */
#define LINE (DEVICES + 1) /* a button's GPIO line */
#define BUTTON "/proc/device-tree/gpio-keys/poweroff/gpios"
#define GPIO_GET_LINEEVENT_IOCTL 0xC030B404
#define GPIOHANDLE_REQUEST_INPUT 1
#define GPIOEVENT_REQUEST_RISING_EDGE 1

struct poll {
    int fd;
    short events, got;
};

/* struct input_event of linux/input.h */
struct event {
    long seconds, microseconds;
    unsigned short type, code;
    int value;
};

/* struct gpioevent_request of linux/gpio.h */
struct line_request {
    unsigned int line, handle_flags, event_flags;
    char consumer[32];
    int fd;
};

/* One for each of /dev/input/event0 to 31, and the two others behind them; -1 where there is none. */
static struct poll heard[DEVICES + 2];

static void open_new(void)
{
    for (int number = 0; number < DEVICES; number++) {
        struct line path;
        if (heard[number].fd >= 0)
            continue;
        path.size = 0;
        add(&path, "/dev/input/event");
        add_decimal(&path, (unsigned long)number);
        path.text[path.size] = 0;
        long fd = sys_open(path.text, O_RDONLY | O_CLOEXEC);
        heard[number].fd = fd < 0 ? -1 : (int)fd;
    }
}

static void listen_for_devices(void)
{
    struct {
        unsigned short family, pad;
        unsigned int id, groups;
    } address = {AF_NETLINK, 0, 0, 1};
    long fd = sys5(NR_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT, 0, 0);
    if (fd >= 0 && sys5(NR_bind, fd, (long)&address, sizeof(address), 0, 0) == 0)
        heard[NEWS].fd = (int)fd;
}

static void listen_to_line(void)
{
    unsigned char cells[12]; /* the chip, the line and its flags, big-endian */
    struct line_request request = {0, GPIOHANDLE_REQUEST_INPUT, GPIOEVENT_REQUEST_RISING_EDGE, "power", -1};
    long file = sys_open(BUTTON, O_RDONLY | O_CLOEXEC);
    long size = sys5(NR_read, file, (long)cells, sizeof(cells), 0, 0);
    sys_close(file);
    long chip = sys_open("/dev/gpiochip0", O_RDONLY | O_CLOEXEC);
    request.line = cells[7]; /* a chip has no more than a few dozen */
    if (size == (long)sizeof(cells) && chip >= 0 &&
        sys5(NR_ioctl, chip, GPIO_GET_LINEEVENT_IOCTL, (long)&request, 0, 0) == 0)
        heard[LINE].fd = request.fd;
    sys_close(chip);
}

/* Says whether the power key was pressed; a device that has gone is closed. */
static int pressed(struct poll *device)
{
    struct event events[16];
    long size = sys5(NR_read, device->fd, (long)events, sizeof(events), 0, 0);
    if (size <= 0) {
        sys_close(device->fd);
        device->fd = -1;
    }
    for (long i = 0; (i + 1) * (long)sizeof(*events) <= size; i++)
        if (events[i].type == EV_KEY && events[i].value == 1 &&
            (events[i].code == KEY_POWER || events[i].code == KEY_POWER2))
            return 1;
    return 0;
}

__attribute__((used)) void entry(long *stack)
{
    static char news[8192];
    (void)stack;
    for (int i = 0; i <= LINE; i++)
        heard[i] = (struct poll){-1, POLLIN, 0};
    listen_for_devices(); /* before the first look, or one that comes in between would be missed */
    open_new();
    listen_to_line();
    for (;;) {
        int power = 0;
        if (sys5(NR_ppoll, (long)heard, LINE + 1, 0, 0, 0) < 0)
            sys_exit(1);
        for (int i = 0; i < DEVICES; i++)
            power |= heard[i].fd >= 0 && heard[i].got && pressed(&heard[i]);
        if (heard[NEWS].got) {
            sys5(NR_read, heard[NEWS].fd, (long)news, sizeof(news), 0, 0);
            open_new();
        }
        if (heard[LINE].got)
            power |= sys5(NR_read, heard[LINE].fd, (long)news, 16, 0, 0) > 0;
        if (power)
            sys5(NR_kill, INIT, SIGUSR2, 0, 0, 0);
    }
}
