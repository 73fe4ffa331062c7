// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import OCI

/// Where the files of an image layout are put: a tar archive, or a directory.
protocol LayoutWriter: AnyObject {
    /// Adds a small file.
    func add(_ name: String, _ bytes: [UInt8]) throws
    /// Adds a blob. `stream` gives the same bytes each time it is called.
    func addBlob(_ expected: Descriptor?, _ stream: (@escaping ByteSink) throws -> Descriptor) throws -> Descriptor
    /// Whether a blob whose digest is not known beforehand is written at once.
    var takesUnknownBlobs: Bool { get }
    /// Makes the layout appear.
    func finish() throws
}

extension LayoutWriter {
    func addBlob(_ bytes: [UInt8]) throws {
        let digest = Digest.sha256(bytes)
        let descriptor = Descriptor(mediaType: MediaType(""), digest: digest, size: Int64(bytes.count))
        _ = try addBlob(descriptor) { sink in
            try bytes.withUnsafeBytes { try sink($0) }
            return descriptor
        }
    }
}

/// An image layout as a tar archive.
///
/// A tar entry tells its size before its bytes, and a layer's name is the digest of its bytes. Into a file, room is left
/// for the header and filled in afterwards. Into a pipe, a layer whose blob is not in the store is made twice, first
/// into a hash: compression is deterministic, and the alternative, a spooled copy, would cost disk and wear instead.
final class LayoutArchive: LayoutWriter {
    private let output: OutputFile
    private var written: Set<String> = []

    init(_ destination: ExportDestination) throws {
        output = try OutputFile(destination)
        for name in ["blobs/", "blobs/sha256/"] { try output.write(PlainTarHeader(name, size: 0, mode: 0o755).bytes) }
    }

    var takesUnknownBlobs: Bool { output.isSeekable }

    func add(_ name: String, _ bytes: [UInt8]) throws {
        guard written.insert(name).inserted else { return }
        try output.write(PlainTarHeader(name, size: Int64(bytes.count), mode: 0o444).bytes)
        try output.write(bytes)
        try pad(Int64(bytes.count))
    }

    func addBlob(_ expected: Descriptor?, _ stream: (@escaping ByteSink) throws -> Descriptor) throws -> Descriptor {
        if let expected { return try addKnown(expected, stream) }
        if !output.isSeekable { return try addKnown(try stream { _ in }, stream) }
        let start = output.position
        try output.write([UInt8](repeating: 0, count: 512))
        let made = try stream { [output] in try output.write($0) }
        guard written.insert(Self.name(made.digest)).inserted else {
            try output.truncate(to: start)
            return made
        }
        try pad(made.size)
        try output.patch(PlainTarHeader(Self.name(made.digest), size: made.size, mode: 0o444).bytes, at: start)
        return made
    }

    private func addKnown(
        _ expected: Descriptor,
        _ stream: (@escaping ByteSink) throws -> Descriptor
    ) throws -> Descriptor {
        let name = Self.name(expected.digest)
        guard written.insert(name).inserted else { return expected }
        try output.write(PlainTarHeader(name, size: expected.size, mode: 0o444).bytes)
        let start = output.position
        let made = try stream { [output] bytes in
            guard output.position - start + Int64(bytes.count) <= expected.size else {
                throw ExportError(.layerChanged, "blob \(expected.digest) is longer than announced")
            }
            try output.write(bytes)
        }
        guard made.digest == expected.digest, made.size == expected.size else {
            throw ExportError(.layerChanged, "blob \(expected.digest) changed while it was written")
        }
        try pad(expected.size)
        return expected
    }

    func finish() throws {
        try output.write([UInt8](repeating: 0, count: 1024))
        try output.finish()
    }

    private func pad(_ size: Int64) throws {
        let rest = Int(size % 512)
        if rest > 0 { try output.write([UInt8](repeating: 0, count: 512 - rest)) }
    }

    private static func name(_ digest: Digest) -> String { "blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }
}

/// The header of a file with a short name and nothing else to tell; always one block, which can be filled in later.
struct PlainTarHeader {
    let bytes: [UInt8]

    /// A name that ends with a slash is a directory's.
    init(_ name: String, size: Int64, mode: UInt32) {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            block.replaceSubrange(offset..<(offset + text.utf8.count), with: text.utf8)
        }
        func octal(_ number: Int64, _ digits: Int) -> String {
            let text = String(number, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        precondition(name.utf8.count <= 100, "layout names are short")
        put(name, at: 0)
        put(octal(Int64(mode), 7), at: 100)
        put(octal(0, 7), at: 108)
        put(octal(0, 7), at: 116)
        if size < 1 << 33 {
            put(octal(size, 11), at: 124)
        } else {
            // GNU's binary form: every tar reader of our time knows it.
            block[124] = 0x80
            for index in 0..<8 { block[128 + index] = UInt8(truncatingIfNeeded: size >> Int64(56 - 8 * index)) }
        }
        put(octal(0, 11), at: 136)
        put("        ", at: 148)
        put(name.hasSuffix("/") ? "5" : "0", at: 156)
        put("ustar\0" + "00", at: 257)
        put(octal(block.reduce(0) { $0 + Int64($1) }, 6) + "\0 ", at: 148)
        bytes = block
    }
}
