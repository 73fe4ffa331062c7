// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Carries bytes from one producer to one consumer, either of which may be a blocking thread or a task.
///
/// Holds at most about `capacity` bytes: the producer waits for the consumer.
public final class ByteChannel: Sendable {
    private enum End: Sendable {
        case open
        case finished
        case failed(any Error)
    }

    private struct State: Sendable {
        /// Those before `head` were received.
        var chunks: [ArraySlice<UInt8>] = []
        var head = 0
        var buffered = 0
        var end = End.open
        /// The consumer stopped reading; what is still sent fails with this.
        var abandoned: (any Error)?
        var receiver: CheckedContinuation<Void, Never>?
        var sender: CheckedContinuation<Void, Never>?
    }

    /// The consumer stopped before the end.
    public struct Abandoned: Error, Sendable {
        public init() {}
    }

    private let capacity: Int
    private let monitor = Monitor(State())

    public init(capacity: Int = 512 << 10) { self.capacity = capacity }

    // MARK: Producing

    /// Blocks this thread until there is room.
    public func sendBlocking(_ bytes: ArraySlice<UInt8>) throws {
        guard !bytes.isEmpty else { return }
        let receiver: CheckedContinuation<Void, Never>? = try monitor.wait { state in
            if let error = state.abandoned { throw error }
            guard state.buffered < capacity else { return nil }
            return .some(Self.push(bytes, &state))
        }
        receiver?.resume()
    }

    /// Suspends until there is room.
    public func send(_ bytes: ArraySlice<UInt8>) async throws {
        guard !bytes.isEmpty else { return }
        while true {
            try Task.checkCancellation()
            enum Step {
                case sent(CheckedContinuation<Void, Never>?)
                case full
            }
            let step: Step = try monitor.withLock { state in
                if let error = state.abandoned { throw error }
                guard state.buffered < capacity else { return .full }
                return .sent(Self.push(bytes, &state))
            }
            if case .sent(let receiver) = step {
                receiver?.resume()
                return
            }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let goOn = monitor.withLock { state in
                        if state.buffered < capacity || state.abandoned != nil || Task.isCancelled { return true }
                        state.sender = continuation
                        return false
                    }
                    if goOn { continuation.resume() }
                }
            } onCancel: {
                monitor.withLock { $0.sender.take() }?.resume()
            }
        }
    }

    /// Says that no more bytes come; with an error, that they cannot.
    public func finish(throwing error: (any Error)? = nil) {
        let receiver = monitor.withLock { state in
            if case .open = state.end { state.end = error.map(End.failed) ?? .finished }
            return state.receiver.take()
        }
        receiver?.resume()
    }

    // MARK: Consuming

    /// Blocks this thread for the next bytes; nil at the end.
    public func receiveBlocking() throws -> ArraySlice<UInt8>? {
        let (chunk, sender): (ArraySlice<UInt8>?, CheckedContinuation<Void, Never>?) = try monitor.wait { state in
            if let chunk = Self.pop(&state) { return (chunk, state.sender.take()) }
            switch state.end {
            case .open: return nil
            case .finished: return (nil, nil)
            case .failed(let error): throw error
            }
        }
        sender?.resume()
        return chunk
    }

    /// Suspends for the next bytes; nil at the end.
    public func receive() async throws -> ArraySlice<UInt8>? {
        while true {
            try Task.checkCancellation()
            enum Step {
                case chunk(ArraySlice<UInt8>, CheckedContinuation<Void, Never>?)
                case end
                case empty
            }
            let step: Step = try monitor.withLock { state in
                if let chunk = Self.pop(&state) { return .chunk(chunk, state.sender.take()) }
                switch state.end {
                case .open: return .empty
                case .finished: return .end
                case .failed(let error): throw error
                }
            }
            switch step {
            case .chunk(let chunk, let sender):
                sender?.resume()
                return chunk
            case .end: return nil
            case .empty: break
            }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let goOn = monitor.withLock { state in
                        if case .open = state.end, state.head == state.chunks.count, !Task.isCancelled {
                            state.receiver = continuation
                            return false
                        }
                        return true
                    }
                    if goOn { continuation.resume() }
                }
            } onCancel: {
                monitor.withLock { $0.receiver.take() }?.resume()
            }
        }
    }

    /// Says that nothing more will be read: the producer's next send fails with `error`.
    public func abandon(_ error: any Error = Abandoned()) {
        let sender = monitor.withLock { state in
            if state.abandoned == nil { state.abandoned = error }
            state.chunks.removeAll()
            state.head = 0
            state.buffered = 0
            return state.sender.take()
        }
        sender?.resume()
    }

    private static func push(_ bytes: ArraySlice<UInt8>, _ state: inout State) -> CheckedContinuation<Void, Never>? {
        state.chunks.append(bytes)
        state.buffered += bytes.count
        return state.receiver.take()
    }

    private static func pop(_ state: inout State) -> ArraySlice<UInt8>? {
        guard state.head < state.chunks.count else { return nil }
        let chunk = state.chunks[state.head]
        state.chunks[state.head] = []
        state.head += 1
        // Dropped when they are the larger part, so that each chunk is moved once at most.
        if state.head * 2 >= state.chunks.count {
            state.chunks.removeFirst(state.head)
            state.head = 0
        }
        state.buffered -= chunk.count
        return chunk
    }
}
