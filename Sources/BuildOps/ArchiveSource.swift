// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Archive
import LinuxSystem
import Snapshots

/// A local archive that ADD unpacks: told by its content, never by its name.
struct ArchiveSource {
    private let source: any SourceTree
    private let item: CopySource

    init(_ source: any SourceTree, _ item: CopySource) {
        self.source = source
        self.item = item
    }

    private func open() throws -> OwnedFD {
        try openInRoot(source.root, item.path, [.readOnly, .nonBlocking], resolve: [.inRoot, .noSymlinks])
    }

    /// How the archive is compressed; nil for a file that is none.
    func compression() throws -> Compression? {
        let fd = try open()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
        defer { buffer.deallocate() }
        let count = try readBytes(fd.raw, into: buffer)
        guard let found = Compression.detect(UnsafeRawBufferPointer(rebasing: buffer[..<count])) else { return nil }
        if found == .tar { return found }
        return try holdsTar(found, UnsafeRawBufferPointer(rebasing: buffer[..<count])) ? found : nil
    }

    /// Whether the compressed bytes begin a tar archive: a compressed file alone is copied as it is.
    private func holdsTar(_ compression: Compression, _ prefix: UnsafeRawBufferPointer) throws -> Bool {
        var head: [UInt8] = []
        do {
            let decompressor = try Decompressor(compression) { bytes in
                if head.count < 1024 { head += bytes.prefix(1024) }
            }
            try decompressor.write(prefix)
        } catch let error as ArchiveError where error.code == .unsupported {
            // bzip2 and xz: unpacking says so.
            return true
        } catch {
            return false
        }
        return Compression.detect(head) == .tar
    }

    /// Unpacks into `destination` of the layer. Existing symlinks of the image are followed inside it, so this works on
    /// the merged tree. False when the archive changed since it was scanned.
    func unpack(
        _ compression: Compression,
        into destination: RawPath,
        base: [SnapshotID],
        pending: PendingSnapshot,
        target: LayerTarget,
        environment: StepEnvironment,
        owner: (uid: UInt32, gid: UInt32)?,
        cancellation: CancellationFlag
    ) throws -> Bool {
        let merged = try environment.snapshotter.writableTree(base, changes: pending, stubs: nil)
        let directory = try openInRoot(merged.root.raw, destination.isEmpty ? RawPath(".") : destination, [.directory])
        target.setTime(destination, try target.directoryTime(destination), replacing: false)
        let extractor = ArchiveExtractor(
            into: directory.raw,
            owner: owner,
            devices: isInitialUserNamespace() ? .create : .skip
        )
        let decompressor = try Decompressor(compression) { try extractor.write($0) }
        let fd = try open()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        while true {
            try cancellation.check()
            let count = try readBytes(fd.raw, into: buffer)
            if count == 0 { break }
            try decompressor.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        try decompressor.finish()
        _ = try extractor.finish()
        return source.isUnchanged(item.path, try status(of: fd.raw))
    }
}
