// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc
import LinuxSystem
import Synchronization

/// Where a display writes.
struct DisplayOutput: Sendable {
    let descriptor: CInt
    let isTerminal: Bool

    static func terminal(_ descriptor: CInt) -> DisplayOutput {
        DisplayOutput(descriptor: descriptor, isTerminal: true)
    }
    static func stream(_ descriptor: CInt) -> DisplayOutput {
        DisplayOutput(descriptor: descriptor, isTerminal: false)
    }

    var size: TerminalSize {
        guard isTerminal, let size = windowSize(of: descriptor) else { return .fallback }
        return TerminalSize(columns: size.columns, rows: size.rows)
    }

    /// Writes all of `bytes`, in one call where the system lets it; false when nobody can read them any more.
    func write(_ bytes: [UInt8]) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress?.advanced(by: offset), $0.count - offset)
            }
            if count > 0 {
                offset += count
            } else if count < 0, errno == EAGAIN {
                // The other end may have made the terminal non-blocking for itself.
                var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&request, 1, -1)
            } else if count < 0, errno == EINTR {
                continue
            } else {
                return false
            }
        }
        return true
    }
}

/// Brings the cursor back when the process leaves without finishing its display.
enum HiddenCursor {
    private static let descriptor = Atomic<CInt>(-1)
    private static let registered = Atomic<Bool>(false)

    static func set(_ value: CInt) {
        descriptor.store(value, ordering: .relaxed)
        if !registered.exchange(true, ordering: .relaxed) { atexit { HiddenCursor.restore() } }
    }

    static func clear() { descriptor.store(-1, ordering: .relaxed) }

    static func restore() {
        let descriptor = descriptor.exchange(-1, ordering: .relaxed)
        if descriptor >= 0 { _ = DisplayOutput.stream(descriptor).write(Array(TerminalScreen.showCursor.utf8)) }
    }
}
