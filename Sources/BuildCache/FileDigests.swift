// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import OCI

/// Digests of files by what the files looked like, in ascending order. Of very many files, so they lie in memory as they
/// do in the store.
public struct FileDigests: RandomAccessCollection, Equatable, Sendable {
    public struct Element: Hashable, Sendable {
        public var fingerprint: FileFingerprint
        public var digest: Digest

        public init(_ fingerprint: FileFingerprint, _ digest: Digest) {
            self.fingerprint = fingerprint
            self.digest = digest
        }
    }

    static let entrySize = 80

    private var bytes: [UInt8] = []

    public init() {}

    /// In any order; of several elements with one fingerprint one is kept.
    public init(_ elements: some Sequence<Element>) {
        let sorted = elements.sorted { $0.fingerprint < $1.fingerprint }
        for (number, element) in sorted.enumerated()
        where number == 0 || sorted[number - 1].fingerprint != element.fingerprint {
            Self.append(element, to: &bytes)
        }
    }

    public var startIndex: Int { 0 }
    public var endIndex: Int { bytes.count / Self.entrySize }

    public subscript(index: Int) -> Element {
        precondition(indices.contains(index))
        return bytes.withUnsafeBytes { raw in
            let base = index * Self.entrySize
            let digest = UnsafeRawBufferPointer(rebasing: raw[(base + 48)..<(base + Self.entrySize)])
            return Element(Self.fingerprint(raw, base), Digest(sha256Raw: digest))
        }
    }

    /// Where the fingerprint is; nil when it is not there.
    ///
    /// - Parameter near: looked at first. Files that are found one after the other often lie side by side.
    public func index(of fingerprint: FileFingerprint, near: Int) -> Int? {
        bytes.withUnsafeBytes { raw in
            if indices.contains(near), Self.fingerprint(raw, near * Self.entrySize) == fingerprint { return near }
            var (low, high) = (0, count)
            while low < high {
                let middle = (low + high) / 2
                if Self.fingerprint(raw, middle * Self.entrySize) < fingerprint {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            return low < count && Self.fingerprint(raw, low * Self.entrySize) == fingerprint ? low : nil
        }
    }

    // MARK: Bytes

    static func append(_ element: Element, to bytes: inout [UInt8]) {
        func append(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        append(element.fingerprint.device)
        append(element.fingerprint.inode)
        append(element.fingerprint.size)
        append(element.fingerprint.modifiedSeconds)
        append(element.fingerprint.changedSeconds)
        append(element.fingerprint.modifiedNanoseconds)
        append(element.fingerprint.changedNanoseconds)
        bytes += element.digest.bytes
    }

    mutating func reserveCapacity(_ count: Int) { bytes.reserveCapacity(count * Self.entrySize) }

    /// Adds what `append` wrote; nothing of it when it is no such thing, or not above all that is here.
    mutating func append(chunk: [UInt8]) {
        guard chunk.count % Self.entrySize == 0 else { return }
        let isAscending = chunk.withUnsafeBytes { raw in
            var last = last?.fingerprint
            for base in stride(from: 0, to: raw.count, by: Self.entrySize) {
                let next = Self.fingerprint(raw, base)
                if let last, last >= next { return false }
                last = next
            }
            return true
        }
        if isAscending { bytes += chunk }
    }

    private static func fingerprint(_ raw: UnsafeRawBufferPointer, _ base: Int) -> FileFingerprint {
        func number<T: FixedWidthInteger>(_ offset: Int, _ type: T.Type) -> T {
            T(littleEndian: raw.loadUnaligned(fromByteOffset: base + offset, as: T.self))
        }
        return FileFingerprint(
            device: number(0, UInt64.self),
            inode: number(8, UInt64.self),
            size: number(16, Int64.self),
            modifiedSeconds: number(24, Int64.self),
            modifiedNanoseconds: number(40, UInt32.self),
            changedSeconds: number(32, Int64.self),
            changedNanoseconds: number(44, UInt32.self)
        )
    }
}
