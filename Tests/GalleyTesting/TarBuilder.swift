// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import Archive
public import LinuxSystem
public import OCI

/// Makes tar archives in memory, also ones that no well-behaved program would write.
public struct TarBuilder {
    private final class Output {
        var bytes: [UInt8] = []
    }

    private let output = Output()
    private var writer: TarWriter

    public init() {
        writer = TarWriter { [output] in output.bytes += $0 }
    }

    public init(_ build: (inout TarBuilder) throws -> Void) rethrows {
        self.init()
        try build(&self)
    }

    public mutating func add(_ path: RawPath, _ metadata: EntryMetadata, _ content: [UInt8] = []) throws {
        try writer.begin(TarEntry(path: path, metadata: metadata))
        try content.withUnsafeBytes { try writer.write($0) }
        try writer.end()
    }

    public mutating func file(
        _ path: RawPath,
        _ content: String = "",
        mode: UInt32 = 0o644,
        uid: UInt32 = 0,
        mtime: Int64 = 1_000_000_000,
        xattrs: [ExtendedAttribute] = []
    ) throws {
        let bytes = Array(content.utf8)
        let kind = EntryMetadata.Kind.file(size: Int64(bytes.count))
        let time = FileTime(seconds: mtime)
        try add(path, EntryMetadata(kind, mode: mode, uid: uid, gid: uid, mtime: time, xattrs: xattrs), bytes)
    }

    public mutating func directory(
        _ path: RawPath,
        mode: UInt32 = 0o755,
        uid: UInt32 = 0,
        mtime: Int64 = 1_000_000_000,
        xattrs: [ExtendedAttribute] = []
    ) throws {
        let time = FileTime(seconds: mtime)
        try add(path, EntryMetadata(.directory, mode: mode, uid: uid, gid: uid, mtime: time, xattrs: xattrs))
    }

    public mutating func symlink(_ path: RawPath, to target: RawPath) throws {
        try add(path, EntryMetadata(.symlink(target: target), mode: 0o777, mtime: FileTime(seconds: 1_000_000_000)))
    }

    public mutating func hardLink(_ path: RawPath, to target: RawPath) throws {
        try add(path, EntryMetadata(.hardLink(target: target)))
    }

    /// The finished archive.
    public consuming func bytes() throws -> [UInt8] {
        try writer.finish()
        return output.bytes
    }
}

/// The bytes compressed as a layer's blob would be.
public func compressed(_ bytes: [UInt8], _ compression: MediaType.Compression) throws -> [UInt8] {
    final class Output {
        var bytes: [UInt8] = []
    }
    let output = Output()
    let sink: ByteSink = { output.bytes += $0 }
    switch compression {
    case .none: return bytes
    case .gzip:
        let filter = try GzipBlockCompressor(level: 6, threads: 1, sink: sink)
        try bytes.withUnsafeBytes { try filter.write($0) }
        try filter.finish()
    case .zstd:
        let filter = try ZstdCompressor(level: 3, threads: 1, sink: sink)
        try bytes.withUnsafeBytes { try filter.write($0) }
        try filter.finish()
    }
    return output.bytes
}
