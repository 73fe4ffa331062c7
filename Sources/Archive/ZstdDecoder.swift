// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CZstd

/// Decodes zstd: any number of frames, skippable ones passed over, content checksums verified, the window bounded.
final class ZstdDecoder: StreamFilter {
    private let sink: ByteSink
    private let context: OpaquePointer
    private let output: UnsafeMutableRawBufferPointer
    private var consumed: Int64 = 0
    /// Whether the last byte seen completed a frame.
    private var atFrameEnd = false

    init(sink: @escaping ByteSink) throws {
        guard let context = ZSTD_createDCtx() else { throw ArchiveError(.system, "zstd: out of memory") }
        self.sink = sink
        self.context = context
        output = .allocate(byteCount: ZSTD_DStreamOutSize(), alignment: 64)
        _ = ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Decompressor.zstdWindowLog)
    }

    deinit {
        ZSTD_freeDCtx(context)
        output.deallocate()
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        guard !bytes.isEmpty else { return }
        var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        var full = false
        // A full output buffer may leave decoded bytes inside the decoder.
        while input.pos < input.size || full {
            var out = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
            let before = input.pos
            let result = ZSTD_decompressStream(context, &out, &input)
            guard ZSTD_isError(result) == 0 else {
                let reason = String(cString: ZSTD_getErrorName(result))
                throw ArchiveError(
                    .malformed,
                    "the zstd stream is damaged: \(reason)",
                    offset: consumed + Int64(before)
                )
            }
            if out.pos > 0 { try sink(UnsafeRawBufferPointer(rebasing: output.prefix(out.pos))) }
            full = out.pos == out.size
            // A call that neither takes nor gives only asks for the next frame's first byte.
            if result == 0 { atFrameEnd = true } else if input.pos > before || out.pos > 0 { atFrameEnd = false }
            if result == 0, input.pos == input.size { full = false }
        }
        consumed += Int64(bytes.count)
    }

    func finish() throws {
        guard atFrameEnd else { throw ArchiveError(.truncated, "the zstd stream ends early", offset: consumed) }
    }
}
