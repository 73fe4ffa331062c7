// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

// Between clone and exec only async-signal-safe calls are made: the parent has threads, so the child's heap and locks
// are in an unknown state.

#define _GNU_SOURCE
#include "CLinux.h"
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

struct mount_attributes {
    uint64_t set, clear, propagation, user_namespace;
};

static void reset_signals(void) {
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < 65; signal++) sigaction(signal, &standard, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void close_from(unsigned first) {
    if (syscall(SYS_close_range, first, ~0U, 0) == 0) return;
    // Before Linux 5.9.
    for (int fd = (int)first; fd < 65536; fd++) close(fd);
}

// Runs in a vfork child: returns the error number through `error`, which its parent reads.
static void execute(const struct galley_sandbox *s, volatile int *error) {
    reset_signals();
    if (s->new_session) setsid();
    // The three may name each other, so each is moved above the standard numbers first.
    int in = fcntl(s->standard_input, F_DUPFD, 10);
    int out = fcntl(s->standard_output, F_DUPFD, 10);
    int err = fcntl(s->standard_error, F_DUPFD, 10);
    int executable = s->executable < 0 ? -1 : fcntl(s->executable, F_DUPFD, 10);
    if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0) {
        if (executable >= 0 && dup3(executable, 3, O_CLOEXEC) == 3) {
            close_from(4);
            syscall(SYS_execveat, 3, "", s->arguments, s->environment, AT_EMPTY_PATH);
            // Systems may forbid it, and an interpreter would not find a script that is open only until it starts.
        }
        close_from(3);
        execve(s->arguments[0], (char *const *)s->arguments, (char *const *)s->environment);
    }
    *error = errno;
    _exit(127);
}

static int forbid_devices(const char *target) {
    // Without a device cgroup nothing else keeps root in a container from the host's disks: it may make any node.
    struct mount_attributes attributes = {.set = 0x4 /* MOUNT_ATTR_NODEV */};
    if (syscall(SYS_mount_setattr, AT_FDCWD, target, 0, &attributes, sizeof attributes) == 0) return 0;
    if (errno != ENOSYS) return -1;
    return mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_NODEV, NULL);
}

static int attach_root(const struct galley_sandbox *s) {
    if (!s->rootfs_target) return 0;
    int attached = s->rootfs_mount >= 0 ? galley_move_mount(s->rootfs_mount, s->rootfs_target)
                                        : mount(s->rootfs_source, s->rootfs_target, NULL, MS_BIND | MS_REC, NULL);
    if (attached < 0) return -1;
    return s->root_devices ? 0 : forbid_devices(s->rootfs_target);
}

static int make_devices(const char *directory) {
    static const struct {
        const char *name;
        unsigned major, minor;
    } nodes[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
    if (mount("tmpfs", directory, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k") < 0) return -1;
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        if (mknodat(fd, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0) return -1;
    }
    close(fd);
    return 0;
}

static enum galley_sandbox_step prepare_mounts(const struct galley_sandbox *s) {
    const unsigned long inert = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) return GALLEY_SANDBOX_PRIVATE_MOUNTS;
    if (mount("proc", "/proc", "proc", inert, NULL) < 0) return GALLEY_SANDBOX_PROC;
    if (s->cgroup2 && mount("cgroup2", "/sys/fs/cgroup", "cgroup2", inert | MS_RDONLY, NULL) < 0)
        return GALLEY_SANDBOX_CGROUP2;
    if (attach_root(s) < 0) return GALLEY_SANDBOX_ROOT;
    if (s->device_directory && make_devices(s->device_directory) < 0) return GALLEY_SANDBOX_DEVICES;
    for (size_t i = 0; i < s->bind_count; i++) {
        int bound = s->bind_sources[i] ? mount(s->bind_sources[i], s->bind_targets[i], NULL, MS_BIND | MS_REC, NULL)
                                       : galley_move_mount(s->bind_mounts[i], s->bind_targets[i]);
        if (bound < 0) return GALLEY_SANDBOX_BIND;
    }
    return GALLEY_SANDBOX_DONE;
}

// The program's own descriptors must reach end of file when the program ends.
static int keep_three(int liveness, int signals, int report) {
    int a = fcntl(liveness, F_DUPFD, 10), b = fcntl(signals, F_DUPFD, 10), c = fcntl(report, F_DUPFD, 10);
    if (dup2(a, galley_liveness_fd) < 0 || dup2(b, galley_signals_fd) < 0 || dup2(c, galley_report_fd) < 0) return -1;
    close_from(3);
    return 0;
}

static void sandbox_init(const struct galley_sandbox *s, int liveness) {
    struct galley_supervision state;
    memset(&state, 0, sizeof state);
    if (s->pid_file && strlen(s->pid_file) >= sizeof state.pid_file) {
        galley_report(s->report, GALLEY_SANDBOX_FORK, ENAMETOOLONG, &state);
    }
    if (s->pid_file) strcpy(state.pid_file, s->pid_file);
    // Blocked signals are kept for the descriptor below, also those that an init would never get.
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_NAME, "galley-step", 0, 0, 0);
    // Out of the terminal's reach: Ctrl-C is for the parent, which decides.
    if (s->new_session) setsid();
    umask(0);
    enum galley_sandbox_step step = prepare_mounts(s);
    umask(022);
    if (step != GALLEY_SANDBOX_DONE) galley_report(s->report, step, errno, &state);
    int signals = signalfd(-1, &all, SFD_CLOEXEC);
    if (signals < 0) galley_report(s->report, GALLEY_SANDBOX_FORK, errno, &state);
    volatile int execute_error = 0;
    state.program = vfork();
    if (state.program == 0) execute(s, &execute_error);
    if (state.program < 0) galley_report(s->report, GALLEY_SANDBOX_FORK, errno, &state);
    if (execute_error) galley_report(s->report, GALLEY_SANDBOX_EXECUTE, execute_error, &state);
    if (keep_three(liveness, signals, s->report) < 0) galley_report(s->report, GALLEY_SANDBOX_FORK, errno, &state);
    galley_supervise(&state);
}

pid_t galley_sandbox_spawn(const struct galley_sandbox *sandbox, int *pidfd) {
    // Held open for as long as this process lives: a child that finds the other end closed has lost its parent.
    static int liveness[2] = {-1, -1};
    if (liveness[0] < 0 && pipe2(liveness, O_CLOEXEC) < 0) return -1;
    int descriptor = -1;
    struct clone_arguments arguments = {
        .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_PIDFD | (sandbox->cgroup2 ? CLONE_NEWCGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)&descriptor,
        .exit_signal = SIGCHLD,
    };
    pid_t child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0) {
        close(liveness[1]);
        sandbox_init(sandbox, liveness[0]);
    }
    if (child > 0) *pidfd = descriptor;
    return child;
}

int galley_wait_pidfd(int pidfd, int *status) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    int result;
    do { result = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL); } while (result < 0 && errno == EINTR);
    if (result < 0) return -1;
    *status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    return 0;
}

int galley_pidfd_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int galley_clone_tree(int fd) {
    // AT_EMPTY_PATH, AT_RECURSIVE, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE
    return (int)syscall(SYS_open_tree, fd, "", 0x1000 | 0x8000 | O_CLOEXEC | 1);
}

int galley_is_cgroup2(const char *directory) {
    struct statfs info;
    return statfs(directory, &info) == 0 && info.f_type == 0x63677270 /* CGROUP2_SUPER_MAGIC */;
}
