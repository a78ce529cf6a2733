// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Linux I2C devices that are sockets of atecc608-sim: with this library preloaded, a program that knows only the
 * kernel's interface (open /dev/i2c-N, ioctl I2C_SLAVE and I2C_RDWR, read, write, close) talks to the simulated chip.
 *
 *     I2C_SHIM=20=chip.sock:21=other.sock LD_PRELOAD=./i2c_shim.so program
 *
 * A bus that I2C_SHIM does not name is the socket /run/i2c-shim/N, if it is there. If there is a node /dev/i2c-N its
 * permissions apply, and fstat returns it; no driver is needed.
 *
 * The protocol of the socket is that of src/wire/transfer.rs: one request is one transfer, START to STOP.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* linux/i2c-dev.h; the header may not be there. */
#define I2C_SLAVE 0x0703
#define I2C_FUNCS 0x0705
#define I2C_SLAVE_FORCE 0x0706
#define I2C_RDWR 0x0707
#define I2C_PEC 0x0708
#define I2C_M_RD 0x0001
#define I2C_FUNC_I2C 0x0001
struct i2c_msg {
    uint16_t addr, flags, len;
    uint8_t *buf;
};
struct i2c_rdwr_ioctl_data {
    struct i2c_msg *msgs;
    uint32_t nmsgs;
};
/* The kernel's limit of messages in one I2C_RDWR. */
#define MOST_MESSAGES 42
/* The kernel's limit of one read or write of an I2C device. */
#define LONGEST 8192
#define MOST_FILES 1024

enum { DONE, ADDRESS_NACK, DATA_NACK };

/* The address set on each of our files, plus one; 0: not our file. One thread opens files, as the driver does. */
static unsigned char slave[MOST_FILES];
/* The socket behind each of our files. */
static int wire[MOST_FILES];
/* The path that each of our files was opened by. */
static char node[MOST_FILES][32];

static int ours(int fd) { return fd >= 0 && fd < MOST_FILES && slave[fd] != 0; }

typedef int opener(const char *, int, ...);

/* The C library's own. */
static struct {
    opener *open, *open64;
    ssize_t (*read)(int, void *, size_t);
    ssize_t (*write)(int, const void *, size_t);
    int (*close)(int);
    int (*ioctl)(int, unsigned long, ...);
    int (*stat)(const char *, struct stat *);
    int (*fstat)(int, struct stat *);
    int (*stat64)(const char *, struct stat64 *);
    int (*fstat64)(int, struct stat64 *);
    int (*statx)(int, const char *, int, unsigned, struct statx *);
} next;

static void find(void *function, const char *name) {
    *(void **) function = dlsym(RTLD_NEXT, name);
    if (*(void **) function == NULL) {
        abort();
    }
}

/*
 * Before a program has a second thread, or when a library that is set up earlier calls one of ours. A thread that looked them up
 * would wait for the loader's lock, and dlopen holds it while it waits for a thread that a library starts (opensc-pkcs11.so).
 */
__attribute__((constructor)) static void find_next(void) {
    if (next.ioctl == NULL) {
        find(&next.open, "open");
        find(&next.open64, "open64");
        find(&next.read, "read");
        find(&next.write, "write");
        find(&next.close, "close");
        find(&next.stat, "stat");
        find(&next.fstat, "fstat");
        find(&next.stat64, "stat64");
        find(&next.fstat64, "fstat64");
        find(&next.statx, "statx");
        find(&next.ioctl, "ioctl");
    }
}

/* The socket that stands for the bus with this number: I2C_SHIM's, else the usual one. */
static int find_socket(const char *number, char *path, size_t size) {
    const char *entry = getenv("I2C_SHIM");
    size_t length = strlen(number);
    while (entry != NULL && *entry != '\0') {
        size_t end = strcspn(entry, ":");
        if (end > length + 1 && strncmp(entry, number, length) == 0 && entry[length] == '=') {
            return snprintf(path, size, "%.*s", (int) (end - length - 1), entry + length + 1) < (int) size;
        }
        entry += end + (entry[end] == ':');
    }
    return snprintf(path, size, "/run/i2c-shim/%s", number) < (int) size && access(path, F_OK) == 0;
}

static ssize_t failed(int error) {
    errno = error;
    return -1;
}

static int connected(const struct sockaddr_un *address) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *) address, sizeof *address) != 0) {
        next.close(fd);
        return (int) failed(ENODEV);
    }
    return fd;
}

/* Opens the bus if the path names one of ours: 1 and the file (or -1 with errno) in *fd; else 0. */
static int open_bus(opener *function, const char *path, int flags, int *fd) {
    static const char prefix[] = "/dev/i2c-";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || strncmp(path, prefix, sizeof prefix - 1) != 0) {
        return 0;
    }
    if (!find_socket(path + sizeof prefix - 1, address.sun_path, sizeof address.sun_path)) {
        return 0;
    }
    *fd = function(path, flags);
    if (*fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV)) {
        *fd = function("/dev/null", flags);
    }
    if (*fd < 0) {
        return 1;
    }
    if (*fd >= MOST_FILES || (wire[*fd] = connected(&address)) < 0) {
        next.close(*fd);
        *fd = (int) failed(ENODEV);
        return 1;
    }
    /* Until I2C_SLAVE says otherwise a file talks to address 0, as the kernel's does. */
    slave[*fd] = 1;
    snprintf(node[*fd], sizeof node[*fd], "%s", path);
    return 1;
}

static int send_all(int fd, const uint8_t *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = next.write(fd, bytes, count);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return 0;
        }
        bytes += sent;
        count -= (size_t) sent;
    }
    return 1;
}

static int receive_all(int fd, uint8_t *bytes, size_t count) {
    while (count > 0) {
        ssize_t received = next.read(fd, bytes, count);
        if (received < 0 && errno == EINTR) {
            continue;
        }
        if (received <= 0) {
            return 0;
        }
        bytes += received;
        count -= (size_t) received;
    }
    return 1;
}

/* One transfer, START to STOP: how many messages were transferred, or -1 with errno. */
static ssize_t transfer(int fd, const struct i2c_msg *messages, size_t count) {
    uint8_t request[1 + MOST_MESSAGES * 4 + LONGEST], reply[2];
    size_t length = 1, written = 0, number;
    if (count > MOST_MESSAGES) {
        return failed(EINVAL);
    }
    request[0] = (uint8_t) count;
    for (number = 0; number < count; number++) {
        const struct i2c_msg *message = &messages[number];
        written += message->flags & I2C_M_RD ? 0 : message->len;
        if (message->len > LONGEST || written > LONGEST || message->addr > 0x7F) {
            return failed(EINVAL);
        }
        request[length++] = message->flags & I2C_M_RD;
        request[length++] = (uint8_t) message->addr;
        request[length++] = (uint8_t) message->len;
        request[length++] = (uint8_t) (message->len >> 8);
        if (!(message->flags & I2C_M_RD)) {
            memcpy(request + length, message->buf, message->len);
            length += message->len;
        }
    }
    if (!send_all(wire[fd], request, length) || !receive_all(wire[fd], reply, sizeof reply)) {
        return failed(EIO);
    }
    if (reply[0] != DONE) {
        return failed(reply[0] == ADDRESS_NACK ? ENXIO : reply[0] == DATA_NACK ? EREMOTEIO : EIO);
    }
    for (number = 0; number < count; number++) {
        const struct i2c_msg *message = &messages[number];
        if ((message->flags & I2C_M_RD) && !receive_all(wire[fd], message->buf, message->len)) {
            return failed(EIO);
        }
    }
    return (ssize_t) count;
}

/* read and write: a transfer of one message with the file's address. */
static ssize_t one_message(int fd, uint16_t flags, void *buffer, size_t count) {
    struct i2c_msg message = {.addr = slave[fd] - 1, .flags = flags, .buf = buffer};
    message.len = (uint16_t) (count > LONGEST ? LONGEST : count);
    return transfer(fd, &message, 1) < 0 ? -1 : (ssize_t) message.len;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        mode_t mode = 0;                                                                                               \
        int fd;                                                                                                        \
        find_next();                                                                                                   \
        if (open_bus(next.name, path, flags, &fd)) {                                                                    \
            return fd;                                                                                                 \
        }                                                                                                              \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                           \
            va_list arguments;                                                                                         \
            va_start(arguments, flags);                                                                                \
            mode = va_arg(arguments, mode_t);                                                                          \
            va_end(arguments);                                                                                         \
        }                                                                                                              \
        return next.name(path, flags, mode);                                                                           \
    }

OPEN(open)
OPEN(open64)

static int ours_ioctl(int fd, unsigned long request, void *argument) {
    const struct i2c_rdwr_ioctl_data *messages = argument;
    /* An address may be passed as an int: the rest of the register is undefined. */
    uint32_t address = (uint32_t) (uintptr_t) argument;
    switch (request) {
    case I2C_RDWR:
        return (int) transfer(fd, messages->msgs, messages->nmsgs);
    case I2C_FUNCS:
        *(unsigned long *) argument = I2C_FUNC_I2C;
        return 0;
    case I2C_SLAVE:
    case I2C_SLAVE_FORCE:
        if (address > 0x7F) {
            return (int) failed(EINVAL);
        }
        slave[fd] = (unsigned char) (address + 1);
        return 0;
    case I2C_PEC:
        return address == 0 ? 0 : (int) failed(EINVAL);
    default:
        return (int) failed(ENOTTY);
    }
}

int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    void *argument;
    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (ours(fd)) {
        return ours_ioctl(fd, request, argument);
    }
    find_next();
    return next.ioctl(fd, request, argument);
}

ssize_t read(int fd, void *buffer, size_t count) {
    find_next();
    return ours(fd) ? one_message(fd, I2C_M_RD, buffer, count) : next.read(fd, buffer, count);
}

ssize_t write(int fd, const void *buffer, size_t count) {
    find_next();
    return ours(fd) ? one_message(fd, 0, (void *) (uintptr_t) buffer, count) : next.write(fd, buffer, count);
}

/* A file of ours may be /dev/null: what it stands for lies at its path, if anything does. */
int fstat(int fd, struct stat *result) {
    find_next();
    return ours(fd) && next.stat(node[fd], result) == 0 ? 0 : next.fstat(fd, result);
}

int fstat64(int fd, struct stat64 *result) {
    find_next();
    return ours(fd) && next.stat64(node[fd], result) == 0 ? 0 : next.fstat64(fd, result);
}

int statx(int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict result) {
    /* Rust's library calls it with NULL to test whether it exists, which the header excludes. */
    const char *volatile given = path;
    find_next();
    if (ours(folder) && given != NULL && *given == '\0' && next.statx(AT_FDCWD, node[folder], 0, mask, result) == 0) {
        return 0;
    }
    return next.statx(folder, given, flags, mask, result);
}

int close(int fd) {
    find_next();
    if (ours(fd)) {
        slave[fd] = 0;
        next.close(wire[fd]);
    }
    return next.close(fd);
}
