// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

#ifndef ALLOCATION_COUNT_H
#define ALLOCATION_COUNT_H

#include <stdint.h>

// How often the process has asked for memory since it began: malloc, calloc, realloc and their aligned kin.
uint64_t allocation_count(void);
// How many bytes it asked for.
uint64_t allocation_bytes(void);

#endif
