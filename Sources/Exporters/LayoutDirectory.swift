// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import Glibc
import LinuxSystem
import OCI

/// An image layout in a directory. One that holds a layout already is added to.
///
/// A new directory is made under a temporary name and appears when it is complete. In an existing one, files appear as
/// they are complete, the index last; after an error those that were new are removed.
final class LayoutDirectory: LayoutWriter {
    private let target: RawPath
    private let path: RawPath
    private let isNew: Bool
    private var added: [RawPath] = []
    private var isFinished = false
    private var index: [UInt8] = []

    init(_ target: RawPath) throws {
        self.target = target
        do throws(SystemError) {
            isNew = try statusIfPresent(at: workingDirectory, target, following: true) == nil
            path = isNew ? RawPath(bytes: target.bytes + Array(".\(UInt64.random(in: 0 ... .max))".utf8)) : target
            try makeDirectories(path.appending("blobs/sha256"))
        } catch {
            throw OutputFile.failure(error, target.description)
        }
    }

    deinit {
        if isFinished { return }
        if isNew {
            try? removeTree(path)
        } else {
            for file in added { try? removeFile(file) }
        }
    }

    /// The index of the layout that is there already.
    func existingIndex() throws -> [UInt8]? {
        do throws(SystemError) {
            return try readFile(path.appending("index.json"), limit: 16 << 20)
        } catch {
            if error.isNotFound { return nil }
            throw OutputFile.failure(error, target.description)
        }
    }

    var takesUnknownBlobs: Bool { true }

    func add(_ name: String, _ bytes: [UInt8]) throws {
        // The index goes last: until then nobody sees that there is more.
        if name == "index.json" { return index = bytes }
        try replace(name, bytes)
    }

    private func replace(_ name: String, _ bytes: [UInt8]) throws {
        let file = path.appending(name)
        do throws(SystemError) {
            if try statusIfPresent(at: workingDirectory, file) == nil { added.append(file) }
            try replaceFile(file, bytes)
        } catch {
            throw OutputFile.failure(error, target.description)
        }
    }

    func addBlob(_ expected: Descriptor?, _ stream: (@escaping ByteSink) throws -> Descriptor) throws -> Descriptor {
        if let expected, exists(expected.digest) { return expected }
        let temporary = path.appending("blobs/.\(UInt64.random(in: 0 ... .max))")
        do {
            let fd = try open(temporary, [.writeOnly, .create, .exclusive], mode: 0o644).shared()
            let made = try stream { [target] bytes in
                // Told apart here from failures to read the layer.
                do { try writeBytes(fd.raw, bytes) } catch { throw OutputFile.failure(error, target.description) }
            }
            if let expected, made.digest != expected.digest {
                throw ExportError(.layerChanged, "blob \(expected.digest) changed while it was written")
            }
            if exists(made.digest) {
                try removeFile(temporary)
            } else {
                try renameFile(temporary, to: workingDirectory, file(made.digest))
                added.append(file(made.digest))
            }
            return made
        } catch {
            try? removeFile(temporary)
            throw OutputFile.failure(error, target.description)
        }
    }

    func finish() throws {
        try replace("index.json", index)
        if isNew {
            do { try renameFile(path, to: workingDirectory, target, replacing: false) } catch {
                throw OutputFile.failure(error, target.description)
            }
        }
        isFinished = true
    }

    private func file(_ digest: Digest) -> RawPath {
        path.appending("blobs").appending(digest.algorithm.rawValue).appending(digest.hex)
    }

    private func exists(_ digest: Digest) -> Bool {
        (try? statusIfPresent(at: workingDirectory, file(digest))) != nil
    }
}
