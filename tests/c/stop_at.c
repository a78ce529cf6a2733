// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Runs a program and disturbs it at its Nth step, for tests of killed processes and failing disks.
 *
 *     stop_at REPORT MODE N FOLDERS SPARED PROGRAM [ARGUMENT...]
 *
 *     REPORT    file for one line per step
 *     MODE      kill: the program dies (SIGKILL) before its Nth step
 *               full, readonly: from the Nth step on, every step that changes a file fails with ENOSPC or EROFS
 *     N         from 1; 0: nothing is disturbed
 *     FOLDERS   steps are the system calls that change files in these folders (separated by colons) ...
 *     SPARED    ... except files whose name has this prefix, with or without a dot before it; "-" spares none
 *
 * With "kill", a write to a socket is a step, too: a transfer on a simulated bus. The file "log" never counts. The exit status is the
 * program's, 137 if it was killed.
 *
 * The kernel asks this program about each such system call (seccomp's user notification), in all threads and child processes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where a system call names its file: a descriptor, a path, or a descriptor of a folder and a path. */
enum place { DESCRIPTOR, PATH, AT };

static const struct call {
    int number;
    const char *name;
    enum place place;
} CALLS[] = {
    {SYS_openat, "create", AT},
    {SYS_mkdirat, "mkdir", AT},
    {SYS_unlinkat, "unlink", AT},
    {SYS_linkat, "link", AT},
    {SYS_fchmodat, "chmod", AT},
    {SYS_fchownat, "chown", AT},
#ifdef SYS_renameat
    {SYS_renameat, "rename", AT},
#endif
    {SYS_renameat2, "rename", AT},
#ifdef SYS_open
    {SYS_open, "create", PATH},
    {SYS_mkdir, "mkdir", PATH},
    {SYS_unlink, "unlink", PATH},
    {SYS_rmdir, "unlink", PATH},
    {SYS_rename, "rename", PATH},
    {SYS_link, "link", PATH},
    {SYS_chmod, "chmod", PATH},
#endif
    {SYS_write, "write", DESCRIPTOR},
    {SYS_writev, "write", DESCRIPTOR},
    {SYS_pwrite64, "write", DESCRIPTOR},
    {SYS_sendto, "write", DESCRIPTOR},
    {SYS_sendmsg, "write", DESCRIPTOR},
    {SYS_ftruncate, "truncate", DESCRIPTOR},
#ifdef SYS_ftruncate64
    {SYS_ftruncate64, "truncate", DESCRIPTOR},
#endif
    {SYS_fchmod, "chmod", DESCRIPTOR},
    {SYS_fchown, "chown", DESCRIPTOR},
    {SYS_fsync, "fsync", DESCRIPTOR},
    {SYS_fdatasync, "fsync", DESCRIPTOR},
};

#define COUNT (sizeof CALLS / sizeof *CALLS)

static void check(int failed, const char *what) {
    if (failed) {
        perror(what);
        exit(126);
    }
}

/* The kernel reports these calls, and opens only if they may create a file. */
static int install(void) {
    struct sock_filter filter[3 * COUNT + 8];
    size_t n = 0;
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < COUNT; i++) {
        int number = CALLS[i].number;
        if (strcmp(CALLS[i].name, "create") != 0) {
            filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
            filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
            continue;
        }
        int flags = CALLS[i].place == AT ? 2 : 1;
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 4);
        filter[n++] = (struct sock_filter)BPF_STMT(
            BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * flags);
        filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_CREAT, 0, 1);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
        filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {n, filter};
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0, "PR_SET_NO_NEW_PRIVS");
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* What a link in /proc of the process leads to. */
static void follow(pid_t pid, const char *link, char *path) {
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/%s", pid, link);
    ssize_t length = readlink(name, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
}

static void descriptor(pid_t pid, int number, char *path) {
    char link[32];
    if (number == AT_FDCWD)
        strcpy(link, "cwd");
    else
        snprintf(link, sizeof link, "fd/%d", number);
    follow(pid, link, path);
}

/* The path of the file that the call is about: room for a folder's path and a name. */
#define ROOM (2 * PATH_MAX)

static void path_of(const struct seccomp_notif *request, enum place place, char *path) {
    const __u64 *arguments = request->data.args;
    if (place == DESCRIPTOR) {
        descriptor(request->pid, arguments[0], path);
        return;
    }
    char named[PATH_MAX] = "";
    struct iovec here = {named, 1}, there = {(void *)(uintptr_t)arguments[place == AT], 1};
    /* Byte by byte: what follows the text may not be there. */
    for (size_t i = 0; i < sizeof named - 1; i++) {
        if (process_vm_readv(request->pid, &here, 1, &there, 1, 0) != 1 || named[i] == 0)
            break;
        here.iov_base = named + i + 1;
        there.iov_base = (char *)there.iov_base + 1;
    }
    if (named[0] == '/') {
        strcpy(path, named);
        return;
    }
    descriptor(request->pid, place == AT ? (int)arguments[0] : AT_FDCWD, path);
    strcat(path, "/");
    strcat(path, named);
}

static int is_in(const char *folders, const char *path) {
    for (const char *folder = folders; *folder;) {
        size_t length = strcspn(folder, ":");
        if (strncmp(path, folder, length) == 0 && path[length] == '/')
            return 1;
        folder += length + (folder[length] == ':');
    }
    return 0;
}

static int is_spared(const char *spared, const char *path) {
    const char *name = strrchr(path, '/') + 1;
    return strcmp(name, "log") == 0 || strncmp(name + (*name == '.'), spared, strlen(spared)) == 0;
}

int main(int argc, char **argv) {
    if (argc < 7) {
        fprintf(stderr, "stop_at REPORT MODE N FOLDERS SPARED PROGRAM [ARGUMENT...]\n");
        return 126;
    }
    int kills = strcmp(argv[2], "kill") == 0;
    int error = strcmp(argv[2], "full") == 0 ? ENOSPC : EROFS;
    long disturbed = atol(argv[3]), step = 0;
    FILE *report = fopen(argv[1], "we");
    check(report == NULL, argv[1]);

    /* Both have the same descriptors until the child executes the program. */
    volatile int *listener = mmap(NULL, sizeof *listener, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(listener == MAP_FAILED, "mmap");
    *listener = -1;
    pid_t child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
    check(child < 0, "clone");
    if (child == 0) {
        /* A group of its own: it dies with its children. */
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int installed = install();
        *listener = installed < 0 ? -2 : installed;
        if (installed >= 0)
            execvp(argv[6], argv + 6);
        _exit(126);
    }
    while (*listener == -1)
        usleep(50);
    if (*listener < 0) {
        fprintf(stderr, "stop_at: this kernel has no seccomp user notification\n");
        return 125;
    }

    struct pollfd ready = {*listener, POLLIN, 0};
    while (poll(&ready, 1, -1) < 0 || !(ready.revents & POLLHUP)) {
        struct seccomp_notif request;
        memset(&request, 0, sizeof request);
        if (ioctl(*listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0)
            continue;
        struct seccomp_notif_resp response = {.id = request.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        const struct call *call = CALLS;
        while (call->number != request.data.nr)
            call++;
        char path[ROOM];
        path_of(&request, call->place, path);
        int is_transfer = strncmp(path, "socket:", 7) == 0;
        if (is_transfer ? kills : is_in(argv[4], path) && !is_spared(argv[5], path)) {
            fprintf(report, "%s %s\n", call->name, is_transfer ? "to the bus" : strrchr(path, '/') + 1);
            fflush(report);
            step++;
            int now = disturbed != 0 && step >= disturbed;
            /* An existing file can be opened on a full disk. */
            int opens = strcmp(call->name, "create") == 0 && access(path, F_OK) == 0;
            int takes_room = strcmp(call->name, "write") == 0 || strcmp(call->name, "create") == 0 ||
                             strcmp(call->name, "mkdir") == 0;
            if (now && kills) {
                kill(-child, SIGKILL);
                continue;
            }
            if (now && !opens && (error == EROFS || takes_room)) {
                response.flags = 0;
                response.error = -error;
            }
        }
        ioctl(*listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
    }
    int status;
    check(waitpid(child, &status, 0) != child, "waitpid");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
