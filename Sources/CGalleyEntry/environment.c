// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

#include "CGalleyEntry.h"

#include <stddef.h>

extern char **environ;

const char *galley_environment(int index) { return environ ? environ[index] : NULL; }
