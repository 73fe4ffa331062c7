// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

// Entering the private mount namespace, and for an ordinary user a user namespace with its subordinate ids. Runs before
// any thread exists: user namespaces cannot be entered by a process with threads.

#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct galley_entry_state state = {.failure = GALLEY_ENTRY_NOT_ATTEMPTED};

const struct galley_entry_state *galley_entry(void) { return &state; }

static int fail(enum galley_entry_failure code, const char *format, ...) {
    state.failure = code;
    state.error_number = errno;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(state.detail, sizeof state.detail, format, arguments);
    va_end(arguments);
    return code;
}

struct id_range {
    unsigned long start;
    unsigned long count;
};

// The ranges that /etc/subuid or /etc/subgid gives to the user, by name or number. subuid(5).
static size_t subordinate_ranges(const char *file, const char *name, uid_t uid, struct id_range *out, size_t capacity) {
    FILE *stream = fopen(file, "re");
    if (!stream) return 0;
    char number[24];
    snprintf(number, sizeof number, "%u", (unsigned)uid);
    size_t found = 0;
    char line[512];
    while (found < capacity && fgets(line, sizeof line, stream)) {
        char *colon = strchr(line, ':');
        if (!colon || line[0] == '#') continue;
        *colon = 0;
        if (strcmp(line, number) != 0 && (!name || strcmp(line, name) != 0)) continue;
        struct id_range range;
        if (sscanf(colon + 1, "%lu:%lu", &range.start, &range.count) == 2 && range.count > 0) out[found++] = range;
    }
    fclose(stream);
    return found;
}

static int find_program(const char *name, char *out, size_t size) {
    const char *path = getenv("PATH");
    char copy[4096];
    snprintf(copy, sizeof copy, "%s:/usr/bin:/usr/local/bin", path ? path : "/usr/bin");
    for (char *rest = copy, *directory; (directory = strsep(&rest, ":"));) {
        if (!*directory) continue;
        snprintf(out, size, "%s/%s", directory, name);
        if (access(out, X_OK) == 0) return 0;
    }
    return -1;
}

// Runs `program PID 0 ID 1 1 START COUNT ...` and returns its exit status, or -1.
static int map_ids(const char *program, pid_t target, unsigned id, const struct id_range *ranges, size_t count) {
    char words[3 * 17 + 2][24];
    char *arguments[3 * 17 + 3];
    size_t used = 0;
    arguments[used++] = (char *)program;
    snprintf(words[used], sizeof words[0], "%d", (int)target);
    arguments[used] = words[used];
    used++;
    unsigned long inside = 0;
    for (size_t i = 0; i <= count; i++) {
        unsigned long start = i == 0 ? id : ranges[i - 1].start;
        unsigned long length = i == 0 ? 1 : ranges[i - 1].count;
        unsigned long numbers[3] = {inside, start, length};
        for (int n = 0; n < 3; n++) {
            snprintf(words[used], sizeof words[0], "%lu", numbers[n]);
            arguments[used] = words[used];
            used++;
        }
        inside += length;
    }
    arguments[used] = NULL;
    pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) {
        execv(program, arguments);
        _exit(126);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int enter_user_namespace(void) {
    uid_t uid = geteuid();
    gid_t gid = getegid();
    state.rootless = 1;
    struct passwd *entry = getpwuid(uid);
    const char *name = entry ? entry->pw_name : NULL;
    struct id_range uids[16], gids[16];
    size_t uid_count = subordinate_ranges("/etc/subuid", name, uid, uids, 16);
    if (uid_count == 0) return fail(GALLEY_ENTRY_NO_SUBORDINATE_UIDS, "%s", name ? name : "");
    size_t gid_count = subordinate_ranges("/etc/subgid", name, uid, gids, 16);
    if (gid_count == 0) return fail(GALLEY_ENTRY_NO_SUBORDINATE_GIDS, "%s", name ? name : "");
    char newuidmap[4200], newgidmap[4200];
    if (find_program("newuidmap", newuidmap, sizeof newuidmap) < 0) return fail(GALLEY_ENTRY_NO_NEWUIDMAP, "newuidmap");
    if (find_program("newgidmap", newgidmap, sizeof newgidmap) < 0) return fail(GALLEY_ENTRY_NO_NEWGIDMAP, "newgidmap");

    int ready[2];
    if (pipe2(ready, O_CLOEXEC) < 0) return fail(GALLEY_ENTRY_UNSHARE_FAILED, "pipe");
    pid_t parent = getpid();
    pid_t mapper = fork();
    if (mapper < 0) return fail(GALLEY_ENTRY_UNSHARE_FAILED, "fork");
    if (mapper == 0) {
        // The set-user-id programs must run outside the new namespace, so this child maps for its parent.
        close(ready[1]);
        char byte;
        if (read(ready[0], &byte, 1) != 1) _exit(1);
        if (map_ids(newuidmap, parent, uid, uids, uid_count) != 0) _exit(2);
        if (map_ids(newgidmap, parent, gid, gids, gid_count) != 0) _exit(3);
        _exit(0);
    }
    close(ready[0]);
    int unshared = unshare(CLONE_NEWUSER | CLONE_NEWNS);
    int unshare_error = errno;
    if (unshared == 0 && write(ready[1], "x", 1) != 1) unshared = -1;
    close(ready[1]);
    int status = 0;
    while (waitpid(mapper, &status, 0) < 0 && errno == EINTR) {}
    if (unshared < 0) {
        errno = unshare_error;
        return fail(GALLEY_ENTRY_UNSHARE_FAILED, "unshare(CLONE_NEWUSER)");
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        errno = 0;
        int which = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        return fail(GALLEY_ENTRY_MAPPING_FAILED, "%s", which == 3 ? newgidmap : newuidmap);
    }
    if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) return fail(GALLEY_ENTRY_IDENTITY_FAILED, "setresuid");
    // Changing ids clears it, and without it /proc/self belongs to the overflow user.
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return GALLEY_ENTRY_OK;
}

static int in_initial_user_namespace(void) {
    FILE *stream = fopen("/proc/self/uid_map", "re");
    if (!stream) return 1;
    unsigned long inside = 1, outside = 1, count = 0;
    int read = fscanf(stream, "%lu %lu %lu", &inside, &outside, &count);
    fclose(stream);
    return read != 3 || (inside == 0 && outside == 0 && count == 4294967295UL);
}

int galley_enter_namespaces(void) {
    state.failure = GALLEY_ENTRY_OK;
    state.outer_uid = geteuid();
    state.outer_gid = getegid();
    if (geteuid() == 0) {
        state.rootless = !in_initial_user_namespace();
        if (unshare(CLONE_NEWNS) < 0) return fail(GALLEY_ENTRY_UNSHARE_FAILED, "unshare(CLONE_NEWNS)");
    } else if (enter_user_namespace() != GALLEY_ENTRY_OK) {
        return state.failure;
    }
    if (galley_private_mounts() < 0) return fail(GALLEY_ENTRY_PRIVATE_MOUNTS_FAILED, "mount(MS_SLAVE)");
    return GALLEY_ENTRY_OK;
}
