// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

// Async-signal-safe throughout: it runs in a child of a process with threads.

#define _GNU_SOURCE
#include "clone_memory.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

// What glibc's malloc reserves for each part of an arena, and aligns it to; nothing else begins there. The first arena,
// [heap], also holds what the dynamic linker needs.
static const uintptr_t arena_size = 64 << 20;

static const char *hexadecimal(const char *text, uintptr_t *number) {
    *number = 0;
    for (;; text++) {
        if (*text >= '0' && *text <= '9') *number = *number * 16 + (uintptr_t)(*text - '0');
        else if (*text >= 'a' && *text <= 'f') *number = *number * 16 + (uintptr_t)(*text - 'a' + 10);
        else return text;
    }
}

// "start-end perms offset device inode name", proc_pid_maps(5).
static void consider(const char *line) {
    uintptr_t start, end, offset, major, minor, inode;
    const char *text = hexadecimal(line, &start);
    if (*text++ != '-') return;
    text = hexadecimal(text, &end);
    if (start % arena_size != 0 || end - start > arena_size) return;
    for (const char *wanted = " rw-p "; *wanted; wanted++) {
        if (*text++ != *wanted) return;
    }
    text = hexadecimal(text, &offset);
    if (*text++ != ' ') return;
    text = hexadecimal(text, &major);
    if (*text++ != ':') return;
    text = hexadecimal(text, &minor);
    if (*text++ != ' ') return;
    hexadecimal(text, &inode);
    if (major == 0 && minor == 0 && inode == 0) madvise((void *)start, end - start, MADV_DONTNEED);
}

void galley_forget_arenas(void) {
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    // What there is to read of a line is well before its end.
    char line[128], part[2048];
    size_t length = 0;
    ssize_t count;
    while ((count = read(fd, part, sizeof part)) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            if (part[i] != '\n') {
                if (length < sizeof line - 1) line[length++] = part[i];
                continue;
            }
            line[length] = 0;
            consider(line);
            length = 0;
        }
    }
    close(fd);
}
