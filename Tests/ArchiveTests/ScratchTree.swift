// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Foundation
import Glibc
import LinuxSystem
import Testing

let isRoot = geteuid() == 0

/// A temporary directory that goes away with the test.
final class ScratchTree {
    let path: String

    init() throws {
        var template = Array("/tmp/galley-archive-XXXXXX\0".utf8CString)
        let made = try #require(mkdtemp(&template))
        path = String(cString: made)
    }

    deinit { try? removeTree(RawPath(path)) }

    /// A new empty directory inside.
    func directory(_ name: String) throws -> String {
        try makeDirectory(RawPath("\(path)/\(name)"))
        return "\(path)/\(name)"
    }

    func bytes(_ name: String) throws -> [UInt8] { try readFile(RawPath("\(path)/\(name)"), limit: 1 << 30) }

    /// Runs a script in the directory and returns its standard output; a failure throws what it printed.
    @discardableResult
    func shell(_ script: String) throws -> String {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-euo", "pipefail", "-c", script]
        process.currentDirectoryURL = URL(fileURLWithPath: path)
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw ShellFailure(description: "exit \(process.terminationStatus) of \(script)\n\(text)")
        }
        return text
    }
}

struct ShellFailure: Error, CustomStringConvertible { let description: String }

/// One line a file: everything about it that a layer must keep.
func listing(_ directory: String, times: Bool = true, holes: Bool = false) throws -> [String] {
    let fd = try open(RawPath(directory), [.directory])
    var lines = [String]()
    var inodes: [UInt64: RawPath] = [:]
    func visit(_ parent: CInt, _ path: RawPath) throws {
        for entry in try readDirectory(parent).sorted(by: { $0.name < $1.name }) {
            let child = path.appending(entry.name)
            let status = try status(at: parent, entry.name)
            var line = "\(child.bytes) \(child) \(status.kind) \(String(status.permissions, radix: 8))"
            line += " \(status.uid):\(status.gid) dev \(status.deviceMajor):\(status.deviceMinor)"
            if times { line += " \(status.modified.seconds).\(status.modified.nanoseconds)" }
            if status.kind != .directory, status.links > 1 {
                line += " same as \(inodes[status.inode] ?? child) of \(status.links)"
                if inodes[status.inode] == nil { inodes[status.inode] = child }
            }
            for name in try extendedAttributeNames(at: parent, entry.name).sorted() {
                line += " \(name)=\(try extendedAttribute(at: parent, entry.name, name) ?? [])"
            }
            switch status.kind {
            case .symlink: line += " -> \(try readLink(at: parent, entry.name))"
            case .regular:
                let content = try readFile(at: parent, entry.name, limit: 1 << 30)
                var hasher = Hasher()
                content.withUnsafeBytes { hasher.combine(bytes: $0) }
                line += " \(content.count) bytes, hash \(hasher.finalize())"
                if holes { line += " blocks \(status.blocks)" }
            default: break
            }
            lines.append(line)
            if status.kind == .directory {
                let fd = try open(at: parent, entry.name, [.directory, .noFollow])
                try visit(fd.raw, child)
            }
        }
    }
    try visit(fd.raw, "")
    return lines
}

/// Unpacks `archive` as a layer into `directory`, in chunks of `chunk` bytes.
@discardableResult
func unpack(
    _ archive: [UInt8],
    into directory: String,
    chunk: Int = 100_000,
    overlay: OverlayFlavour = .trusted,
    devices: DevicePolicy = .create
) throws -> UnpackResult {
    let fd = try open(RawPath(directory), [.directory])
    let unpacker = LayerUnpacker(into: fd.raw, overlay: overlay, devices: devices)
    try feed(archive, chunk) { try unpacker.write($0) }
    return try unpacker.finish()
}

func feed(_ bytes: [UInt8], _ chunk: Int, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    try bytes.withUnsafeBytes { raw in
        for start in stride(from: 0, to: raw.count, by: chunk) {
            try body(UnsafeRawBufferPointer(rebasing: raw[start..<min(start + chunk, raw.count)]))
        }
    }
}

/// Archives a snapshot directory; the bytes as the sink got them.
func archive(
    _ directory: String,
    _ options: LayerWriter.Options = LayerWriter.Options()
) throws -> (bytes: [UInt8], layer: WrittenLayer) {
    let fd = try open(RawPath(directory), [.directory])
    var bytes = [UInt8]()
    let layer = try LayerArchiver.archive(fd.raw, options: options) { bytes += $0 }
    return (bytes, layer)
}

/// Makes a tar in memory.
func tar(_ entries: [(TarEntry, [UInt8])]) throws -> [UInt8] {
    var bytes = [UInt8]()
    var writer = TarWriter { bytes += $0 }
    for (entry, content) in entries {
        try writer.begin(entry)
        try content.withUnsafeBytes { try writer.write($0) }
        try writer.end()
    }
    try writer.finish()
    return bytes
}

func entry(_ path: RawPath, _ kind: EntryMetadata.Kind, mode: UInt32 = 0o644) -> (TarEntry, [UInt8]) {
    (TarEntry(path: path, metadata: EntryMetadata(kind, mode: kind == .directory ? 0o755 : mode)), [])
}

func file(_ path: RawPath, _ text: String = "", mode: UInt32 = 0o644) -> (TarEntry, [UInt8]) {
    let bytes = Array(text.utf8)
    return (TarEntry(path: path, metadata: EntryMetadata(.file(size: Int64(bytes.count)), mode: mode)), bytes)
}

/// Collects what a reader finds.
struct Collector: TarVisitor {
    struct Item: Hashable {
        var entry: TarEntry
        var content: [UInt8] = []
        var holes: Int64 = 0
        var ended = false
    }
    var items: [Item] = []
    /// Large files are counted, not kept.
    var keepsContent = true

    mutating func visitEntry(_ entry: TarEntry) throws { items.append(Item(entry: entry)) }
    mutating func visitData(_ bytes: UnsafeRawBufferPointer) throws {
        if keepsContent { items[items.count - 1].content += bytes }
    }
    mutating func visitHole(_ count: Int64) throws {
        items[items.count - 1].holes += count
        if keepsContent, count <= 1 << 26 { items[items.count - 1].content += [UInt8](repeating: 0, count: Int(count)) }
    }
    mutating func visitEnd() throws { items[items.count - 1].ended = true }

    static func read(_ archive: [UInt8], chunk: Int = 1 << 16) throws -> [Item] {
        var reader = TarReader()
        var collector = Collector()
        try feed(archive, chunk) { try reader.push($0, to: &collector) }
        try reader.finish()
        return collector.items
    }
}

/// Expects an `ArchiveError` of the code.
func expectError(
    _ code: ArchiveError.Code,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
) {
    #expect(sourceLocation: sourceLocation, performing: body, throws: { ($0 as? ArchiveError)?.code == code })
}

/// Expects equal trees, and shows only the lines that differ.
func expectSameTree(_ a: String, _ b: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let (first, second) = (try listing(a), try listing(b))
    #expect(first.filter { !second.contains($0) } == [], sourceLocation: sourceLocation)
    #expect(second.filter { !first.contains($0) } == [], sourceLocation: sourceLocation)
}

/// Makes directories named `d`, one in the other, and a file at the bottom.
func nestDirectories(in directory: CInt, depth: Int) throws {
    var above = try open(at: directory, ".", [.directory]).shared()
    for _ in 0..<depth {
        try makeDirectory(at: above.raw, "d")
        above = try open(at: above.raw, "d", [.directory]).shared()
    }
    try replaceFile(at: above.raw, "file", "x".utf8)
}
