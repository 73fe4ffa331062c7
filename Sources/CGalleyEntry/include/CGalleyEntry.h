// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

// What the program needs from C before and beside Swift: the constructor in entry.c, signals, and the environment.

#ifndef GALLEY_CENTRY_H
#define GALLEY_CENTRY_H

// Whether `command` mounts file systems or owns files of subordinate users, so that the process enters its namespaces
// at start.
int galley_command_mounts(const char *command);
// The subcommand for which to enter the namespaces, or NULL. Looks at nothing but `arguments`.
const char *galley_mounting_command(int count, char *const *arguments);

// Turns SIGINT, SIGTERM and SIGHUP into bytes (their numbers) on a pipe, ends the program with 128 + the number when it
// still runs 10 s after the first, and turns writing to a closed pipe into EPIPE.
// Programs that are executed later get the default actions. Returns the pipe's reading end, or -1 and sets errno.
int galley_signals_open(void);
// Makes a reader of the pipe see the number 0.
void galley_signals_end(void);

// The variable `NAME=value` at `index`, or NULL after the last one.
const char *galley_environment(int index);

#endif
