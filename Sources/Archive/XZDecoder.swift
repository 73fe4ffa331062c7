// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CLZMA

/// Decodes xz: any number of streams with padding between them, integrity checks verified, memory bounded.
final class XZDecoder: StreamFilter {
    private let sink: ByteSink
    private let stream: UnsafeMutablePointer<lzma_stream>
    private let output: UnsafeMutableRawBufferPointer
    private var consumed: Int64 = 0

    private static let outputSize = 256 << 10

    init(memoryLimit: UInt64 = Decompressor.xzMemoryLimit, sink: @escaping ByteSink) throws {
        let stream = UnsafeMutablePointer<lzma_stream>.allocate(capacity: 1)
        stream.initialize(to: lzma_stream())
        let flags = lzma_decode_concatenated | lzma_decode_tell_unsupported_check
        guard lzma_stream_decoder(stream, memoryLimit, flags) == LZMA_OK else {
            stream.deallocate()
            throw ArchiveError(.system, "xz: out of memory")
        }
        self.sink = sink
        self.stream = stream
        output = .allocate(byteCount: Self.outputSize, alignment: 64)
    }

    deinit {
        lzma_end(stream)
        stream.deallocate()
        output.deallocate()
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
        stream.pointee.next_in = base.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_in = bytes.count
        repeat {
            // Without progress the decoder waits for input: it has given all it can.
            let result = try decode(LZMA_RUN)
            if result == LZMA_BUF_ERROR { break }
            guard result == LZMA_OK else {
                throw failure(result, at: consumed + Int64(bytes.count - stream.pointee.avail_in))
            }
        } while stream.pointee.avail_in > 0 || stream.pointee.avail_out == 0
        consumed += Int64(bytes.count)
    }

    func finish() throws {
        stream.pointee.next_in = nil
        stream.pointee.avail_in = 0
        while true {
            let result = try decode(LZMA_FINISH)
            if result == LZMA_STREAM_END { return }
            guard result == LZMA_OK else {
                guard result != LZMA_BUF_ERROR else {
                    throw ArchiveError(.truncated, "the xz stream ends early", offset: consumed)
                }
                throw failure(result, at: consumed)
            }
        }
    }

    /// One call of the decoder; what it made is with the sink afterwards.
    private func decode(_ action: lzma_action) throws -> lzma_ret {
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = output.count
        let result = lzma_code(stream, action)
        let made = output.count - stream.pointee.avail_out
        if made > 0 { try sink(UnsafeRawBufferPointer(rebasing: output.prefix(made))) }
        return result
    }

    private func failure(_ result: lzma_ret, at offset: Int64) -> ArchiveError {
        switch result {
        case LZMA_MEMLIMIT_ERROR:
            let needed = lzma_memusage(stream) >> 20
            let limit = lzma_memlimit_get(stream) >> 20
            return ArchiveError(.tooLarge, "the xz stream takes \(needed) MiB to decode; \(limit) MiB is the limit")
        case LZMA_FORMAT_ERROR: return ArchiveError(.malformed, "not an xz stream", offset: offset)
        case LZMA_OPTIONS_ERROR, LZMA_UNSUPPORTED_CHECK:
            return ArchiveError(.unsupported, "the xz stream uses a filter or check that is not known", offset: offset)
        case LZMA_MEM_ERROR: return ArchiveError(.system, "xz: out of memory")
        default:
            return ArchiveError(.malformed, "the xz stream is damaged, or followed by other bytes", offset: offset)
        }
    }
}
