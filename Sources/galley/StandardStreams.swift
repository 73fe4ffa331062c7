// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Builder
import CGalleyEntry
import Glibc
import LinuxSystem

/// Whoever read our standard output has gone.
struct ClosedOutput: Error {}

/// Writes results.
func writeOutput(_ text: String) throws {
    do throws(SystemError) {
        try writeBytes(STDOUT_FILENO, text.utf8)
    } catch {
        if error.errno == EPIPE { throw ClosedOutput() }
        throw error
    }
}

/// Writes everything that is not a result. There is nobody to tell when it fails.
func writeError(_ text: String) { try? writeBytes(STDERR_FILENO, text.utf8) }

/// A descriptor of the engine's own for one of the three standard ones.
func standardStream(_ descriptor: CInt) throws -> SharedFD {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else {
        throw SystemError(errno: errno, operation: "dup", path: "/dev/fd/\(descriptor)")
    }
    return OwnedFD(owning: copy).shared()
}

func isTerminal(_ descriptor: CInt) -> Bool { isatty(descriptor) == 1 }

/// Asks on the terminal; nil at the end of the input. Without `echo`, what is typed is not shown.
///
/// Throws when a signal ends the waiting, after the terminal is as it was.
func ask(_ prompt: String, echo: Bool = true) throws -> String? {
    let signals = galley_signals_open()
    writeError(prompt)
    let shown = echo ? nil : TerminalState(STDIN_FILENO)
    shown?.hideInput()
    defer {
        shown?.restore()
        if !echo { writeError("\n") }
    }
    var line: [UInt8] = []
    while true {
        var waiting = [STDIN_FILENO, signals].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        if poll(&waiting, nfds_t(waiting.count), -1) < 0, errno != EINTR {
            throw SystemError(errno: errno, operation: "poll")
        }
        var byte: UInt8 = 0
        if waiting[1].revents != 0 {
            _ = try withUnsafeMutableBytes(of: &byte) { try readBytes(signals, into: $0) }
            throw UserFacingError("canceled", exitCode: 128 + Int32(byte))
        }
        guard waiting[0].revents != 0 else { continue }
        // Byte by byte: what follows the line is for others.
        let count = try withUnsafeMutableBytes(of: &byte) { try readBytes(STDIN_FILENO, into: $0) }
        if count == 0, line.isEmpty { return nil }
        if count == 0 || byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
        line.append(byte)
    }
}

/// How a terminal was set when this was made.
struct TerminalState: Sendable {
    private let descriptor: CInt
    private let settings: termios

    /// Nil when the descriptor is not a terminal.
    init?(_ descriptor: CInt) {
        var settings = termios()
        guard tcgetattr(descriptor, &settings) == 0 else { return nil }
        self.descriptor = descriptor
        self.settings = settings
    }

    func hideInput() {
        var hidden = settings
        hidden.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(descriptor, TCSAFLUSH, &hidden)
    }

    func restore() {
        var settings = settings
        tcsetattr(descriptor, TCSADRAIN, &settings)
    }
}
