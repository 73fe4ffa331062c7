// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import Solver

/// A pipe whose bytes become log events.
final class LogPipe: Sendable {
    private let stream: LogStream
    private let vertex: VertexID
    private let environment: StepEnvironment
    private let read: SharedFD
    private let write: Monitor<SharedFD?>

    init(_ stream: LogStream, _ vertex: VertexID, _ environment: StepEnvironment) throws {
        self.stream = stream
        self.vertex = vertex
        self.environment = environment
        let (read, write) = try makePipe()
        self.read = read
        self.write = Monitor(write)
    }

    /// Readers wait as long as commands run, so they must not take places that other work waits for.
    private static let readers = BlockingPool(limit: 4096)

    /// The end that the command writes to.
    func takeWriter() throws -> SharedFD {
        guard let end = write.withLock({ $0 }) else { preconditionFailure("the writer was closed already") }
        return end
    }

    /// Lets go of this process's hold of the writing end; the reader ends when the command's are closed too.
    func closeWriter() { write.withLock { $0 = nil } }

    /// Sends what arrives until all writing ends are closed.
    func forward() async {
        // A read that fails ends the log, not the step.
        try? await Self.readers.run { [self] in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 32 << 10, alignment: 16)
            defer { buffer.deallocate() }
            while true {
                let count = try readBytes(read.raw, into: buffer)
                if count == 0 { return }
                environment.events.send(.log(vertex, stream, Array(buffer[..<count]), at: environment.now()))
            }
        }
    }
}
