// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Builder
import CGalleyEntry
import Glibc
import LinuxSystem

/// Runs `body`, and cancels it at the first SIGINT, SIGTERM or SIGHUP. It is then waited for, so that it can clean up;
/// a second signal ends the program at once.
///
/// When `body` fails after a signal, the error says that it was cancelled and carries the signal's exit code.
func interruptible<R: Sendable>(_ body: @escaping @Sendable () async throws -> R) async throws -> R {
    let pipe = galley_signals_open()
    guard pipe >= 0 else { throw SystemError(errno: errno, operation: "pipe") }
    let (result, signal) = await withTaskGroup(of: Happening<R>.self) { group in
        group.addTask {
            do { return .finished(.success(try await body())) } catch { return .finished(.failure(error)) }
        }
        group.addTask { .signal(await nextSignal(pipe)) }
        var first: Int32?
        var result: Result<R, any Error> = .failure(CancellationError())
        while let happening = await group.next() {
            switch happening {
            case .finished(let value):
                result = value
                galley_signals_end()
            case .signal(0): break
            case .signal(let number):
                if first != nil { exit(128 + number) }
                first = number
                group.cancelAll()
                group.addTask { .signal(await nextSignal(pipe)) }
            }
        }
        return (result, first)
    }
    if case .failure = result, let signal { throw UserFacingError("canceled", exitCode: 128 + signal) }
    return try result.get()
}

private enum Happening<R: Sendable>: Sendable {
    /// A signal's number, 0 for the end of waiting.
    case signal(Int32)
    case finished(Result<R, any Error>)
}

private func nextSignal(_ pipe: CInt) async -> Int32 {
    let number = try? await blocking {
        var byte: UInt8 = 0
        return withUnsafeMutableBytes(of: &byte) { (try? readBytes(pipe, into: $0)) == 1 } ? byte : 0
    }
    return Int32(number ?? 0)
}
