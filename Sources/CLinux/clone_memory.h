// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

#ifndef GALLEY_CLONE_MEMORY_H
#define GALLEY_CLONE_MEMORY_H

// Gives back what a clone of a process with threads has of malloc's arenas but the first: nothing that was allocated may
// be used any more, and no thread-local data of a library that was loaded later. Static data, stacks, the other
// thread-local data and what malloc mapped for one large block stay. Does nothing where malloc is not glibc's.
void galley_forget_arenas(void);

#endif
