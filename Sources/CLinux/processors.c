// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

#define _GNU_SOURCE
#include "CLinux.h"

#include <sched.h>
#include <unistd.h>

int galley_processor_count(void) {
    cpu_set_t set;
    // Fails where there are more than the set can hold.
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : (int)online;
}
