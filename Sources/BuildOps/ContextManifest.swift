// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem
import OCI

/// What a build context held, as it is kept for comparison with a later one: names, kinds, modes, targets and the
/// beginnings of digests. Small even for very many files: entries are read when they are asked for.
public struct ContextManifest: Sendable {
    struct Entry: Hashable, Sendable {
        var name: RawPath
        var kind: FileKind
        var permissions: UInt32
        /// Of a regular file, the first 16 bytes of its digest; of a symlink, its target.
        var content: [UInt8]
    }

    public let bytes: [UInt8]
    /// Where the entries of each directory are; the root's key is empty.
    private let places: [RawPath: Range<Int>]

    private static let format: UInt8 = 1
    private static let digestSize = 16

    var directories: some Sequence<RawPath> { places.keys }

    /// The bytes of a directory's entries, equal exactly when the entries are; nil for a directory that is not there.
    func content(of directory: RawPath) -> ArraySlice<UInt8>? { places[directory].map { bytes[$0] } }

    /// In byte order of their names; none for a directory that is not there.
    func entries(_ directory: RawPath) -> [Entry] {
        guard let place = places[directory] else { return [] }
        var reader = ManifestReader(bytes[place])
        var entries: [Entry] = []
        while reader.left > 0, let entry = reader.entry(digestSize: Self.digestSize) {
            entries.append(
                Entry(
                    name: RawPath(bytes: entry.name),
                    kind: entry.kind,
                    permissions: entry.permissions,
                    content: Array(entry.content)
                )
            )
        }
        return entries
    }

    func entry(_ path: RawPath) -> Entry? {
        guard let name = path.lastComponent else { return nil }
        return entries(parentPath(path)).first { $0.name == name }
    }

    // MARK: Bytes

    public init(_ tree: ContextTree) {
        var bytes = [Self.format]
        bytes.reserveCapacity(tree.directories.values.reduce(64) { $0 + 40 * $1.count })
        var places: [RawPath: Range<Int>] = [:]
        var entries: [UInt8] = []
        for (path, list) in tree.directories {
            entries.removeAll(keepingCapacity: true)
            for entry in list { Self.append(entry, to: &entries) }
            Self.append(path.bytes, to: &bytes)
            Self.append(entries.count, to: &bytes)
            places[path] = bytes.count..<(bytes.count + entries.count)
            bytes += entries
        }
        self.bytes = bytes
        self.places = places
    }

    private static func append(_ entry: ContextEntry, to bytes: inout [UInt8]) {
        append(entry.name.bytes, to: &bytes)
        bytes.append(ManifestReader.code(entry.status.kind))
        append(Int(entry.status.permissions), to: &bytes)
        switch entry.status.kind {
        case .symlink: append(entry.linkTarget?.bytes ?? [], to: &bytes)
        case .regular:
            if let digest = entry.digest {
                bytes += digest.bytes.prefix(digestSize)
            } else {
                bytes += repeatElement(0, count: digestSize)
            }
        default: break
        }
    }

    private static func append(_ text: [UInt8], to bytes: inout [UInt8]) {
        append(text.count, to: &bytes)
        bytes += text
    }

    private static func append(_ number: Int, to bytes: inout [UInt8]) {
        var rest = UInt64(clamping: number)
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    /// Nil for what is damaged or of another version.
    public init?(decoding bytes: [UInt8]) {
        var reader = ManifestReader(bytes[...])
        guard reader.take(1)?.first == Self.format else { return nil }
        var places: [RawPath: Range<Int>] = [:]
        while reader.left > 0 {
            guard let path = reader.bytes(), let entries = reader.bytes() else { return nil }
            var check = ManifestReader(entries)
            while check.left > 0 {
                guard check.entry(digestSize: Self.digestSize) != nil else { return nil }
            }
            places[RawPath(bytes: path)] = entries.indices
        }
        self.bytes = bytes
        self.places = places
    }
}

private struct ManifestReader {
    private static let kinds: [FileKind] = [
        .regular, .directory, .symlink, .characterDevice, .blockDevice, .fifo, .socket,
    ]

    static func code(_ kind: FileKind) -> UInt8 { UInt8(kinds.firstIndex(of: kind) ?? 0) }

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var left: Int { rest.count }

    mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard count <= rest.count else { return nil }
        defer { rest = rest[(rest.startIndex + count)...] }
        return rest[..<(rest.startIndex + count)]
    }

    mutating func number() -> Int? {
        var result: UInt64 = 0
        for shift: UInt64 in stride(from: 0, to: 63, by: 7) {
            guard let byte = rest.popFirst() else { return nil }
            result |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return Int(result) }
        }
        return nil
    }

    mutating func bytes() -> ArraySlice<UInt8>? { number().flatMap { take($0) } }

    struct RawEntry {
        var name: ArraySlice<UInt8>
        var kind: FileKind
        var permissions: UInt32
        var content: ArraySlice<UInt8>
    }

    mutating func entry(digestSize: Int) -> RawEntry? {
        guard let name = bytes(), let code = take(1)?.first, code < Self.kinds.count, let mode = number() else {
            return nil
        }
        let kind = Self.kinds[Int(code)]
        let content: ArraySlice<UInt8>?
        switch kind {
        case .symlink: content = bytes()
        case .regular: content = take(digestSize)
        default: content = []
        }
        return content.map {
            RawEntry(name: name, kind: kind, permissions: UInt32(truncatingIfNeeded: mode), content: $0)
        }
    }
}
