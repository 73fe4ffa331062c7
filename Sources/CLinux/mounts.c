// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

// The C library of Debian 12 has these calls, older ones do not; the numbers are the same on every architecture.
#ifndef SYS_move_mount
#define SYS_move_mount 429
#endif
#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef SYS_fsopen
#define SYS_fsopen 430
#endif
#ifndef SYS_fsconfig
#define SYS_fsconfig 431
#endif
#ifndef SYS_fsmount
#define SYS_fsmount 432
#endif

enum { config_set_flag = 0, config_set_string = 1, config_create = 6 };

static int set_string(int fs, const char *key, const char *value) {
    return (int)syscall(SYS_fsconfig, fs, config_set_string, key, value, 0);
}

static int set_directory(int fs, const char *key, int directory) {
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", directory);
    return set_string(fs, key, path);
}

int galley_overlay_detached(
    const int *lower, size_t count, int upper, int work, int userxattr, int is_volatile) {
    int fs = (int)syscall(SYS_fsopen, "overlay", 1 /* FSOPEN_CLOEXEC */);
    if (fs < 0) return -1;
    int mount = -1;
    if (set_string(fs, "source", "galley") < 0) goto out;
    for (size_t i = 0; i < count; i++) {
        // "lowerdir+" came with Linux 6.5; before that the caller falls back to mount(2).
        if (set_directory(fs, "lowerdir+", lower[i]) < 0) goto out;
    }
    if (upper >= 0) {
        if (set_directory(fs, "upperdir", upper) < 0 || set_directory(fs, "workdir", work) < 0) goto out;
        if (is_volatile && syscall(SYS_fsconfig, fs, config_set_flag, "volatile", NULL, 0) < 0) goto out;
    }
    if (set_string(fs, "index", "off") < 0 || set_string(fs, "metacopy", "off") < 0) goto out;
    if (userxattr) {
        if (syscall(SYS_fsconfig, fs, config_set_flag, "userxattr", NULL, 0) < 0) goto out;
    } else if (set_string(fs, "redirect_dir", "off") < 0) {
        goto out;
    }
    if (syscall(SYS_fsconfig, fs, config_create, NULL, NULL, 0) < 0) goto out;
    mount = (int)syscall(SYS_fsmount, fs, 1 /* FSMOUNT_CLOEXEC */, upper >= 0 ? 0 : 1 /* MOUNT_ATTR_RDONLY */);
out:;
    int saved = errno;
    close(fs);
    errno = saved;
    return mount;
}

int galley_tmpfs_detached(void) {
    int fs = (int)syscall(SYS_fsopen, "tmpfs", 1 /* FSOPEN_CLOEXEC */);
    if (fs < 0) return -1;
    int mount = -1;
    // "noswap" came with Linux 6.4 and is for the machine's root only.
    (void)!syscall(SYS_fsconfig, fs, config_set_flag, "noswap", NULL, 0);
    if (set_string(fs, "mode", "700") == 0 && syscall(SYS_fsconfig, fs, config_create, NULL, NULL, 0) == 0)
        mount = (int)syscall(SYS_fsmount, fs, 1 /* FSMOUNT_CLOEXEC */, 2 | 4 /* MOUNT_ATTR_NOSUID, NODEV */);
    int saved = errno;
    close(fs);
    errno = saved;
    return mount;
}

int galley_move_mount(int mount_fd, const char *target) {
    return (int)syscall(SYS_move_mount, mount_fd, "", AT_FDCWD, target, 4 /* MOVE_MOUNT_F_EMPTY_PATH */);
}

int galley_clone_mount(const char *path) {
    // OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
    return (int)syscall(SYS_open_tree, AT_FDCWD, path, 1 | O_CLOEXEC);
}

int galley_private_mounts(void) {
    // Slave, not private: what the host mounts later still appears here, nothing of ours appears there.
    return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
}

int galley_overlay_mount_from(const char *base, const char *target, const char *options, int read_only) {
    // Short relative paths keep many layers within the one page that mount(2) takes.
    if (unshare(CLONE_FS) < 0 || chdir(base) < 0) return -1;
    return mount("galley", target, "overlay", read_only ? MS_RDONLY : 0, options);
}
