/*
 * Linux I2C devices that are sockets of atecc608-sim: preload it, and a program that knows only the kernel's interface
 * (open /dev/i2c-N, ioctl I2C_SLAVE, read, write, close) talks to the simulated chip.
 *
 *     I2C_SHIM=20=chip.sock:21=other.sock LD_PRELOAD=./i2c_shim.so program
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
#include <sys/un.h>
#include <unistd.h>

/* linux/i2c-dev.h; the header may not be there. */
#define I2C_SLAVE 0x0703
#define I2C_SLAVE_FORCE 0x0706
/* The kernel's limit of one read or write of an I2C device. */
#define LONGEST 8192
#define MOST_FILES 1024

enum { DONE, ADDRESS_NACK, DATA_NACK };

/* The address set on each of our files, plus one; 0: not our file. One thread opens files, as the driver does. */
static unsigned char slave[MOST_FILES];

static int ours(int fd) { return fd >= 0 && fd < MOST_FILES && slave[fd] != 0; }

static void *next(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL) {
        abort();
    }
    return function;
}

static ssize_t next_read(int fd, void *buffer, size_t count) {
    static ssize_t (*function)(int, void *, size_t);
    if (function == NULL) {
        *(void **) &function = next("read");
    }
    return function(fd, buffer, count);
}

static ssize_t next_write(int fd, const void *buffer, size_t count) {
    static ssize_t (*function)(int, const void *, size_t);
    if (function == NULL) {
        *(void **) &function = next("write");
    }
    return function(fd, buffer, count);
}

static int next_close(int fd) {
    static int (*function)(int);
    if (function == NULL) {
        *(void **) &function = next("close");
    }
    return function(fd);
}

/* The socket that stands for the bus with this number, from I2C_SHIM. */
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
    return 0;
}

/* Opens the bus if the path names one of ours: 1 and the file (or -1 with errno) in *fd; else 0. */
static int open_bus(const char *path, int *fd) {
    static const char prefix[] = "/dev/i2c-";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || strncmp(path, prefix, sizeof prefix - 1) != 0) {
        return 0;
    }
    if (!find_socket(path + sizeof prefix - 1, address.sun_path, sizeof address.sun_path)) {
        return 0;
    }
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0) {
        return 1;
    }
    if (*fd >= MOST_FILES || connect(*fd, (struct sockaddr *) &address, sizeof address) != 0) {
        next_close(*fd);
        *fd = -1;
        errno = ENODEV;
        return 1;
    }
    /* Until I2C_SLAVE says otherwise a file talks to address 0, as the kernel's does. */
    slave[*fd] = 1;
    return 1;
}

static int send_all(int fd, const uint8_t *bytes, size_t count) {
    while (count > 0) {
        ssize_t sent = next_write(fd, bytes, count);
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
        ssize_t received = next_read(fd, bytes, count);
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

static ssize_t failed(int error) {
    errno = error;
    return -1;
}

/* One transfer of one segment. `in` is what to write, or NULL to read into `out`. */
static ssize_t transfer(int fd, const uint8_t *in, uint8_t *out, size_t count) {
    uint8_t request[5 + LONGEST], reply[2];
    size_t length = 5;
    if (count > LONGEST) {
        count = LONGEST;
    }
    request[0] = 1;
    request[1] = in == NULL;
    request[2] = slave[fd] - 1;
    request[3] = (uint8_t) count;
    request[4] = (uint8_t) (count >> 8);
    if (in != NULL) {
        memcpy(request + length, in, count);
        length += count;
    }
    if (!send_all(fd, request, length) || !receive_all(fd, reply, sizeof reply)) {
        return failed(EIO);
    }
    switch (reply[0]) {
    case DONE:
        if (in == NULL && !receive_all(fd, out, count)) {
            return failed(EIO);
        }
        return (ssize_t) count;
    case ADDRESS_NACK:
        return failed(ENXIO);
    case DATA_NACK:
        return failed(EREMOTEIO);
    default:
        return failed(EIO);
    }
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        static int (*function)(const char *, int, ...);                                                                \
        mode_t mode = 0;                                                                                               \
        int fd;                                                                                                        \
        if (open_bus(path, &fd)) {                                                                                     \
            return fd;                                                                                                 \
        }                                                                                                              \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                           \
            va_list arguments;                                                                                         \
            va_start(arguments, flags);                                                                                \
            mode = va_arg(arguments, mode_t);                                                                          \
            va_end(arguments);                                                                                         \
        }                                                                                                              \
        if (function == NULL) {                                                                                        \
            *(void **) &function = next(#name);                                                                        \
        }                                                                                                              \
        return function(path, flags, mode);                                                                            \
    }

OPEN(open)
OPEN(open64)

int ioctl(int fd, unsigned long request, ...) {
    static int (*function)(int, unsigned long, ...);
    va_list arguments;
    void *argument;
    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (ours(fd)) {
        uintptr_t address = (uintptr_t) argument;
        if (request != I2C_SLAVE && request != I2C_SLAVE_FORCE) {
            return (int) failed(ENOTTY);
        }
        if (address > 0x7F) {
            return (int) failed(EINVAL);
        }
        slave[fd] = (unsigned char) (address + 1);
        return 0;
    }
    if (function == NULL) {
        *(void **) &function = next("ioctl");
    }
    return function(fd, request, argument);
}

ssize_t read(int fd, void *buffer, size_t count) {
    return ours(fd) ? transfer(fd, NULL, buffer, count) : next_read(fd, buffer, count);
}

ssize_t write(int fd, const void *buffer, size_t count) {
    return ours(fd) ? transfer(fd, buffer, NULL, count) : next_write(fd, buffer, count);
}

int close(int fd) {
    if (ours(fd)) {
        slave[fd] = 0;
    }
    return next_close(fd);
}
