// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import CISAL

/// Inflates gzip, any number of members, with ISA-L; header, CRC and length of each are checked.
final class GzipInflater: StreamFilter {
    private enum Phase {
        /// Before a member's first byte. `first` until one was seen.
        case betweenMembers(first: Bool)
        /// The first magic byte of a later member was the last of a chunk.
        case afterMagic
        case inMember
        /// Zeros after the last member, as tapes and some tools pad; GNU gzip ignores them too.
        case trailingZeros
    }

    private let sink: ByteSink
    private let state: UnsafeMutablePointer<inflate_state>
    private let output: UnsafeMutableRawBufferPointer
    private var phase = Phase.betweenMembers(first: true)
    private var consumed: Int64 = 0

    private static let outputSize = 256 << 10

    init(sink: @escaping ByteSink) {
        self.sink = sink
        state = .allocate(capacity: 1)
        isal_inflate_init(state)
        output = .allocate(byteCount: Self.outputSize, alignment: 64)
    }

    deinit {
        state.deallocate()
        output.deallocate()
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let before = rest.count
            switch phase {
            case .betweenMembers(let first): try beginMember(&rest, first: first)
            case .afterMagic: try continueMagic(rest)
            case .inMember: try inflate(&rest)
            case .trailingZeros:
                guard rest.allSatisfy({ $0 == 0 }) else { throw trailingGarbage() }
                rest = UnsafeRawBufferPointer(rebasing: rest.suffix(0))
            }
            consumed += Int64(before - rest.count)
        }
    }

    func finish() throws {
        switch phase {
        case .betweenMembers(first: false), .trailingZeros: return
        default: throw ArchiveError(.truncated, "the gzip stream ends early", offset: consumed)
        }
    }

    private func trailingGarbage() -> ArchiveError {
        ArchiveError(.malformed, "the gzip stream is followed by bytes that are not gzip", offset: consumed)
    }

    /// Takes nothing of a first member, whose header ISA-L checks, and one byte of what follows a member.
    private func beginMember(_ rest: inout UnsafeRawBufferPointer, first: Bool) throws {
        guard !first else { return startMember() }
        switch rest[0] {
        case 0: phase = .trailingZeros
        case 0x1f: phase = .afterMagic
        default: throw trailingGarbage()
        }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
    }

    private func continueMagic(_ rest: UnsafeRawBufferPointer) throws {
        guard rest[0] == 0x8b else { throw trailingGarbage() }
        startMember()
        let magic: [UInt8] = [0x1f]
        try magic.withUnsafeBytes { magic in
            var bytes = magic
            try inflate(&bytes)
        }
    }

    private func startMember() {
        reset()
        phase = .inMember
    }

    private func reset() {
        isal_inflate_reset(state)
        state.pointee.crc_flag = UInt32(ISAL_GZIP)
    }

    private func inflate(_ rest: inout UnsafeRawBufferPointer) throws {
        // avail_in is 32 bits wide.
        let input = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 30))
        guard let base = input.baseAddress else { return }
        state.pointee.next_in = UnsafeMutablePointer(mutating: base.assumingMemoryBound(to: UInt8.self))
        state.pointee.avail_in = UInt32(input.count)
        repeat {
            state.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
            state.pointee.avail_out = UInt32(output.count)
            let result = isal_inflate(state)
            let made = output.count - Int(state.pointee.avail_out)
            if made > 0 { try sink(UnsafeRawBufferPointer(rebasing: output.prefix(made))) }
            guard result == ISAL_DECOMP_OK || result == ISAL_END_INPUT else { throw failure(result) }
            if state.pointee.block_state == ISAL_BLOCK_FINISH {
                phase = .betweenMembers(first: false)
                break
            }
        } while state.pointee.avail_in > 0 || state.pointee.avail_out == 0
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(input.count - Int(state.pointee.avail_in)))
    }

    private func failure(_ result: CInt) -> ArchiveError {
        if result == ISAL_INCORRECT_CHECKSUM {
            return ArchiveError(.checksum, "the gzip stream's checksum or length does not match", offset: consumed)
        }
        if result == ISAL_INVALID_WRAPPER || result == ISAL_UNSUPPORTED_METHOD {
            return ArchiveError(.malformed, "not a gzip stream", offset: consumed)
        }
        return ArchiveError(.malformed, "the gzip stream is damaged", offset: consumed)
    }
}
