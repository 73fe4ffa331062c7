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

    /// How the archive is compressed; nil for a file that is none: one without a single entry is none either.
    func compression() throws -> Compression? {
        let fd = try open()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        defer { buffer.deallocate() }
        let count = try readBytes(fd.raw, into: buffer)
        let prefix = UnsafeRawBufferPointer(rebasing: buffer[..<count])
        guard let found = Compression.detect(prefix) else { return nil }
        var head: [UInt8] = []
        let decompressor = try Decompressor(found) { bytes in
            head += bytes.prefix(Compression.prefixLength - head.count)
            if head.count == Compression.prefixLength { throw HeadIsComplete() }
        }
        do {
            var chunk = prefix
            // A block of bzip2 gives nothing before its last byte, so all of a file may be needed.
            while !chunk.isEmpty {
                try decompressor.write(chunk)
                chunk = UnsafeRawBufferPointer(rebasing: buffer[..<(try readBytes(fd.raw, into: buffer))])
            }
        } catch is HeadIsComplete {
            return Compression.detect(head) == .tar && head.contains { $0 != 0 } ? found : nil
        } catch let error as ArchiveError where error.code != .tooLarge && error.code != .system {
            // Damaged before the first header is whole: nothing says that there is a tar archive inside.
            return nil
        }
        return nil
    }

    private struct HeadIsComplete: Error {}

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
        // Over nothing there is nothing to merge, and overlayfs must not be asked: it would mark each new directory as one
        // that hides what is below, and such a layer may be put over any other.
        let merged = base.isEmpty ? nil : try environment.snapshotter.writableTree(base, changes: pending, stubs: nil)
        let root = merged?.root ?? pending.directory
        let directory = try openInRoot(root.raw, destination.isEmpty ? RawPath(".") : destination, [.directory])
        target.derive(destination)
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
        for path in try extractor.finish().touchedDirectories { target.derive(destination.appending(path)) }
        return source.isUnchanged(item.path, try status(of: fd.raw))
    }
}
