// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import NIOCore
import Synchronization

/// A bounded channel for the bytes of one transfer, with one writer and one reader.
///
/// It lets a caller's closure run in the caller's task while the network runs in a child task. Cancelling either side
/// fails the pipe, and so the transfer.
final class ChunkPipe: Sendable, AsyncSequence {
    private struct State {
        var chunks = CircularBuffer<ByteBuffer>()
        var buffered = 0
        var isFinished = false
        var lastWord: (any Error)?
        var failure: (any Error)?
        var reader: CheckedContinuation<ByteBuffer?, any Error>?
        var writer: CheckedContinuation<Void, any Error>?
        /// When bytes last moved or somebody began to wait for the network.
        var since: Duration
    }

    /// Which end of the pipe is the network's.
    enum NetworkSide: Sendable {
        case writer
        case reader
    }

    private let capacity: Int
    private let clock: RegistryClock
    private let state: Mutex<State>

    init(capacity: Int = 512 << 10, clock: RegistryClock) {
        self.capacity = capacity
        self.clock = clock
        state = Mutex(State(since: clock.now()))
    }

    /// Returns when there is room for more.
    func send(_ chunk: ByteBuffer) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let resume = state.withLock { state -> (() -> Void)? in
                    if let failure = Task.isCancelled ? CancellationError() : state.failure {
                        return { continuation.resume(throwing: failure) }
                    }
                    state.since = clock.now()
                    if let reader = state.reader.take() {
                        return {
                            reader.resume(returning: chunk)
                            continuation.resume()
                        }
                    }
                    state.chunks.append(chunk)
                    state.buffered += chunk.readableBytes
                    if state.buffered < capacity { return { continuation.resume() } }
                    state.writer = continuation
                    return nil
                }
                resume?()
            }
        } onCancel: {
            fail(CancellationError())
        }
    }

    /// The next chunk; nil when the writer has finished and everything was read.
    func next() async throws -> ByteBuffer? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<ByteBuffer?, any Error>) in
                let resume = state.withLock { state -> (() -> Void)? in
                    if let failure = Task.isCancelled ? CancellationError() : state.failure {
                        return { continuation.resume(throwing: failure) }
                    }
                    state.since = clock.now()
                    if let chunk = state.chunks.popFirst() {
                        state.buffered -= chunk.readableBytes
                        let writer = state.buffered < capacity ? state.writer.take() : nil
                        return {
                            writer?.resume()
                            continuation.resume(returning: chunk)
                        }
                    }
                    if state.isFinished {
                        guard let error = state.lastWord else { return { continuation.resume(returning: nil) } }
                        return { continuation.resume(throwing: error) }
                    }
                    state.reader = continuation
                    return nil
                }
                resume?()
            }
        } onCancel: {
            fail(CancellationError())
        }
    }

    /// Ends the writing. The reader gets what was written, and then the end or `error`.
    func finish(throwing error: (any Error)? = nil) {
        let reader = state.withLock { state in
            state.isFinished = true
            state.lastWord = error
            state.since = clock.now()
            return state.chunks.isEmpty ? state.reader.take() : nil
        }
        if let error { reader?.resume(throwing: error) } else { reader?.resume(returning: nil) }
    }

    /// Both sides throw `error` from now on, and what was not read is lost; the first failure stays.
    func fail(_ error: any Error) {
        let (reader, writer) = state.withLock { state in
            if state.failure == nil { state.failure = error }
            state.chunks.removeAll()
            return (state.reader.take(), state.writer.take())
        }
        reader?.resume(throwing: error)
        writer?.resume(throwing: error)
    }

    var failure: (any Error)? { state.withLock { $0.failure } }

    /// Says that the transfer is alive although nothing went through the pipe.
    func touch() { state.withLock { $0.since = clock.now() } }

    /// Fails the pipe when the network lets the other side wait for `stall`, or for `commit` once everything is written;
    /// returns only by being cancelled or failing.
    func watch(_ side: NetworkSide, stall: Duration, commit: Duration) async throws -> Never {
        while true {
            let (idle, limit) = state.withLock { state -> (Duration, Duration) in
                let isCommitting = side == .reader && state.isFinished && state.chunks.isEmpty
                let isWaiting = side == .writer ? state.reader != nil : state.writer != nil || state.isFinished
                return (isWaiting ? clock.now() - state.since : .zero, isCommitting ? commit : stall)
            }
            if idle >= limit {
                let failure = TransportFailure.stalled(limit)
                fail(failure)
                throw failure
            }
            try await clock.sleep(limit - idle)
        }
    }

    struct Iterator: AsyncIteratorProtocol {
        let pipe: ChunkPipe
        mutating func next() async throws -> ByteBuffer? { try await pipe.next() }
    }

    func makeAsyncIterator() -> Iterator { Iterator(pipe: self) }
}
