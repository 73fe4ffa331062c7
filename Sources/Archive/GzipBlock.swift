// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CDeflate

/// Compresses one block into gzip members; each thread has its own.
///
/// `@unchecked Sendable`: used by one thread at a time, the worker that it belongs to.
final class GzipBlockEncoder: @unchecked Sendable {
    private let compressor: OpaquePointer
    private let sampler: OpaquePointer
    private let scratch: UnsafeMutableRawBufferPointer

    /// Parts of this size are told apart: those that do not compress are stored.
    private static let partSize = 64 << 10
    private static let (sampleSize, sampleCount) = (2 << 10, 4)
    /// What is told apart at the ends of a run.
    private static let sliceSize = 512

    init(level: Int32) throws(ArchiveError) {
        guard let compressor = libdeflate_alloc_compressor(level) else {
            throw ArchiveError(.misuse, "gzip has no level \(level)")
        }
        guard let sampler = libdeflate_alloc_compressor(1) else {
            libdeflate_free_compressor(compressor)
            throw ArchiveError(.system, "libdeflate: out of memory")
        }
        self.compressor = compressor
        self.sampler = sampler
        scratch = .allocate(byteCount: libdeflate_deflate_compress_bound(sampler, Self.sampleSize), alignment: 16)
    }

    deinit {
        libdeflate_free_compressor(compressor)
        libdeflate_free_compressor(sampler)
        scratch.deallocate()
    }

    /// Room that `encode` needs for a block of `size` bytes, compressed or stored.
    static func bound(_ size: Int) -> Int {
        // Each part may be compressed and end a stored run on both sides.
        let members = 2 * (size / partSize + 1) + 1
        return size + (size / storedLimit + members) * 5 + members * 18 + 64
    }

    /// Writes whole gzip members and returns their length. `output` has at least `bound(input.count)` bytes.
    func encode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int {
        var length = 0
        func put(_ range: Range<Int>, _ isStored: Bool) {
            let rest = UnsafeMutableRawBufferPointer(rebasing: output[length...])
            let part = UnsafeRawBufferPointer(rebasing: input[range])
            length += isStored ? Self.store(part, into: rest) : compress(part, into: rest)
        }
        // Bytes that do not compress and wait for those that follow them.
        var storedFrom = 0
        forEachRun(input) { run in
            let compressed = trimmed(run, input)
            if compressed.isEmpty { return }
            if storedFrom < compressed.lowerBound { put(storedFrom..<compressed.lowerBound, true) }
            put(compressed, false)
            storedFrom = compressed.upperBound
        }
        if storedFrom < input.count || length == 0 { put(storedFrom..<input.count, input.count > 0) }
        return length
    }

    /// Each longest run of parts that compress.
    private func forEachRun(_ input: UnsafeRawBufferPointer, _ body: (Range<Int>) -> Void) {
        var start: Int?
        for position in stride(from: 0, to: input.count, by: Self.partSize) {
            let end = min(position + Self.partSize, input.count)
            if isIncompressible(UnsafeRawBufferPointer(rebasing: input[position..<end])) {
                if let start { body(start..<position) }
                start = nil
            } else if start == nil {
                start = position
            }
        }
        if let start { body(start..<input.count) }
    }

    /// The run without what does not compress at its two ends: a few such bytes spoil the code of all that they share a
    /// block of deflate with. The files of a tar begin and end at multiples of 512 bytes.
    private func trimmed(_ run: Range<Int>, _ input: UnsafeRawBufferPointer) -> Range<Int> {
        let size = Self.sliceSize
        func isDense(_ start: Int) -> Bool {
            isIncompressible(sample: UnsafeRawBufferPointer(rebasing: input[start..<(start + size)]))
        }
        var (start, end) = (run.lowerBound, run.upperBound)
        while end - start >= 2 * size, isDense(start) { start += size }
        while end - start >= 2 * size, isDense(end - size) { end -= size }
        return start..<end
    }

    /// One member.
    private func compress(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int {
        let length = libdeflate_gzip_compress(
            compressor,
            input.baseAddress,
            input.count,
            output.baseAddress,
            output.count
        )
        return length > 0 && length < Self.storedSize(input.count) ? length : Self.store(input, into: output)
    }

    /// Whether samples spread over the part shrink by less than 2 %: already compressed or encrypted data, on which
    /// libdeflate spends most of its time for nothing. The first is at the beginning, where what was before may end.
    private func isIncompressible(_ input: UnsafeRawBufferPointer) -> Bool {
        guard input.count >= 2 * Self.sampleSize * Self.sampleCount else { return false }
        let stride = (input.count - Self.sampleSize) / (Self.sampleCount - 1)
        for sample in 0..<Self.sampleCount {
            let part = UnsafeRawBufferPointer(rebasing: input[(sample * stride)...].prefix(Self.sampleSize))
            // One compressible sample may be worth the whole part's trouble.
            if !isIncompressible(sample: part) { return false }
        }
        return true
    }

    private func isIncompressible(sample: UnsafeRawBufferPointer) -> Bool {
        let length = libdeflate_deflate_compress(
            sampler,
            sample.baseAddress,
            sample.count,
            scratch.baseAddress,
            scratch.count
        )
        return length >= sample.count * 98 / 100
    }

    // MARK: - Stored members (RFC 1951, 3.2.4; RFC 1952, 2.3)

    private static let storedLimit = 65535

    private static func storedSize(_ count: Int) -> Int {
        18 + count + max(1, (count + storedLimit - 1) / storedLimit) * 5
    }

    private static func store(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int {
        var position = 0
        func put(_ bytes: UInt8...) {
            for byte in bytes {
                output[position] = byte
                position += 1
            }
        }
        func put32(_ value: UInt32) {
            output.storeBytes(of: value.littleEndian, toByteOffset: position, as: UInt32.self)
            position += 4
        }
        put(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255)
        var offset = 0
        repeat {
            let count = min(storedLimit, input.count - offset)
            let low = UInt8(truncatingIfNeeded: count)
            let high = UInt8(truncatingIfNeeded: count >> 8)
            put(offset + count == input.count ? 1 : 0, low, high, ~low, ~high)
            let target = UnsafeMutableRawBufferPointer(rebasing: output[position..<(position + count)])
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: input[offset..<(offset + count)]))
            position += count
            offset += count
        } while offset < input.count
        put32(libdeflate_crc32(0, input.baseAddress, input.count))
        put32(UInt32(truncatingIfNeeded: input.count))
        return position
    }
}
