// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x00001000U
#endif

int galley_openat(int directory, const char *path, int flags, uint32_t mode) {
    int fd;
    do { fd = openat(directory, path, flags, mode); } while (fd < 0 && errno == EINTR);
    return fd;
}

int galley_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = flags;
    how.mode = mode;
    how.resolve = resolve;
    long fd;
    // EAGAIN: a rename elsewhere raced with a ".." component; the kernel asks to try again.
    int attempts = 0;
    do {
        fd = syscall(SYS_openat2, directory, path, &how, sizeof how);
    } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && attempts++ < 64)));
    return (int)fd;
}

int galley_statx(int directory, const char *path, int flags, struct galley_stat *out) {
    struct statx status;
    unsigned mask = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;
    if (statx(directory, path, flags | AT_STATX_SYNC_AS_STAT, mask, &status) < 0) return -1;
    out->device = makedev(status.stx_dev_major, status.stx_dev_minor);
    out->inode = status.stx_ino;
    out->size = status.stx_size;
    out->blocks = status.stx_blocks;
    out->special_device_major = status.stx_rdev_major;
    out->special_device_minor = status.stx_rdev_minor;
    out->mtime_seconds = status.stx_mtime.tv_sec;
    out->mtime_nanoseconds = status.stx_mtime.tv_nsec;
    out->ctime_seconds = status.stx_ctime.tv_sec;
    out->ctime_nanoseconds = status.stx_ctime.tv_nsec;
    out->mode = status.stx_mode;
    out->links = status.stx_nlink;
    out->uid = status.stx_uid;
    out->gid = status.stx_gid;
    out->mount_id = status.stx_mnt_id;
    out->has_btime = (status.stx_mask & STATX_BTIME) != 0;
    out->btime_seconds = out->has_btime ? status.stx_btime.tv_sec : 0;
    out->btime_nanoseconds = out->has_btime ? status.stx_btime.tv_nsec : 0;
    return 0;
}

ssize_t galley_getdents(int directory, void *buffer, size_t size) {
    return syscall(SYS_getdents64, directory, buffer, size);
}

int galley_renameat2(int from, const char *from_path, int to, const char *to_path, unsigned flags) {
    return (int)syscall(SYS_renameat2, from, from_path, to, to_path, flags);
}

int galley_mknod(int directory, const char *path, uint32_t mode, uint32_t major, uint32_t minor) {
    return mknodat(directory, path, mode, makedev(major, minor));
}

ssize_t galley_copy_file_range(int from, int to, size_t length) {
    return syscall(SYS_copy_file_range, from, NULL, to, NULL, length, 0);
}

int galley_reflink(int from, int to) { return ioctl(to, FICLONE, from); }

int galley_syncfs(int fd) { return syncfs(fd); }

int galley_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int galley_memory_file(const char *title) { return memfd_create(title, MFD_CLOEXEC | MFD_ALLOW_SEALING); }

int galley_seal(int fd) { return fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE); }

int galley_write_behind(int fd, int64_t offset, int64_t length) {
    return sync_file_range(fd, offset, length, SYNC_FILE_RANGE_WRITE);
}

ssize_t galley_readlink(int directory, const char *path, void *buffer, size_t size) {
    return readlinkat(directory, path, buffer, size);
}

int galley_set_times(int directory, const char *path, int64_t seconds, uint32_t nanoseconds, int flags) {
    struct timespec times[2];
    times[0].tv_sec = seconds;
    times[0].tv_nsec = nanoseconds;
    times[1] = times[0];
    return utimensat(directory, path, times, flags);
}

int galley_window_size(int fd, uint16_t *columns, uint16_t *rows) {
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0) return -1;
    *columns = size.ws_col;
    *rows = size.ws_row;
    return 0;
}
