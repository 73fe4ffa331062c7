// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CBzip2

/// Decodes bzip2, any number of streams; the checksum of every block and stream is verified. Takes 4 MB at most.
final class BzipDecoder: StreamFilter {
    private enum Phase {
        /// Before a stream's first byte. `first` until one was seen.
        case betweenStreams(first: Bool)
        case inStream(first: Bool)
        /// Zeros after the last stream, as for gzip.
        case trailingZeros
    }

    private let sink: ByteSink
    /// At one place for good: the library's state points back to it.
    private let stream: UnsafeMutablePointer<bz_stream>
    private let output: UnsafeMutableRawBufferPointer
    private var phase = Phase.betweenStreams(first: true)
    private var consumed: Int64 = 0

    private static let outputSize = 256 << 10

    init(sink: @escaping ByteSink) {
        self.sink = sink
        stream = .allocate(capacity: 1)
        stream.initialize(to: bz_stream())
        output = .allocate(byteCount: Self.outputSize, alignment: 64)
    }

    deinit {
        // Nothing happens to a stream that was not begun.
        BZ2_bzDecompressEnd(stream)
        stream.deallocate()
        output.deallocate()
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let before = rest.count
            switch phase {
            case .betweenStreams(let first):
                if !first, rest[0] == 0 { phase = .trailingZeros } else { try begin(first: first) }
            case .inStream(let first):
                try decode(&rest, first: first)
            case .trailingZeros:
                guard rest.allSatisfy({ $0 == 0 }) else { throw trailingGarbage() }
                rest = UnsafeRawBufferPointer(rebasing: rest.suffix(0))
            }
            consumed += Int64(before - rest.count)
        }
    }

    func finish() throws {
        switch phase {
        case .betweenStreams(first: false), .trailingZeros: return
        default: throw ArchiveError(.truncated, "the bzip2 stream ends early", offset: consumed)
        }
    }

    private func begin(first: Bool) throws {
        stream.pointee = bz_stream()
        guard BZ2_bzDecompressInit(stream, 0, 0) == BZ_OK else {
            throw ArchiveError(.system, "bzip2: out of memory")
        }
        phase = .inStream(first: first)
    }

    private func decode(_ rest: inout UnsafeRawBufferPointer, first: Bool) throws {
        // avail_in is 32 bits wide.
        let input = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
        guard let base = input.baseAddress else { return }
        stream.pointee.next_in = UnsafeMutablePointer(mutating: base.assumingMemoryBound(to: CChar.self))
        stream.pointee.avail_in = UInt32(input.count)
        repeat {
            stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: CChar.self)
            stream.pointee.avail_out = UInt32(output.count)
            let result = BZ2_bzDecompress(stream)
            let made = output.count - Int(stream.pointee.avail_out)
            if made > 0 { try sink(UnsafeRawBufferPointer(rebasing: output.prefix(made))) }
            if result == BZ_STREAM_END {
                BZ2_bzDecompressEnd(stream)
                phase = .betweenStreams(first: false)
                break
            }
            guard result == BZ_OK else {
                throw failure(result, first: first, at: input.count - Int(stream.pointee.avail_in))
            }
        } while stream.pointee.avail_in > 0 || stream.pointee.avail_out == 0
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(input.count - Int(stream.pointee.avail_in)))
    }

    private func failure(_ result: CInt, first: Bool, at offset: Int) -> ArchiveError {
        let offset = consumed + Int64(offset)
        switch result {
        case BZ_DATA_ERROR_MAGIC where !first: return trailingGarbage()
        case BZ_DATA_ERROR_MAGIC: return ArchiveError(.malformed, "not a bzip2 stream", offset: offset)
        case BZ_MEM_ERROR: return ArchiveError(.system, "bzip2: out of memory")
        default:
            return ArchiveError(
                .malformed,
                "the bzip2 stream is damaged, or a checksum does not match",
                offset: offset
            )
        }
    }

    private func trailingGarbage() -> ArchiveError {
        ArchiveError(.malformed, "the bzip2 stream is followed by bytes that are not bzip2", offset: consumed)
    }
}
