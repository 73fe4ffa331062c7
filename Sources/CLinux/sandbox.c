// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

// Between clone and exec only async-signal-safe calls are made: the parent has threads, so the child's heap and locks
// are in an unknown state.

#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

static void complain(int fd, const char *what, const char *on, int number) {
    char digits[12];
    int length = 0;
    do { digits[length++] = (char)('0' + number % 10); } while ((number /= 10) > 0);
    (void)!write(fd, "galley: ", 8);
    (void)!write(fd, what, strlen(what));
    (void)!write(fd, " ", 1);
    if (on) (void)!write(fd, on, strlen(on));
    (void)!write(fd, " failed with error number ", 26);
    while (length > 0) (void)!write(fd, &digits[--length], 1);
    (void)!write(fd, "\n", 1);
}

static void reset_signals(void) {
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int signal = 1; signal < 65; signal++) sigaction(signal, &standard, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void execute(const struct galley_sandbox *s) {
    if (s->new_session) setsid();
    // The three may name each other, so each is moved above the standard numbers first.
    int in = fcntl(s->standard_input, F_DUPFD, 10);
    int out = fcntl(s->standard_output, F_DUPFD, 10);
    int err = fcntl(s->standard_error, F_DUPFD, 10);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(125);
    syscall(SYS_close_range, 3, ~0U, 0);
    execve(s->arguments[0], (char *const *)s->arguments, (char *const *)s->environment);
    complain(2, "executing", s->arguments[0], errno);
    _exit(125);
}

static int prepare_mounts(const struct galley_sandbox *s) {
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) {
        complain(s->standard_error, "making mounts private", NULL, errno);
        return -1;
    }
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
        complain(s->standard_error, "mounting", "/proc", errno);
        return -1;
    }
    if (s->cgroup2 && mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
        complain(s->standard_error, "mounting cgroup2 on", "/sys/fs/cgroup", errno);
        return -1;
    }
    if (s->rootfs_mount >= 0 && galley_move_mount(s->rootfs_mount, s->rootfs_target) < 0) {
        complain(s->standard_error, "attaching", s->rootfs_target, errno);
        return -1;
    }
    for (size_t i = 0; i < s->bind_count; i++) {
        if (mount(s->bind_sources[i], s->bind_targets[i], NULL, MS_BIND | MS_REC, NULL) < 0) {
            complain(s->standard_error, "binding", s->bind_targets[i], errno);
            return -1;
        }
    }
    return 0;
}

static void sandbox_init(const struct galley_sandbox *s, int liveness) {
    // Init gets no signal but SIGKILL from outside unless it has a handler, so the terminal's Ctrl-C stops others.
    reset_signals();
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_NAME, "galley-step", 0, 0, 0);
    // The parent may have died before the line above; then its end of the pipe is closed.
    struct pollfd parent = {.fd = liveness, .events = POLLIN};
    if (poll(&parent, 1, 0) != 0) _exit(125);
    if (prepare_mounts(s) < 0) _exit(125);
    pid_t main_child = fork();
    if (main_child < 0) _exit(125);
    if (main_child == 0) execute(s);
    // From here on nothing but the children matters; their pipes must reach end of file when they exit.
    syscall(SYS_close_range, 0, ~0U, 0);
    int code = 125;
    while (1) {
        int status;
        pid_t done = waitpid(-1, &status, 0);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) break;
        if (done == main_child) {
            code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            // What is left of the namespace dies with init.
            break;
        }
    }
    _exit(code);
}

pid_t galley_sandbox_spawn(const struct galley_sandbox *sandbox, int *pidfd) {
    // Held open for as long as this process lives: a child that finds the other end closed has lost its parent.
    static int liveness[2] = {-1, -1};
    if (liveness[0] < 0 && pipe2(liveness, O_CLOEXEC) < 0) return -1;
    int descriptor = -1;
    struct clone_arguments arguments = {
        .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_PIDFD,
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
