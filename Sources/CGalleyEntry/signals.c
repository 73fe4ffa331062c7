// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

#define _GNU_SOURCE
#include "CGalleyEntry.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static int ends[2] = {-1, -1};

static void send_byte(unsigned char number) {
    int saved = errno;
    // The pipe is full only when 65536 signals wait: then one more tells nothing new.
    ssize_t written = write(ends[1], &number, 1);
    (void)written;
    errno = saved;
}

enum { patience_seconds = 10 };
static volatile sig_atomic_t first_signal;

// Whatever still blocks then (a pipe that nobody empties) holds nothing that the next command does not clean up.
static void give_up(int number) {
    (void)number;
    _exit(128 + first_signal);
}

static void forward(int number) {
    if (first_signal == 0) {
        first_signal = number;
        alarm(patience_seconds);
    }
    send_byte((unsigned char)number);
}

static void pass_over(int number) { (void)number; }

int galley_signals_open(void) {
    if (ends[0] >= 0) return ends[0];
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    // Handlers rather than SIG_IGN: execve resets them, while ignored signals would stay ignored in containers.
    struct sigaction action = {.sa_handler = forward, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        struct sigaction former;
        // nohup and shells' background jobs start programs with signals ignored: that stays.
        if (sigaction(numbers[i], NULL, &former) == 0 && former.sa_handler == SIG_IGN) continue;
        sigaction(numbers[i], &action, NULL);
    }
    action.sa_handler = give_up;
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = pass_over;
    sigaction(SIGPIPE, &action, NULL);
    return ends[0];
}

void galley_signals_end(void) { send_byte(0); }
