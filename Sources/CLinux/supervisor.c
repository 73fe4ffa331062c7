// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

// While a program runs, its sandbox's init only waits. It is a clone of galley, and a build has many at once: each would
// hold on to a heap and to what the dynamic linker changed, 5 MiB at least. So init gives back all that is not its code
// or its stack, and from then on nothing in this file may use a library, not even through errno, or a variable: the
// tables that lead there are gone too. Code and constants are read from the program's file again.

#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

// The result, or the negative error number.
static long call(long number, long a, long b, long c, long d, long e) {
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
#else
#error "say here how a system call is made"
#endif
}

static long read_some(int fd, void *bytes, size_t count) {
    return call(SYS_read, fd, (long)bytes, (long)count, 0, 0);
}

static int open_to_read(const char *path) {
    return (int)call(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0);
}

_Noreturn static void leave(int status) {
    while (1) call(SYS_exit_group, status, 0, 0, 0, 0);
}

// Of the stack, what lies around this function's frame stays: its callers keep little. The kernel goes over what is not
// mapped, and stops at its own mappings, behind which there is little.
static void forget_memory(void) {
    const uintptr_t unit = 64 << 10;  // the largest page there is
    uintptr_t here = (uintptr_t)__builtin_frame_address(0) / unit * unit;
    call(SYS_madvise, 0, (long)(here - unit), MADV_DONTNEED, 0, 0);
    call(SYS_madvise, (long)(here + 2 * unit), 1L << 62, MADV_DONTNEED, 0, 0);
}

static void write_report(
    int fd, enum galley_sandbox_step step, int error, const struct galley_supervision *supervision) {
    struct galley_sandbox_report report = {
        .failed_step = step,
        .error_number = error,
        .program = supervision->program_status,
        .process = supervision->process ? supervision->process_status : -1,
    };
    call(SYS_write, fd, (long)&report, sizeof report, 0, 0);
}

static pid_t read_pid(int file) {
    char text[16];
    long length = read_some(file, text, sizeof text);
    pid_t pid = 0;
    for (long i = 0; i < length && text[i] >= '0' && text[i] <= '9' && pid < 100000000; i++)
        pid = pid * 10 + (text[i] - '0');
    return pid;
}

static void program_ended(struct galley_supervision *state, int status) {
    state->program = 0;
    state->program_status = status;
    state->done = 1;
    if (!state->pid_file[0] || status != 0) return;
    int fd = open_to_read(state->pid_file);
    if (fd < 0) return;
    state->process = read_pid(fd);
    call(SYS_close, fd, 0, 0, 0, 0);
    if (state->process <= 1) return;
    state->done = 0;
    write_report(galley_report_fd, GALLEY_SANDBOX_STARTED, 0, state);
    for (size_t i = 0; i < state->early_count; i++) {
        if (state->early[i].pid != state->process) continue;
        state->process_status = state->early[i].status;
        state->done = 1;
    }
}

static void reap(struct galley_supervision *state) {
    while (!state->done) {
        int status;
        pid_t pid = (pid_t)call(SYS_wait4, -1, (long)&status, WNOHANG, 0, 0);
        if (pid == -EINTR) continue;
        // Without children there is nothing to wait for.
        if (pid < 0) state->done = 1;
        if (pid <= 0) return;
        if (pid == state->program) {
            program_ended(state, status);
        } else if (pid == state->process) {
            state->process_status = status;
            state->done = 1;
        } else if (state->program) {
            size_t slot =
                state->early_count < galley_early_capacity ? state->early_count++ : galley_early_capacity - 1;
            state->early[slot].pid = pid;
            state->early[slot].status = status;
        }
    }
}

static void supervise(struct galley_supervision *state) {
    while (1) {
        reap(state);
        if (state->done) return;
        struct pollfd wanted[2] = {
            {.fd = galley_liveness_fd, .events = POLLIN},
            {.fd = galley_signals_fd, .events = POLLIN},
        };
        if (call(SYS_ppoll, (long)wanted, 2, 0, 0, 0) < 0) continue;
        // The parent is gone. Its death signal does this too, unless it died before the signal was asked for.
        if (wanted[0].revents) leave(125);
        struct signalfd_siginfo info;
        if (!wanted[1].revents || read_some(galley_signals_fd, &info, sizeof info) != sizeof info) continue;
        if (info.ssi_signo == SIGCHLD) continue;
        pid_t receiver = state->process ? state->process : state->program;
        if (receiver) call(SYS_kill, receiver, (long)info.ssi_signo, 0, 0, 0);
    }
}

_Noreturn void galley_report(
    int fd, enum galley_sandbox_step step, int error, const struct galley_supervision *supervision) {
    write_report(fd, step, error, supervision);
    leave(0);
}

_Noreturn void galley_supervise(struct galley_supervision *supervision) {
    forget_memory();
    supervise(supervision);
    galley_report(galley_report_fd, GALLEY_SANDBOX_DONE, 0, supervision);
}
