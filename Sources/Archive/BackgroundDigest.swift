// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import OCI

/// The sha256 of a stream, computed on a thread of its own, so that whoever makes the stream need not wait for it. A short
/// stream, and one on a machine with one processor, is hashed where it is made.
///
/// Used by one thread at a time.
final class BackgroundDigest {
    private struct State: Sendable {
        var waiting: [[UInt8]] = []
        /// Arrays to be filled again.
        var free: [[UInt8]] = []
        var isOver = false
        var result: Digest?
    }

    private static let (pieceSize, mostWaiting) = (128 << 10, 4)

    private let monitor = Monitor(State())
    private let mayHaveThread: Bool
    private var filling: [UInt8] = []
    /// Of what came before there was a thread; it goes on from there.
    private var hasher = Digest.Hasher()
    private var hasThread = false
    /// Bytes so far.
    private(set) var count: Int64 = 0

    init(threads: Int = processorCount) { mayHaveThread = threads > 1 }

    deinit { monitor.withLock { $0.isOver = true } }

    func update(_ bytes: UnsafeRawBufferPointer) {
        count += Int64(bytes.count)
        var rest = bytes
        while !rest.isEmpty {
            let portion = rest.prefix(Self.pieceSize - filling.count)
            filling += portion
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(portion.count))
            if filling.count == Self.pieceSize { handOver() }
        }
    }

    /// The digest of all; nothing may be added afterwards.
    func finalize() -> Digest {
        guard hasThread else {
            hasher.update(filling)
            filling = []
            return hasher.finalize()
        }
        handOver()
        monitor.withLock { $0.isOver = true }
        return monitor.wait { $0.result }
    }

    private func handOver() {
        if !hasThread {
            let (monitor, hasher) = (monitor, hasher)
            hasThread = mayHaveThread && startThread { Self.work(monitor, hasher) }
        }
        guard hasThread else {
            hasher.update(filling)
            return filling.removeAll(keepingCapacity: true)
        }
        var piece: [UInt8] = []
        swap(&piece, &filling)
        filling = monitor.wait { state in
            guard state.waiting.count < Self.mostWaiting else { return nil }
            state.waiting.append(piece)
            return state.free.popLast() ?? []
        }
        filling.removeAll(keepingCapacity: true)
        filling.reserveCapacity(Self.pieceSize)
    }

    private static func work(_ monitor: Monitor<State>, _ begun: Digest.Hasher) {
        var hasher = begun
        var done: [UInt8]?
        while true {
            let piece: [UInt8]? = monitor.wait { state -> [UInt8]?? in
                if let piece = done {
                    state.free.append(piece)
                    done = nil
                }
                if !state.waiting.isEmpty { return .some(state.waiting.removeFirst()) }
                return state.isOver ? .some(nil) : nil
            }
            guard let piece else { break }
            hasher.update(piece)
            done = piece
        }
        let digest = hasher.finalize()
        monitor.withLock { $0.result = digest }
    }
}
