// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// Turns an archive's entries into changes: names made relative to the root, whiteouts recognised.
struct ChangeVisitor: TarVisitor {
    private let sink: DirectoryChangeSink
    private let interpretsWhiteouts: Bool
    /// Whether the current entry is a marker, whose data (normally none) means nothing.
    private var ignoresData = false

    init(sink: DirectoryChangeSink, interpretsWhiteouts: Bool) {
        self.sink = sink
        self.interpretsWhiteouts = interpretsWhiteouts
    }

    mutating func visitEntry(_ entry: TarEntry) throws {
        let path = try entry.path.relativeToRoot()
        ignoresData = false
        if interpretsWhiteouts, path.mayHoldMarker, try visitMarker(path) {
            ignoresData = true
            return
        }
        try sink.begin(path, entry.metadata)
    }

    mutating func visitData(_ bytes: UnsafeRawBufferPointer) throws {
        if !ignoresData { try sink.write(bytes) }
    }

    mutating func visitHole(_ count: Int64) throws {
        if !ignoresData { try sink.writeHole(count) }
    }

    mutating func visitEnd() throws {
        if !ignoresData { try sink.end() }
    }

    func finish() throws -> UnpackResult { try sink.finish() }

    /// OCI image-spec, layer.md, "Whiteouts". Returns whether the entry is no file of its own.
    private func visitMarker(_ path: RawPath) throws -> Bool {
        let components = path.components
        if components.dropLast().contains(where: { $0.bytes.hasPrefix(".wh..wh.") }) {
            sink.result.skip(path, "AUFS's own files are not part of the image")
            return true
        }
        if components.dropLast().contains(where: { $0.bytes.hasPrefix(".wh.") }) {
            throw ArchiveError(.malformed, "\"\(path)\" lies below a whiteout")
        }
        let (parent, name) = path.splitParent()
        guard name.bytes.hasPrefix(".wh.") else { return false }
        if name == ".wh..wh..opq" {
            try sink.makeOpaque(parent)
        } else if name.bytes.hasPrefix(".wh..wh.") {
            sink.result.skip(path, "AUFS's own files are not part of the image")
        } else {
            let hidden = RawPath(bytes: name.bytes.dropFirst(4))
            guard !hidden.isEmpty, hidden != ".", hidden != ".." else {
                throw ArchiveError(.unsafePath, "\"\(path)\" is a whiteout of no file")
            }
            try sink.addWhiteout(parent.appending(hidden))
        }
        return true
    }
}
