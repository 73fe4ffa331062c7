// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

#ifndef GALLEY_CLONE_MEMORY_H
#define GALLEY_CLONE_MEMORY_H

// Gives back what a clone of a process with threads has of malloc's arenas but the first: nothing that was allocated may
// be used any more. Static data, stacks and thread-local data stay.
void galley_forget_arenas(void);

#endif
