// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

// Async-signal-safe throughout: it runs in a child of a process with threads.

#define _GNU_SOURCE
#include "clone_memory.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

// glibc reserves the parts of an arena in units of this size, aligned to it; what is not used yet is ---p.
static const uintptr_t arena_size = 64 << 20;

struct mapping {
    uintptr_t start, end;
    int is_data;    // rw-p, without a file, and nothing that is called [heap], [stack] and so on
    int is_closed;  // ---p
};

static const char *hexadecimal(const char *text, uintptr_t *number) {
    *number = 0;
    for (;; text++) {
        if (*text >= '0' && *text <= '9') *number = *number * 16 + (uintptr_t)(*text - '0');
        else if (*text >= 'a' && *text <= 'f') *number = *number * 16 + (uintptr_t)(*text - 'a' + 10);
        else return text;
    }
}

static int begins(const char *text, const char *beginning) {
    while (*beginning && *text == *beginning) {
        text++;
        beginning++;
    }
    return *beginning == 0;
}

// "start-end perms offset major:minor inode   name", proc_pid_maps(5). The end of the name may be missing.
static struct mapping parse(const char *line) {
    struct mapping mapping = {0};
    uintptr_t offset, major, minor, inode;
    const char *text = hexadecimal(line, &mapping.start);
    if (*text++ != '-') return mapping;
    text = hexadecimal(text, &mapping.end);
    mapping.is_closed = begins(text, " ---p ");
    if (!begins(text, " rw-p ")) return mapping;
    text = hexadecimal(text + 6, &offset);
    if (*text++ != ' ') return mapping;
    text = hexadecimal(text, &major);
    if (*text++ != ':') return mapping;
    text = hexadecimal(text, &minor);
    if (*text++ != ' ') return mapping;
    text = hexadecimal(text, &inode);
    while (*text == ' ') text++;
    // Kernels can be told to show what glibc calls its memory.
    int is_nameless = *text == 0 || begins(text, "[anon: glibc: malloc");
    mapping.is_data = major == 0 && minor == 0 && inode == 0 && is_nameless;
    return mapping;
}

// The first arena is [heap], which also holds what the dynamic linker needs. Stacks, the zero-filled data of programs and
// what the dynamic linker maps early are told apart by what follows, and this thread's stack for certain.
static int is_arena(struct mapping mapping, struct mapping next, uintptr_t stack) {
    if (!mapping.is_data || mapping.start % arena_size != 0) return 0;
    if (mapping.start <= stack && stack < mapping.end) return 0;
    if (mapping.end % arena_size == 0) return 1;
    uintptr_t reserved = (mapping.end / arena_size + 1) * arena_size;
    return next.is_closed && next.start == mapping.end && next.end >= reserved;
}

void galley_forget_arenas(void) {
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    struct mapping mapping = {0};
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
            length = 0;
            struct mapping next = parse(line);
            if (is_arena(mapping, next, (uintptr_t)&mapping))
                madvise((void *)mapping.start, mapping.end - mapping.start, MADV_DONTNEED);
            mapping = next;
        }
    }
    // The last one is never an arena: the kernel's own come after it.
    close(fd);
}
