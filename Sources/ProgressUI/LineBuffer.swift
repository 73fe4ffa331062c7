// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

/// Cuts one stream of a step's output into lines.
///
/// A carriage return starts the line over, as on a terminal: what a progress bar drew before is gone.
struct LineBuffer: Sendable {
    /// Longer lines are cut, so that output without an end of line stays bounded.
    static let maximumLength = 32 << 10

    private var partial: [UInt8] = []
    /// When the unfinished line began.
    private(set) var began: Int64 = 0

    /// The unfinished line.
    var unfinished: ArraySlice<UInt8> { Self.withoutReturns(partial[...]) }

    /// Takes the next bytes of the stream and hands each line that they complete, with its time, to `emit`.
    mutating func append(_ bytes: ArraySlice<UInt8>, at time: Int64, emit: (ArraySlice<UInt8>, Int64) -> Void) {
        var rest = bytes
        while let end = rest.firstOffset(of: 0x0A) {
            if partial.isEmpty {
                emit(Self.lastOverwrite(Self.withoutReturns(rest[..<end])), time)
            } else {
                extend(rest[..<end], at: time, emit: emit)
                flush(emit: emit, always: true)
            }
            rest = rest[(end + 1)...]
        }
        extend(rest, at: time, emit: emit)
    }

    /// Hands over the unfinished line.
    mutating func flush(emit: (ArraySlice<UInt8>, Int64) -> Void, always: Bool = false) {
        let line = unfinished
        if always || !line.isEmpty { emit(line, began) }
        partial.removeAll(keepingCapacity: partial.capacity <= 4096)
    }

    private mutating func extend(_ piece: ArraySlice<UInt8>, at time: Int64, emit: (ArraySlice<UInt8>, Int64) -> Void) {
        guard let first = piece.first else { return }
        if partial.last == 0x0D, first != 0x0D { partial.removeAll(keepingCapacity: true) }
        let visible = Self.lastOverwrite(piece)
        if visible.startIndex != piece.startIndex { partial.removeAll(keepingCapacity: true) }
        if partial.isEmpty { began = time }
        var rest = visible
        while partial.count + rest.count > Self.maximumLength {
            let room = Self.maximumLength - partial.count
            partial += rest.prefix(room)
            rest = rest.dropFirst(room)
            // A character must not be cut in two.
            let cut = Self.characterBoundary(partial)
            emit(partial[..<cut], began)
            partial.removeFirst(cut)
            began = time
        }
        partial += rest
    }

    /// What remains visible of `line` when each carriage return before more text starts it over.
    private static func lastOverwrite(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let end = withoutReturns(line).endIndex
        guard let last = line[..<end].lastOffset(of: 0x0D) else { return line }
        return line[(last + 1)...]
    }

    private static func withoutReturns(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var end = line.endIndex
        while end > line.startIndex, line[end - 1] == 0x0D { end -= 1 }
        return line[..<end]
    }

    private static func characterBoundary(_ bytes: [UInt8]) -> Int {
        var index = bytes.count - 1
        while index > 0, bytes.count - index < 4, bytes[index] & 0xC0 == 0x80 { index -= 1 }
        return bytes[index] >= 0xC0 && index > 0 ? index : bytes.count
    }
}

// The C library's search: a step can write gigabytes, and unoptimised builds are tested too.
extension ArraySlice<UInt8> {
    /// The index of the first `byte`.
    func firstOffset(of byte: UInt8) -> Int? {
        withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, let found = memchr(base, CInt(byte), bytes.count) else { return nil }
            return startIndex + (UnsafeRawPointer(found) - base)
        }
    }

    /// The index of the last `byte`.
    func lastOffset(of byte: UInt8) -> Int? {
        // Most lines have none, and that is found out fastest from the front.
        guard firstOffset(of: byte) != nil else { return nil }
        return withUnsafeBytes { bytes in
            var offset = bytes.count - 1
            while offset >= 0, bytes[offset] != byte { offset -= 1 }
            return offset < 0 ? nil : startIndex + offset
        }
    }
}
