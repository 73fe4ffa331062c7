// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CDeflate

/// Compresses one block into one gzip member; each thread has its own.
///
/// `@unchecked Sendable`: used by one thread at a time, the worker that it belongs to.
final class GzipBlockEncoder: @unchecked Sendable {
    private let compressor: OpaquePointer
    private let sampler: OpaquePointer
    private let scratch: UnsafeMutableRawBufferPointer

    private static let sampleSize = 8 << 10
    private static let sampleCount = 8

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
    static func bound(_ size: Int) -> Int { size + (size / storedLimit + 1) * 5 + 18 + 64 }

    /// Writes a whole gzip member and returns its length. `output` has at least `bound(input.count)` bytes.
    func encode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int {
        if !isIncompressible(input) {
            let length = libdeflate_gzip_compress(
                compressor,
                input.baseAddress,
                input.count,
                output.baseAddress,
                output.count
            )
            if length > 0, length < Self.storedSize(input.count) { return length }
        }
        return Self.store(input, into: output)
    }

    /// Whether samples spread over the block shrink by less than 2 %: already compressed or encrypted data, on which
    /// libdeflate spends most of its time for nothing.
    private func isIncompressible(_ input: UnsafeRawBufferPointer) -> Bool {
        let total = Self.sampleSize * Self.sampleCount
        guard input.count >= 2 * total else { return false }
        let stride = (input.count - Self.sampleSize) / (Self.sampleCount - 1)
        var compressed = 0
        for sample in 0..<Self.sampleCount {
            let part = UnsafeRawBufferPointer(rebasing: input[(sample * stride)...].prefix(Self.sampleSize))
            compressed += libdeflate_deflate_compress(
                sampler,
                part.baseAddress,
                part.count,
                scratch.baseAddress,
                scratch.count
            )
            // One compressible sample in eight may be worth the whole block's trouble.
            if compressed < (sample + 1) * Self.sampleSize * 98 / 100 { return false }
        }
        return true
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
