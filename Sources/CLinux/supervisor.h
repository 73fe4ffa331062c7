// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

#ifndef GALLEY_SUPERVISOR_H
#define GALLEY_SUPERVISOR_H

#include "CLinux.h"

#include <limits.h>

// Descriptors of a sandbox's init once the program runs.
enum { galley_liveness_fd = 0, galley_signals_fd = 1, galley_report_fd = 2 };

enum { galley_early_capacity = 16 };

// What a sandbox's init knows. It lies on its stack, the only memory that it keeps.
struct galley_supervision {
    // As in the sandbox's description; empty: none.
    char pid_file[PATH_MAX];
    pid_t program;        // the program's process, 0 once it ended
    pid_t process;        // what it left behind, 0 when unknown
    int program_status;
    int process_status;
    int done;
    // Ended before the pid file told which one matters.
    struct {
        pid_t pid;
        int status;
    } early[galley_early_capacity];
    size_t early_count;
};

// Reports and exits; what is left of the namespace dies with its init.
_Noreturn void galley_report(
    int fd, enum galley_sandbox_step step, int error, const struct galley_supervision *supervision);

// Gives all memory back but code and this thread's stack, waits for the program and for what it leaves behind, passes
// signals on, and reports. All signals must be blocked and readable from galley_signals_fd.
_Noreturn void galley_supervise(struct galley_supervision *supervision);

#endif
