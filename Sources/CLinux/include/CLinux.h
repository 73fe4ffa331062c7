// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

// The calls that Swift cannot express: variadic functions, raw system calls, and what must run between fork and exec.
// Every function returns -1 and sets errno on failure unless it says otherwise.

#ifndef GALLEY_CLINUX_H
#define GALLEY_CLINUX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/xattr.h>

// statx, reduced to what Galley reads.
struct galley_stat {
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    uint64_t blocks;
    uint64_t special_device_major;
    uint64_t special_device_minor;
    int64_t mtime_seconds;
    int64_t ctime_seconds;
    uint32_t mtime_nanoseconds;
    uint32_t ctime_nanoseconds;
    uint32_t mode;
    uint32_t links;
    uint32_t uid;
    uint32_t gid;
    uint64_t mount_id;
    // When the file was made; zero where the file system does not tell.
    int64_t btime_seconds;
    uint32_t btime_nanoseconds;
    int has_btime;
};

int galley_openat(int directory, const char *path, int flags, uint32_t mode);
// openat2 with RESOLVE_* bits in `resolve`.
int galley_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int galley_statx(int directory, const char *path, int flags, struct galley_stat *out);
ssize_t galley_getdents(int directory, void *buffer, size_t size);
int galley_renameat2(int from, const char *from_path, int to, const char *to_path, unsigned flags);
int galley_mknod(int directory, const char *path, uint32_t mode, uint32_t major, uint32_t minor);
ssize_t galley_copy_file_range(int from, int to, size_t length);
int galley_reflink(int from, int to);
int galley_syncfs(int fd);
int galley_pipe(int ends[2]);
int galley_memory_file(const char *title);
// Nobody can change the memory file any more.
int galley_seal(int fd);
// Begins to write the range to disk, and does not wait.
int galley_write_behind(int fd, int64_t offset, int64_t length);
ssize_t galley_readlink(int directory, const char *path, void *buffer, size_t size);
int galley_set_times(int directory, const char *path, int64_t seconds, uint32_t nanoseconds, int flags);
// Processors that this process may run on.
int galley_processor_count(void);
int galley_window_size(int fd, uint16_t *columns, uint16_t *rows);

// Mounts. `lower` directories are descriptors, topmost first.
// Returns a descriptor of a detached overlay mount; upper and work are -1 for a read-only one.
int galley_overlay_detached(const int *lower, size_t count, int upper, int work, int userxattr, int is_volatile);
// Returns a descriptor of a detached tmpfs that is never swapped out where the kernel can promise it.
int galley_tmpfs_detached(void);
int galley_move_mount(int mount_fd, const char *target);
// A detached copy of the mount that an open file or directory lies on, from there down, with the mounts below it.
int galley_clone_tree(int fd);
int galley_private_mounts(void);
// A detached copy of the mount at `path`.
int galley_clone_mount(const char *path);
// mount(2) of an overlay with `options`, from a thread whose working directory is `base`.
int galley_overlay_mount_from(const char *base, const char *target, const char *options, int read_only);

// Namespaces, for galley's constructor function. Returns 0, or a code of galley_entry_failure.
enum galley_entry_failure {
    GALLEY_ENTRY_OK = 0,
    GALLEY_ENTRY_NOT_ATTEMPTED = 1,
    GALLEY_ENTRY_UNSHARE_FAILED = 2,
    GALLEY_ENTRY_NO_SUBORDINATE_UIDS = 3,
    GALLEY_ENTRY_NO_SUBORDINATE_GIDS = 4,
    GALLEY_ENTRY_NO_NEWUIDMAP = 5,
    GALLEY_ENTRY_NO_NEWGIDMAP = 6,
    GALLEY_ENTRY_MAPPING_FAILED = 7,
    GALLEY_ENTRY_PRIVATE_MOUNTS_FAILED = 8,
    GALLEY_ENTRY_IDENTITY_FAILED = 9,
};
struct galley_entry_state {
    int failure;
    int error_number;
    int rootless;
    uint32_t outer_uid;
    uint32_t outer_gid;
    char detail[512];
};
int galley_enter_namespaces(void);
const struct galley_entry_state *galley_entry(void);

// One RUN step's outermost process: the init of a new PID namespace in a new mount namespace. It dies with the process
// that spawned it, and everything below it dies with it.
struct galley_sandbox {
    const char *const *arguments;     // of the program to execute; arguments[0] is its path
    int executable;                   // the program's file, to be executed instead of its path if that can be; or -1
    const char *const *environment;
    int standard_input;
    int standard_output;
    int standard_error;
    int report;                       // gets each galley_sandbox_report
    const char *pid_file;             // the program leaves a process whose number is in here; NULL: it does not
    int rootfs_mount;                 // detached mount to attach at rootfs_target, or -1
    const char *rootfs_source;        // directory to bind at rootfs_target, or NULL
    const char *rootfs_target;        // NULL: no root
    int root_devices;                 // device files below rootfs_target can be opened
    const char *device_directory;     // gets a tmpfs with null, zero, full, random, urandom and tty; or NULL
    const char *const *bind_sources;  // paths to bind before the program starts; NULL where bind_mounts has a mount
    const char *const *bind_targets;
    const int *bind_mounts;           // detached mounts to attach instead
    size_t bind_count;
    int cgroup2;                      // mount a read-only pure cgroup2 over /sys/fs/cgroup
    int new_session;                  // leave the caller's session and terminal
};
enum galley_sandbox_step {
    GALLEY_SANDBOX_DONE = 0,          // `program` and, with a pid file, `process` are wait statuses
    GALLEY_SANDBOX_PRIVATE_MOUNTS = 1,
    GALLEY_SANDBOX_PROC = 2,
    GALLEY_SANDBOX_CGROUP2 = 3,
    GALLEY_SANDBOX_ROOT = 4,
    GALLEY_SANDBOX_DEVICES = 5,
    GALLEY_SANDBOX_BIND = 6,
    GALLEY_SANDBOX_FORK = 7,
    GALLEY_SANDBOX_EXECUTE = 8,
    GALLEY_SANDBOX_STARTED = 9,       // the program has ended and left the process of the pid file
};
// One is written when the sandbox ends by itself, and none when it is killed; before, one that says STARTED.
struct galley_sandbox_report {
    int32_t failed_step;              // of galley_sandbox_step
    int32_t error_number;
    int32_t program;
    int32_t process;                  // -1 when there was none
};
// Returns the child's pid and stores a pidfd. Must be called on a thread that outlives the child.
pid_t galley_sandbox_spawn(const struct galley_sandbox *sandbox, int *pidfd);
// Waits for a pidfd; returns the wait status.
int galley_wait_pidfd(int pidfd, int *status);
int galley_pidfd_signal(int pidfd, int signal);
// 1 when the directory belongs to a cgroup2 file system, else 0.
int galley_is_cgroup2(const char *directory);

#endif
