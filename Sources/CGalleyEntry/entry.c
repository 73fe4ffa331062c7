// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

// Runs before Swift's runtime starts: a process with threads can no longer enter a user namespace.

#include "CGalleyEntry.h"
#include "CLinux.h"

#include <stddef.h>
#include <string.h>
#include <sys/resource.h>

static const char *const mounting_commands[] = {"build", "doctor", "load", "prune", "pull", "push", "rmi", "run", "save"};

int galley_command_mounts(const char *command) {
    for (size_t i = 0; i < sizeof mounting_commands / sizeof *mounting_commands; i++) {
        if (strcmp(command, mounting_commands[i]) == 0) return 1;
    }
    return 0;
}

const char *galley_mounting_command(int count, char *const *arguments) {
    int i = 1;
    for (; i < count && arguments[i][0] == '-'; i++) {
        const char *word = arguments[i];
        if (strcmp(word, "--root") == 0 || strcmp(word, "--config") == 0) {
            i++;
        } else if (strncmp(word, "--root=", 7) != 0 && strncmp(word, "--config=", 9) != 0
                   && strcmp(word, "--debug") != 0 && strcmp(word, "-D") != 0) {
            return NULL;
        }
    }
    if (i >= count || !galley_command_mounts(arguments[i])) return NULL;
    const char *command = arguments[i];
    // `run -h` is the host name.
    int short_help = strcmp(command, "run") != 0;
    for (i++; i < count && arguments[i][0] == '-'; i++) {
        if (strcmp(arguments[i], "--help") == 0 || (short_help && strcmp(arguments[i], "-h") == 0)) return NULL;
    }
    return command;
}

// RUN steps and layers keep many files open; the soft limit is low for the sake of select(2), which nothing here uses.
static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

__attribute__((constructor)) static void enter(int count, char **arguments, char **environment) {
    (void)environment;
    if (!arguments || !galley_mounting_command(count, arguments)) return;
    raise_file_limit();
    // A failure stays in galley_entry(), where the command finds it.
    galley_enter_namespaces();
}
