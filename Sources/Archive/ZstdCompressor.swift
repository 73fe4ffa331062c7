// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CZstd

/// Compresses to one zstd frame, on several threads when libzstd was built for it.
///
/// The job size is fixed and the multi-threaded code is used for a single thread too, so the bytes depend on the level
/// alone, not on the number of threads or on how the input was chunked.
public final class ZstdCompressor: StreamFilter {
    public static let defaultLevel: Int32 = 3

    private static let jobSize: Int32 = 5 << 20
    /// What the default level has of its own. zstd's hash and chain are 17 and 16: with these a tar of /usr/lib and source
    /// code (816 MB) comes out 1.2 % smaller, in 5 % more time. Half as large a job with four times the overlap (1 MiB of
    /// the job before) makes 600 MB of /usr/lib 0.1 % smaller still, and takes 20 MB less on two cores.
    private static let defaultTuning = [
        (ZSTD_c_hashLog, Int32(18)), (ZSTD_c_chainLog, 17), (ZSTD_c_overlapLog, 8), (ZSTD_c_jobSize, 5 << 19),
    ]

    private let sink: ByteSink
    private let context: OpaquePointer
    private let output: UnsafeMutableRawBufferPointer

    /// - Parameter threads: nil for one a core.
    public init(
        level: Int32 = ZstdCompressor.defaultLevel,
        threads: Int? = nil,
        sink: @escaping ByteSink
    ) throws {
        guard let context = ZSTD_createCCtx() else { throw ArchiveError(.system, "zstd: out of memory") }
        self.sink = sink
        self.context = context
        output = .allocate(byteCount: ZSTD_CStreamOutSize(), alignment: 64)
        _ = ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level)
        _ = ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
        let workers = Int32(clamping: max(1, threads ?? WorkerThreads.availableCores))
        // A library without threads refuses workers, jobs and overlap; one thread of its plain code it is then.
        _ = ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, workers)
        _ = ZSTD_CCtx_setParameter(context, ZSTD_c_jobSize, Self.jobSize)
        for (parameter, value) in level == Self.defaultLevel ? Self.defaultTuning : [] {
            _ = ZSTD_CCtx_setParameter(context, parameter, value)
        }
    }

    deinit {
        ZSTD_freeCCtx(context)
        output.deallocate()
    }

    public func write(_ bytes: UnsafeRawBufferPointer) throws {
        var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        while input.pos < input.size { _ = try compress(&input, ZSTD_e_continue) }
    }

    public func finish() throws {
        // Always an empty last piece: zstd would use the size of a first piece that is also the last.
        var input = ZSTD_inBuffer(src: nil, size: 0, pos: 0)
        while try compress(&input, ZSTD_e_end) > 0 {}
    }

    private func compress(_ input: inout ZSTD_inBuffer, _ end: ZSTD_EndDirective) throws -> Int {
        var out = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
        let left = ZSTD_compressStream2(context, &out, &input, end)
        guard ZSTD_isError(left) == 0 else {
            throw ArchiveError(.system, "zstd: \(String(cString: ZSTD_getErrorName(left)))")
        }
        if out.pos > 0 { try sink(UnsafeRawBufferPointer(rebasing: output.prefix(out.pos))) }
        return left
    }
}
