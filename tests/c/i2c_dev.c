// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A kernel's I2C as programs see it, for tests of the tool: a library to preload. /dev/i2c-N is a socket of
 * atecc608-sim, and the kernel's information about it (in /sys, and the list of nodes in /dev) comes from a folder of
 * the test.
 *
 *     I2C_DEV_SOCKETS=1=chip.sock:2=other.sock   buses
 *     I2C_DEV_ROOT=folder                        folder/sys/..., folder/dev/; fstat of a bus is stat of folder/dev/i2c-N
 *     I2C_DEV_DRIVEN=1-60:1-36                   addresses that a kernel driver has: I2C_SLAVE gives EBUSY, as in i2c-dev
 *     I2C_DEV_FOREIGN=1-36                       another device: reads give A5, what is written to it ...
 *     I2C_DEV_CLOSED=1                           a bus whose node this user may not open
 *     I2C_DEV_SMBUS=1                            buses whose adapter does SMBus only: no I2C_RDWR
 *     I2C_DEV_LONGEST=1-61:2-54                  buses whose adapter takes so many bytes in a message: longer ones are EOPNOTSUPP
 *     I2C_DEV_NACK=1-22                          buses whose adapter has this errno for a NACK; others have ENXIO and EREMOTEIO
 *     I2C_DEV_SHORT=1                            buses whose adapter reports a NACK as fewer messages done, as i2c-virtio does
 *     I2C_DEV_GONE=file                          while there is such a file, all adapters are unplugged
 *     I2C_DEV_SIGNALS=1                          a signal arrives every millisecond and during each transfer, whose driver waits for it
 *                                                interruptibly: unless the signal is held back, EINTR, though the chip has seen all of it
 *     I2C_DEV_LOG=file                           ... and every message on a bus is noted here: "1-36 write 0a0b", "1-60 read 4"
 *
 * Implemented is what users of i2c-dev need: open, stat, ioctl (I2C_SLAVE, I2C_FUNCS, I2C_PEC, I2C_RDWR), close. The
 * protocol of the socket is that of src/wire/transfer.rs.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* linux/i2c-dev.h and linux/i2c.h; the headers may not be there. */
#define I2C_SLAVE 0x0703
#define I2C_FUNCS 0x0705
#define I2C_RDWR 0x0707
#define I2C_PEC 0x0708
#define I2C_M_RD 0x0001
#define I2C_FUNC_I2C 0x00000001
#define I2C_FUNC_SMBUS_READ_BYTE 0x00020000

struct message {
    uint16_t address;
    uint16_t flags;
    uint16_t length;
    uint8_t *bytes;
};

struct messages {
    struct message *list;
    uint32_t count;
};

enum { DONE, ADDRESS_NACK, DATA_NACK };
enum { MOST_FILES = 1024, LONGEST = 4096 };

/* The number of the bus behind each of our files, plus one; 0: not our file. */
static int bus_of[MOST_FILES];

static void *next(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL) {
        abort();
    }
    return function;
}

static int failed(int error) {
    errno = error;
    return -1;
}

/* Whether the variable lists this bus and address, "1-60". */
static int listed(const char *variable, int bus, unsigned address) {
    const char *entry = getenv(variable);
    char wanted[16];
    snprintf(wanted, sizeof wanted, "%d-%02x", bus, address);
    while (entry != NULL && *entry != '\0') {
        size_t length = strcspn(entry, ":");
        if (length == strlen(wanted) && strncmp(entry, wanted, length) == 0) {
            return 1;
        }
        entry += length + (entry[length] == ':');
    }
    return 0;
}

/* Whether the variable names this bus. */
static int named(const char *variable, int bus) {
    const char *number = getenv(variable);
    return number != NULL && atoi(number) == bus;
}

/* The number that the variable has for this bus, "1-61"; 0 if none. */
static unsigned number_for(const char *variable, int bus) {
    const char *entry = getenv(variable);
    char *rest;
    while (entry != NULL && *entry != '\0') {
        if (strtol(entry, &rest, 10) == bus && *rest == '-') {
            return (unsigned) strtoul(rest + 1, NULL, 10);
        }
        entry += strcspn(entry, ":");
        entry += *entry == ':';
    }
    return 0;
}

static int is_gone(void) {
    const char *path = getenv("I2C_DEV_GONE");
    return path != NULL && access(path, F_OK) == 0;
}

static void note(int bus, const struct message *message) {
    const char *path = getenv("I2C_DEV_LOG");
    FILE *file = path == NULL ? NULL : fopen(path, "a");
    if (file == NULL) {
        return;
    }
    if (message->flags & I2C_M_RD) {
        fprintf(file, "%d-%02x read %u\n", bus, message->address, message->length);
    } else {
        fprintf(file, "%d-%02x write ", bus, message->address);
        for (unsigned i = 0; i < message->length; i++) {
            fprintf(file, "%02x", message->bytes[i]);
        }
        fputc('\n', file);
    }
    fclose(file);
}

/* The number in /dev/i2c-N if I2C_DEV_SOCKETS has it, with the socket's path; else -1. */
static int find_socket(const char *path, char *socket_path, size_t size) {
    const char *entry = getenv("I2C_DEV_SOCKETS");
    const char *number;
    if (path == NULL || strncmp(path, "/dev/i2c-", 9) != 0) {
        return -1;
    }
    number = path + 9;
    while (entry != NULL && *entry != '\0') {
        size_t end = strcspn(entry, ":"), length = strlen(number);
        if (end > length + 1 && strncmp(entry, number, length) == 0 && entry[length] == '=') {
            snprintf(socket_path, size, "%.*s", (int) (end - length - 1), entry + length + 1);
            return atoi(number);
        }
        entry += end + (entry[end] == ':');
    }
    return -1;
}

static int open_bus(int bus, const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (is_gone()) {
        return failed(ENOENT);
    }
    if (named("I2C_DEV_CLOSED", bus)) {
        return failed(EACCES);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(path) >= sizeof address.sun_path) {
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd >= MOST_FILES || connect(fd, (struct sockaddr *) &address, sizeof address) != 0) {
        close(fd);
        return failed(ENODEV);
    }
    bus_of[fd] = bus + 1;
    return fd;
}

/* The path in the test's folder if it is one of those that come from there, else itself. */
static const char *moved(const char *path, char *buffer, size_t size) {
    const char *root = getenv("I2C_DEV_ROOT");
    if (root == NULL || path == NULL
        || (strncmp(path, "/sys/bus/i2c/", 13) != 0 && strcmp(path, "/dev") != 0 && strncmp(path, "/dev/i2c-", 9) != 0)) {
        return path;
    }
    snprintf(buffer, size, "%s%s", root, path);
    return buffer;
}

/* Whether the path is a node of the test's folder that no socket serves: stat finds it, open does not. */
static int is_unserved(const char *path) {
    return path != NULL && getenv("I2C_DEV_ROOT") != NULL && strncmp(path, "/dev/i2c-", 9) == 0;
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...) {                                                                       \
        int (*function)(const char *, int, ...);                                                                       \
        char buffer[4096];                                                                                             \
        mode_t mode = 0;                                                                                               \
        int bus = find_socket(path, buffer, sizeof buffer);                                                            \
        if (bus >= 0) {                                                                                                \
            return open_bus(bus, buffer);                                                                              \
        }                                                                                                              \
        if (is_unserved(path)) {                                                                                       \
            return failed(ENOENT);                                                                                     \
        }                                                                                                              \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                                           \
            va_list arguments;                                                                                         \
            va_start(arguments, flags);                                                                                \
            mode = va_arg(arguments, mode_t);                                                                          \
            va_end(arguments);                                                                                         \
        }                                                                                                              \
        *(void **) &function = next(#name);                                                                            \
        return function(moved(path, buffer, sizeof buffer), flags, mode);                                              \
    }

OPEN(open)
OPEN(open64)

DIR *opendir(const char *path) {
    DIR *(*function)(const char *);
    char buffer[4096];
    *(void **) &function = next("opendir");
    return function(moved(path, buffer, sizeof buffer));
}

ssize_t readlink(const char *restrict path, char *restrict target, size_t size) {
    ssize_t (*function)(const char *, char *, size_t);
    char buffer[4096];
    *(void **) &function = next("readlink");
    return function(moved(path, buffer, sizeof buffer), target, size);
}

/* The path of the node that one of our files represents; NULL for others. */
static const char *node_of(int fd, char *buffer, size_t size) {
    char node[32];
    if (fd < 0 || fd >= MOST_FILES || bus_of[fd] == 0) {
        return NULL;
    }
    snprintf(node, sizeof node, "/dev/i2c-%d", bus_of[fd] - 1);
    if (moved(node, buffer, size) != buffer) {
        snprintf(buffer, size, "%s", node);
    }
    return buffer;
}

/* A file of the test's folder stands for a node, and is told as one. Where there is none, one of our files is what it is. */
int statx(int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict result) {
    int (*function)(int, const char *, int, unsigned, struct statx *);
    char buffer[4096];
    /* Rust's library calls it with NULL to test whether it exists, which the header excludes. */
    const char *volatile given = path;
    const char *node = given != NULL && *given == '\0' ? node_of(folder, buffer, sizeof buffer) : NULL;
    *(void **) &function = next("statx");
    if (given != NULL && strncmp(given, "/dev/i2c-", 9) == 0) {
        node = moved(given, buffer, sizeof buffer);
    }
    if (node != NULL && function(AT_FDCWD, node, 0, mask, result) == 0) {
        result->stx_mode = (uint16_t) ((result->stx_mode & ~S_IFMT) | S_IFCHR);
        return 0;
    }
    return function(folder, moved(given, buffer, sizeof buffer), flags, mask, result);
}

#define FSTAT(name, path_name, type)                                                                                   \
    int name(int fd, struct type *result) {                                                                            \
        int (*function)(int, struct type *);                                                                           \
        int (*by_path)(const char *, struct type *);                                                                   \
        char buffer[4096];                                                                                             \
        const char *node = node_of(fd, buffer, sizeof buffer);                                                         \
        *(void **) &by_path = next(#path_name);                                                                        \
        *(void **) &function = next(#name);                                                                            \
        return node != NULL && by_path(node, result) == 0 ? 0 : function(fd, result);                                  \
    }

FSTAT(fstat, stat, stat)
FSTAT(fstat64, stat64, stat64)

/* How many signals this thread was interrupted by. */
static __thread volatile sig_atomic_t interruptions;

static void interrupt(int number) {
    (void) number;
    interruptions++;
}

/* Without SA_RESTART: what waits comes back with EINTR. */
__attribute__((constructor)) static void start_signals(void) {
    struct sigaction action = {.sa_handler = interrupt};
    struct itimerval each = {{0, 1000}, {0, 1000}};
    if (getenv("I2C_DEV_SIGNALS") != NULL && (sigaction(SIGALRM, &action, NULL) != 0 || setitimer(ITIMER_REAL, &each, NULL) != 0)) {
        abort();
    }
}

static int send_all(int fd, const uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return 0;
        }
        bytes += sent > 0 ? sent : 0;
        length -= sent > 0 ? (size_t) sent : 0;
    }
    return 1;
}

static int receive_all(int fd, uint8_t *bytes, size_t length) {
    while (length > 0) {
        ssize_t received = recv(fd, bytes, length, 0);
        if (received == 0 || (received < 0 && errno != EINTR)) {
            return 0;
        }
        bytes += received > 0 ? received : 0;
        length -= received > 0 ? (size_t) received : 0;
    }
    return 1;
}

static int transfer(int fd, const struct messages *messages) {
    uint8_t request[1 + 5 * 8 + LONGEST], reply[2];
    size_t length = 1;
    int bus = bus_of[fd] - 1;
    unsigned longest = number_for("I2C_DEV_LONGEST", bus), nack = number_for("I2C_DEV_NACK", bus);
    if (is_gone()) {
        return failed(ENODEV);
    }
    if (messages->count == 0 || messages->count > 8) {
        return failed(EINVAL);
    }
    request[0] = (uint8_t) messages->count;
    for (uint32_t i = 0; i < messages->count; i++) {
        const struct message *message = &messages->list[i];
        if (longest != 0 && message->length > longest) {
            return failed(EOPNOTSUPP);
        }
        note(bus, message);
        if (listed("I2C_DEV_FOREIGN", bus, message->address)) {
            if (message->flags & I2C_M_RD) {
                memset(message->bytes, 0xA5, message->length);
            }
            return (int) messages->count;
        }
        if (message->length > LONGEST / 8) {
            return failed(EINVAL);
        }
        request[length++] = message->flags & I2C_M_RD;
        request[length++] = (uint8_t) message->address;
        request[length++] = (uint8_t) message->length;
        request[length++] = (uint8_t) (message->length >> 8);
        if (!(message->flags & I2C_M_RD)) {
            memcpy(request + length, message->bytes, message->length);
            length += message->length;
        }
    }
    if (!send_all(fd, request, length) || !receive_all(fd, reply, 2)) {
        return failed(EIO);
    }
    if (reply[0] == ADDRESS_NACK || reply[0] == DATA_NACK) {
        if (named("I2C_DEV_SHORT", bus)) {
            /* The message that was not done, counted from 0. The buffers stay as they are. */
            return reply[1];
        }
        if (nack != 0) {
            return failed((int) nack);
        }
    }
    if (reply[0] != DONE) {
        return failed(reply[0] == ADDRESS_NACK ? ENXIO : reply[0] == DATA_NACK ? EREMOTEIO : EIO);
    }
    for (uint32_t i = 0; i < messages->count; i++) {
        const struct message *message = &messages->list[i];
        if ((message->flags & I2C_M_RD) && !receive_all(fd, message->bytes, message->length)) {
            return failed(EIO);
        }
    }
    if (getenv("I2C_DEV_SIGNALS") != NULL) {
        sig_atomic_t before = interruptions;
        raise(SIGALRM);
        if (interruptions != before) {
            return failed(EINTR);
        }
    }
    return (int) messages->count;
}

int ioctl(int fd, unsigned long request, ...) {
    int (*function)(int, unsigned long, ...);
    unsigned address;
    va_list arguments;
    void *argument;
    va_start(arguments, request);
    argument = va_arg(arguments, void *);
    va_end(arguments);
    if (fd < 0 || fd >= MOST_FILES || bus_of[fd] == 0) {
        *(void **) &function = next("ioctl");
        return function(fd, request, argument);
    }
    /* Callers pass an int where the kernel takes a long: the upper half is undefined. */
    address = (unsigned) (uintptr_t) argument;
    switch (request) {
    case I2C_SLAVE:
        if (address > 0x7F) {
            return failed(EINVAL);
        }
        return listed("I2C_DEV_DRIVEN", bus_of[fd] - 1, address) ? failed(EBUSY) : 0;
    case I2C_FUNCS:
        *(unsigned long *) argument = named("I2C_DEV_SMBUS", bus_of[fd] - 1) ? I2C_FUNC_SMBUS_READ_BYTE : I2C_FUNC_I2C;
        return 0;
    case I2C_PEC:
        /* Packet error checks are switched off: nothing to do. */
        return 0;
    case I2C_RDWR:
        if (named("I2C_DEV_SMBUS", bus_of[fd] - 1)) {
            return failed(EOPNOTSUPP);
        }
        return transfer(fd, argument);
    default:
        return failed(ENOTTY);
    }
}

int close(int fd) {
    int (*function)(int);
    if (fd >= 0 && fd < MOST_FILES) {
        bus_of[fd] = 0;
    }
    *(void **) &function = next("close");
    return function(fd);
}
